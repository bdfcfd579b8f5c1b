"""NATS may lose everything, with a thousand runs in flight: each ends as it would have."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from integration.recovery.crowd import CHAIN, Crowd, Work

from dalsegno_bus.embedded import EmbeddedServer
from dalsegno_bus.nats.connection import Connection
from dalsegno_orchestrator.directory import circuits
from dalsegno_orchestrator.workflow.folding import attempts as folding
from dalsegno_orchestrator.workflow.rules import attempts as rules
from support.world import World

pytestmark = pytest.mark.slow

SOME = 700
"""So many works are begun before the gate, at which the fault comes."""
MORE = 600
"""So many are begun between a copy of the data and the moment when it is put back."""


@asynccontextmanager
async def in_flight(world: World, tasks: Mapping[str, Any] = CHAIN) -> AsyncGenerator[Crowd]:
    """A thousand runs, some done to a third or two, and two replicas full of work."""
    world.settings = world.settings.model_copy(update={"partitions": 2, "sweep_seconds": 2.0})
    crowd = Crowd(world)
    async with world.orchestrator(), crowd.replicas(1):
        await crowd.start(tasks)
        await crowd.until_stopped(after=SOME)
        yield crowd


LIMITED: Final[Mapping[str, Any]] = {
    **{
        name: task
        | {
            "timeout": "1s",
            "queue_timeout": "2s",
            "heartbeat_timeout": "1s",
            "retry": {"max_attempts": 10, "delay": "100ms", "max_delay": "200ms"},
        }
        for name, task in CHAIN.items()
    },
    "nap": {"sleep": "1s"},
}
AWAY_SECONDS: Final = 3.5
"""Longer than each of these times."""


async def test_the_server_is_away_for_longer_than_every_timeout(
    own_world: World, own_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (rules, folding):
        monkeypatch.setattr(module, "ATTEMPT_GRACE_SECONDS", 0.5)
    monkeypatch.setattr(circuits, "OPEN_SECONDS", 0.3)  # as short as everything else here
    async with in_flight(own_world, LIMITED) as crowd:
        own_server.kill()
        recorded, begun = await asyncio.to_thread(crowd.recorded), len(crowd.works)
        crowd.open()
        await asyncio.sleep(AWAY_SECONDS)  # the fault itself
        own_server.start()
        await carry_on(crowd, recorded, begun)


def damage(data: Path, hurt: Callable[[Path], None], pattern: str) -> int:
    """Hurt every file of the server's data that fits the pattern; returns how many."""
    files = [path for path in data.rglob(pattern) if path.is_file()]
    for path in files:
        hurt(path)
    return len(files)


def cut(path: Path) -> None:
    """Leave the first half, as a disk that was full or a power cut may."""
    os.truncate(path, path.stat().st_size // 2)


def scramble(path: Path) -> None:
    """Other bytes in the middle."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = b"\xff" * len(content[middle : middle + 64])
    path.write_bytes(content)


def empty(path: Path) -> None:
    os.truncate(path, 0)


async def carry_on(crowd: Crowd, recorded: set[Work], begun: int) -> None:
    """Go on with replicas that remember nothing, until all has ended as it should."""
    crowd.open()
    async with crowd.replicas(2):
        await crowd.must_end_well(recorded=recorded, begun=begun)


async def test_the_server_loses_all_its_data(own_world: World, own_server: EmbeddedServer) -> None:
    async with in_flight(own_world) as crowd:
        recorded, begun = await crowd.settled(), len(crowd.works)
        own_server.restart(wipe=True)
        await carry_on(crowd, recorded, begun)


async def test_the_streams_are_deleted(own_world: World, own_server: EmbeddedServer) -> None:
    subjects = own_world.subjects
    async with in_flight(own_world) as crowd:
        recorded, begun = await crowd.settled(), len(crowd.works)
        admin = Connection(own_server.url)
        await admin.open("admin")
        buckets = (f"KV_{subjects.agents_bucket}", f"KV_{subjects.leases_bucket}")
        for stream in (subjects.task_stream, subjects.inbox_stream, *buckets):
            await admin.call(f"$JS.API.STREAM.DELETE.{stream}")
        await admin.shut()
        await carry_on(crowd, recorded, begun)


def copy(server: EmbeddedServer, target: Path) -> None:
    """A copy of the server's data as they are at one moment, as a snapshot of the disk gives it."""
    assert server.pid is not None
    os.kill(server.pid, signal.SIGSTOP)
    try:
        shutil.copytree(server.data, target)
    finally:
        os.kill(server.pid, signal.SIGCONT)


async def test_an_old_copy_of_the_data_is_put_back(
    own_world: World, own_server: EmbeddedServer, tmp_path: Path
) -> None:
    async with in_flight(own_world) as crowd:
        await crowd.settled()
        copy(own_server, tmp_path / "copy")
        await crowd.until_stopped(after=len(crowd.works) + MORE)
        recorded, begun = await crowd.settled(), len(crowd.works)
        own_server.kill()
        shutil.rmtree(own_server.data)
        shutil.copytree(tmp_path / "copy", own_server.data)
        own_server.start()
        await carry_on(crowd, recorded, begun)


@pytest.mark.parametrize(
    ("hurt", "patterns"),
    [
        pytest.param(cut, ["*.blk"], id="message blocks cut in the middle"),
        pytest.param(scramble, ["*.blk"], id="message blocks with other bytes in the middle"),
        pytest.param(Path.unlink, ["*.blk"], id="message blocks removed"),
        pytest.param(empty, ["o.dat"], id="state files of consumers emptied"),
        pytest.param(Path.unlink, ["meta.inf", "meta.sum"], id="descriptions removed"),
        pytest.param(cut, ["*"], id="every file cut"),
    ],
)
async def test_files_of_the_server_are_damaged_by_a_power_cut(
    own_world: World,
    own_server: EmbeddedServer,
    hurt: Callable[[Path], None],
    patterns: list[str],
) -> None:
    async with in_flight(own_world) as crowd:
        recorded, begun = await crowd.settled(), len(crowd.works)
        own_server.kill()
        assert sum(damage(own_server.data, hurt, pattern) for pattern in patterns)
        own_server.start()
        await carry_on(crowd, recorded, begun)


@pytest.mark.parametrize(
    ("hurt", "patterns"),
    [
        pytest.param(Path.unlink, ["index.db"], id="indexes removed"),
        pytest.param(cut, ["index.db", "o.dat"], id="indexes and states of consumers cut"),
        pytest.param(scramble, ["index.db"], id="indexes with other bytes in the middle"),
        pytest.param(cut, ["*.blk"], id="message blocks cut in the middle"),
    ],
)
async def test_files_of_the_server_are_damaged_while_it_is_stopped(
    own_world: World,
    own_server: EmbeddedServer,
    hurt: Callable[[Path], None],
    patterns: list[str],
) -> None:
    async with in_flight(own_world) as crowd:
        recorded, begun = await crowd.settled(), len(crowd.works)
        own_server.stop()  # in good order, so that it writes its indexes
        assert sum(damage(own_server.data, hurt, pattern) for pattern in patterns)
        own_server.start()
        await carry_on(crowd, recorded, begun)
