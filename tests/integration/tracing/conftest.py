"""A collector, and services, as processes."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import IO, Any

import pytest

SECONDS_MAX = 40.0
RECEIVER = Path(__file__).with_name("receiver.py")


async def until(holds: Callable[[], bool]) -> None:
    """Return as soon as `holds` does; fail if it never does."""
    async with asyncio.timeout(SECONDS_MAX):
        while not holds():  # noqa: ASYNC110 - processes ring no bell
            await asyncio.sleep(0.01)


@dataclass
class Collector:
    """What the process of `receiver.py` has said."""

    process: subprocess.Popen[str]
    endpoint: str
    spans: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def named(self, name: str) -> dict[str, Any]:
        """The one span of this name."""
        (span,) = [span for span in self.spans if span["name"] == name]
        return span

    def names(self) -> list[str]:
        return sorted(span["name"] for span in self.spans)

    def listen(self) -> None:
        for line in _out(self.process):
            self.spans.append(json.loads(line))


@pytest.fixture
def collector() -> Iterator[Collector]:
    """An OTLP/gRPC receiver in another process."""
    process = subprocess.Popen(
        [sys.executable, str(RECEIVER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    port = json.loads(_out(process).readline())["port"]
    made = Collector(process, f"http://127.0.0.1:{port}")
    listening = Thread(target=made.listen)
    listening.start()
    try:
        yield made
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(SECONDS_MAX)
        listening.join(SECONDS_MAX)
        _out(process).close()


@dataclass
class Services:
    """Starts services of ours as processes, and stops them."""

    folder: Path
    environment: dict[str, str]
    running: list[subprocess.Popen[bytes]] = field(default_factory=list[subprocess.Popen[bytes]])

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=self.folder,
            env={**_clean(), **self.environment, **environment},
        )
        self.running.append(process)
        return process

    def stop(self, process: subprocess.Popen[bytes]) -> int:
        """Ask it to end, and return how it did."""
        process.terminate()
        return process.wait(SECONDS_MAX)


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    """Nothing runs yet; whatever is started here ends with the test."""
    made = Services(tmp_path, {})
    yield made
    for process in made.running:
        if process.poll() is None:
            process.kill()
        process.wait(SECONDS_MAX)


def _out(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdout is not None
    return process.stdout


def _clean() -> dict[str, str]:
    return {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("DALSEGNO_", "OTEL_"))
    }
