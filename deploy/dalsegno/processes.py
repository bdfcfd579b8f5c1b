"""Child processes of ours: started, watched, stopped by their own ids, never left behind.

Each gets a session of its own, so that Ctrl-C in the terminal reaches the parent alone and the
parent decides the order in which things stop. Knows nothing of what the programs do.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dalsegno_bus.errors import SettingsError, Unavailable

STOP_SECONDS_MAX: Final = 10.0
"""How long a process may take to finish after SIGTERM; then SIGKILL."""
LOG_LINES: Final = 12
_LOG_TAIL_BYTES: Final = 16_384
_LAUNCHER: Final = str(Path(__file__).with_name("launch.py"))


@dataclass(frozen=True, kw_only=True)
class Program:
    """What to run: a name for people, the arguments, and variables beside our own."""

    name: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]


def python(module: str, *arguments: str) -> tuple[str, ...]:
    """The arguments that run a module with the interpreter that runs us."""
    return (sys.executable, "-m", module, *arguments)


@dataclass(frozen=True, kw_only=True)
class Child:
    """A program that was started, and where its output goes."""

    program: Program
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def name(self) -> str:
        return self.program.name

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    @property
    def ending(self) -> str:
        """How it ended, for people; it must have."""
        code = self.process.poll()
        if code is not None and code < 0:
            return f"was ended by {signal.Signals(-code).name}"
        return f"ended with exit code {code}"

    def last_lines(self, count: int = LOG_LINES) -> list[str]:
        """The end of what it wrote."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, self.log.stat().st_size - _LOG_TAIL_BYTES))
                text = file.read().decode(errors="replace")
        except OSError:
            return []
        return [line for line in text.splitlines() if line.strip()][-count:]

    def note(self, words: str) -> None:
        """Add a line of ours to its log."""
        with contextlib.suppress(OSError), self.log.open("a") as file:
            file.write(f"{words}\n")

    def send(self, number: signal.Signals) -> None:
        """Send it a signal; one that has ended hears nothing."""
        self.process.send_signal(number)  # checks first that the process has not been reaped


class Processes:
    """Every child of ours, oldest first. Starts in the thread that will outlive them: the main one.

    Args:
        logs: A folder for one log file per program.
    """

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._children: list[Child] = []

    @property
    def children(self) -> tuple[Child, ...]:
        return tuple(self._children)

    def start(self, program: Program) -> Child:
        """Start a program; its output is appended to `<logs>/<name>.log`.

        Raises:
            SettingsError: The log file cannot be written, or the program cannot be run.
        """
        log = self._logs / f"{program.name}.log"
        try:
            self._logs.mkdir(parents=True, exist_ok=True)
            with log.open("ab") as output:
                process = subprocess.Popen(  # noqa: S603 - our own program, as a list
                    [sys.executable, "-I", "-S", _LAUNCHER, str(os.getpid()), *program.arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **program.environment},
                    start_new_session=True,
                )
        except OSError as error:
            raise SettingsError(
                f"cannot start {program.name} with its log {log}: {error}"
            ) from error
        child = Child(program=program, process=process, log=log)
        self._children.append(child)
        return child

    def check(self) -> None:
        """Make sure that all are alive.

        Raises:
            Unavailable: One has ended; says how, and what it wrote last.
        """
        for child in self._children:
            if not child.is_alive:
                raise Unavailable(epitaph(child))

    async def stop(self, *children: Child) -> None:
        """SIGTERM to all of these at once, SIGKILL to those still there after a while."""
        for child in children:
            child.send(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_SECONDS_MAX):
                await _ended(children)
        except TimeoutError:
            pass
        finally:  # also when we are cancelled while waiting: nothing is left behind
            for child in children:
                if child.is_alive:
                    child.note(f"killed: it did not stop within {STOP_SECONDS_MAX:g} s")
                child.send(signal.SIGKILL)
            for child in children:
                child.process.wait()
                self._children.remove(child)

    async def stop_all(self) -> None:
        """Stop all, the newest first."""
        for child in reversed(self.children):
            await self.stop(child)


def epitaph(child: Child) -> str:
    """How a child ended, with the last lines of its log."""
    lines = child.last_lines()
    said = "; it wrote nothing" if not lines else f"; the end of {child.log}:"
    return "\n".join([f"{child.name} {child.ending}{said}", *(f"  {line}" for line in lines)])


async def _ended(children: Sequence[Child]) -> None:
    for child in children:
        await asyncio.to_thread(child.process.wait)
