"""A stand tells processes that end as they should from those that do not."""

import asyncio
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from chaos.databases import SqliteFile
from chaos.stand import Service, Shape, Stand
from dalsegno.processes import Processes, Program
from support.world import until

FAILS = "import sys; sys.exit(1)"
FAILS_WHEN_STOPPED = """
import signal, sys, pathlib
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
pathlib.Path(sys.argv[1]).touch()
signal.pause()
"""
STOPS = FAILS_WHEN_STOPPED.replace("sys.exit(1)", "sys.exit(0)")


@asynccontextmanager
async def stand_with(folder: Path, script: str) -> AsyncGenerator[Stand]:
    """A stand of one process that runs this script, and that is ready."""
    ready = folder / "ready"
    program = Program(
        name="one",
        arguments=(sys.executable, "-c", script, str(ready)),
        environment={},
    )
    stand = Stand(
        shape=Shape(),
        folder=folder,
        nodes=[],
        database=SqliteFile(folder),
        processes=Processes(folder / "logs"),
        services={"one": Service(program=program, to_nats=[], to_database=[])},
    )
    stand.start("one")
    try:
        if script != FAILS:
            await until(ready.exists)
        yield stand
    finally:
        await stand.stop()


async def test_who_ends_by_itself_is_noted_and_started_again(tmp_path: Path) -> None:
    async with stand_with(tmp_path, FAILS) as stand, asyncio.TaskGroup() as group:
        supervisor = group.create_task(stand.supervise())
        await until(lambda: stand.ended["one ended with exit code 1"] >= 2)
        supervisor.cancel()


async def test_who_ends_with_an_error_when_told_to_stop_is_noted(tmp_path: Path) -> None:
    async with stand_with(tmp_path, FAILS_WHEN_STOPPED) as stand:
        await stand.end("one", signal.SIGTERM)

        assert stand.ended == {"one ended with exit code 1": 1}


async def test_who_ends_with_an_error_at_the_very_end_is_noted(tmp_path: Path) -> None:
    async with stand_with(tmp_path, FAILS_WHEN_STOPPED) as stand:
        await stand.stop()

        assert stand.ended == {"one ended with exit code 1": 1}


async def test_who_ends_as_asked_for_or_is_killed_by_us_is_not_noted(tmp_path: Path) -> None:
    async with stand_with(tmp_path, STOPS) as stand:
        await stand.end("one", signal.SIGTERM)
        stand.start("one")
        await stand.end("one", signal.SIGKILL)
        await stand.stop()

        assert not stand.ended
        assert not stand.killed
