"""A world over each of the two buses."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dalsegno_bus.bus import Bus
from dalsegno_bus.embedded import EmbeddedServer
from dalsegno_bus.memory import MemoryBroker, MemoryBus
from dalsegno_bus.nats import connect
from support.world import World


@pytest.fixture(params=["memory", "nats"])
async def world(
    request: pytest.FixtureRequest, tmp_path: Path, namespace: str
) -> AsyncIterator[World]:
    opened: list[Bus] = []
    if request.param == "memory":
        broker = MemoryBroker()

        async def open_one() -> Bus:
            opened.append(MemoryBus(broker))
            return opened[-1]
    else:
        server: EmbeddedServer = request.getfixturevalue("nats_server")

        async def open_one() -> Bus:
            opened.append(await connect(server.url, name="test"))
            return opened[-1]

    made = World(open_one, namespace, tmp_path, await open_one())
    yield made
    made.store.close()
    for bus in reversed(opened):
        await bus.close()
