"""`dalsegno …` as processes of their own, and the stacks that tests start: told from all others."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from secrets import token_hex

import psutil

from dalsegno.layout import Layout, in_folder
from dalsegno.stack import Stack, running

WAIT_SECONDS = 60.0
MARK = "DALSEGNO_TEST_MARK"


async def until(holds: Callable[[], bool]) -> None:
    """Wait for a condition that nobody announces."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not holds():  # noqa: ASYNC110 - a process tells nobody
            await asyncio.sleep(0.02)


def quick_layout(folder: Path, *agents: str) -> Layout:
    """A stack whose tasks come again soon after an agent's death."""
    layout = in_folder(folder, agents)
    environment = {**layout.environment, "DALSEGNO_ACK_WAIT_SECONDS": "1.0"}
    return replace(layout, environment=environment)


@asynccontextmanager
async def stack_of(folder: Path, *agents: str) -> AsyncGenerator[Stack]:
    """A stack with these agents, stopped at the end in any case."""
    async with running(quick_layout(folder, *agents), tell=lambda _: None) as stack:
        yield stack


@dataclass
class Command:
    """One `dalsegno …` as a process of its own, whose descendants can be told from all others."""

    process: Process
    mark: str
    said: list[str] = field(default_factory=list[str])

    async def says(self, words: str) -> str:
        """Wait for a line on stderr that holds these words; return it."""
        assert self.process.stderr is not None
        async with asyncio.timeout(WAIT_SECONDS):
            while line := (await self.process.stderr.readline()).decode():
                self.said.append(line.rstrip())
                if words in line:
                    return line.rstrip()
        raise AssertionError(f"it ended without saying {words!r}: {self.said}")

    async def ended(self) -> tuple[int, str]:
        """Wait for its end; return its exit code and what it wrote to stdout."""
        async with asyncio.timeout(WAIT_SECONDS):
            out, err = await self.process.communicate()
        self.said += err.decode().splitlines()
        assert self.process.returncode is not None
        return self.process.returncode, out.decode()

    @property
    def descendants(self) -> list[psutil.Process]:
        """Every process that it started, and that is still there."""
        return [process for process in marked(self.mark) if process.pid != self.process.pid]


@dataclass
class Commands:
    """Starts commands in one folder."""

    folder: Path
    started: list[Command] = field(default_factory=list[Command])

    async def start(self, *arguments: str, **environment: str) -> Command:
        mark = token_hex(16)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "dalsegno", *arguments),
            stdout=PIPE,
            stderr=PIPE,
            cwd=self.folder,
            env={**os.environ, MARK: mark, "COLUMNS": "80", **environment},
        )
        command = Command(process, mark)
        self.started.append(command)
        return command

    async def run(self, *arguments: str, **environment: str) -> tuple[int, str, list[str]]:
        """Exit code, stdout and the lines of stderr of a command that ends by itself."""
        command = await self.start(*arguments, **environment)
        code, out = await command.ended()
        return code, out, command.said


def marked(mark: str) -> list[psutil.Process]:
    """The processes that carry a mark, without those that are only not buried yet."""
    return list(_marked(mark))


def _marked(mark: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark:
                yield process
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
