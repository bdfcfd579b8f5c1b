"""The same bus twice: in memory, and over a real server; and how the tests listen to it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TypeAlias

import pytest

from dalsegno_bus.bus import Bus, Delivery, Entry, Heard, Outgoing, Pull
from dalsegno_bus.embedded import EmbeddedServer
from dalsegno_bus.errors import PublishFailed
from dalsegno_bus.memory import MemoryBroker, MemoryBus
from dalsegno_bus.nats import connect as connect_nats
from dalsegno_bus.subjects import Subjects
from dalsegno_bus.topology import Consumer, Stream

Connect: TypeAlias = Callable[[], Awaitable[Bus]]
"""Opens one more connection to the same servers."""

SECONDS_MAX = 20.0
"""How long any of these may take before it counts as never."""

QUIET_SECONDS = 0.3
"""How long nothing must come before we say that nothing comes."""


def worker(subjects: Subjects, *, ack_wait_seconds: float = 30.0) -> Consumer:
    """The one reader of a plain work stream."""
    pattern = f"{subjects.namespace}.work.>"
    stream = Stream(
        name=f"{subjects.namespace.upper()}_WORK",
        subjects=(pattern,),
        keeps="work",
        messages_max=300,
    )
    return Consumer(stream, "worker", (pattern,), ack_wait_seconds)


def job(subjects: Subjects, name: str, body: bytes = b"{}") -> Outgoing:
    return Outgoing(f"{subjects.namespace}.work.{name}", body)


async def take(pull: Pull, count: int) -> list[Delivery]:
    """Exactly `count` deliveries."""
    taken: list[Delivery] = []
    async with asyncio.timeout(SECONDS_MAX):
        while len(taken) < count:
            taken += await pull.batch(limit=count - len(taken))
    return taken


async def stays_empty(pull: Pull) -> bool:
    try:
        async with asyncio.timeout(QUIET_SECONDS):
            await pull.batch(limit=1)
    except TimeoutError:
        return True
    return False


async def stored_in_time(bus: Bus, message: Outgoing) -> None:
    """Return when the stream takes the message, as soon as the acknowledgement has reached it."""
    async with asyncio.timeout(SECONDS_MAX):
        outcome = ["refused"]
        while outcome != ["stored"]:
            with suppress(PublishFailed):
                outcome = list(await bus.store([message]))


async def ack_all(deliveries: Sequence[Delivery]) -> None:
    for delivery in deliveries:
        await delivery.ack()


async def hear(messages: AsyncIterator[Heard]) -> Heard:
    async with asyncio.timeout(SECONDS_MAX):
        return await anext(messages)


async def see(entries: AsyncIterator[Entry | None]) -> Entry | None:
    async with asyncio.timeout(SECONDS_MAX):
        return await anext(entries)


@pytest.fixture(params=["memory", "nats"])
async def connect(request: pytest.FixtureRequest) -> AsyncIterator[Connect]:
    opened: list[Bus] = []
    if request.param == "memory":
        broker = MemoryBroker()

        async def open_one() -> Bus:
            opened.append(MemoryBus(broker))
            return opened[-1]
    else:
        server: EmbeddedServer = request.getfixturevalue("nats_server")

        async def open_one() -> Bus:
            opened.append(await connect_nats(server.url, name="test"))
            return opened[-1]

    yield open_one
    for bus in opened:
        await bus.close()


@pytest.fixture
async def bus(connect: Connect) -> Bus:
    return await connect()


@pytest.fixture
def subjects(namespace: str) -> Subjects:
    return Subjects(namespace=namespace, partitions=2)
