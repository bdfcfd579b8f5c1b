"""Orchestrators that share a store and an inbox; and a NATS server of one's own, to be killed."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dalsegno_bus.bus import Bus
from dalsegno_bus.embedded import EmbeddedServer
from dalsegno_bus.memory import MemoryBroker, MemoryBus
from dalsegno_bus.nats import connect
from support.world import World


@pytest.fixture
async def world(tmp_path: Path, namespace: str) -> AsyncIterator[World]:
    """A world in memory."""
    broker = MemoryBroker()
    opened: list[Bus] = []

    async def open_one() -> Bus:
        opened.append(MemoryBus(broker))
        return opened[-1]

    made = World(open_one, namespace, tmp_path, await open_one())
    yield made
    made.store.close()
    for bus in reversed(opened):
        await bus.close()


@pytest.fixture
async def own_server(tmp_path: Path) -> AsyncIterator[EmbeddedServer]:
    """A NATS server that nobody else uses."""
    async with EmbeddedServer(tmp_path / "nats") as server:
        yield server


@pytest.fixture
async def own_world(
    own_server: EmbeddedServer, tmp_path: Path, namespace: str
) -> AsyncIterator[World]:
    """A world over that server."""
    opened: list[Bus] = []

    async def open_one() -> Bus:
        opened.append(await connect(own_server.url, name="test"))
        return opened[-1]

    made = World(open_one, namespace, tmp_path, await open_one())
    yield made
    made.store.close()
    for bus in reversed(opened):
        await bus.close()
