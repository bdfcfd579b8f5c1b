"""End to end: real processes, stopped by their own ids, also when a test fails."""

import signal
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from support.commands import Commands, marked


@pytest.fixture
async def commands(tmp_path: Path) -> AsyncGenerator[Commands]:
    mine = Commands(tmp_path)
    yield mine
    for command in mine.started:
        if command.process.returncode is None:
            command.process.kill()
            await command.process.wait()
        for process in marked(command.mark):
            process.send_signal(signal.SIGKILL)
