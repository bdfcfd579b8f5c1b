"""Servers that go silent between a service's first word and its listening end no service."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import BaseModel

from dalsegno_agents import Agent, TaskContext
from dalsegno_bus.bus import Bucket, Bus, Entry, Heard
from dalsegno_bus.errors import Unavailable
from dalsegno_bus.memory import MemoryBroker, MemoryBus
from support.world import World

DEAF_TIMES = 2


class DeafBus(MemoryBus):
    """A connection that hears nothing at first: each way to listen fails so many times."""

    def __init__(self, broker: MemoryBroker) -> None:
        super().__init__(broker)
        self.failures: dict[str, int] = {}

    def _fail(self, what: str) -> None:
        failures = self.failures.setdefault(what, 0)
        if failures < DEAF_TIMES:
            self.failures[what] += 1
            raise Unavailable("the server does not answer")

    @asynccontextmanager
    async def listen(
        self, *subjects: str, queue: str | None = None
    ) -> AsyncGenerator[AsyncIterator[Heard], None]:
        self._fail(subjects[0])
        async with super().listen(*subjects, queue=queue) as heard:
            yield heard

    def bucket(self, name: str) -> Bucket:  # pyright: ignore[reportIncompatibleMethodOverride]
        bucket = super().bucket(name)
        watch = bucket.watch

        @asynccontextmanager
        async def deaf() -> AsyncGenerator[AsyncIterator[Entry | None], None]:
            self._fail(name)
            async with watch() as entries:
                yield entries

        bucket.watch = deaf
        return bucket


class Number(BaseModel):
    value: int


def counter() -> Agent[None]:
    agent: Agent[None] = Agent("counter", deps=None)

    @agent.handles("count")
    async def count(number: Number, context: TaskContext[None]) -> Number:
        del context
        return Number(value=number.value + 1)

    return agent


@pytest.fixture
async def deaf_world(tmp_path: Path, namespace: str) -> AsyncIterator[tuple[World, list[DeafBus]]]:
    """A world whose services are hard of hearing, and their connections."""
    broker = MemoryBroker()
    opened: list[DeafBus] = []

    async def open_one() -> Bus:
        opened.append(DeafBus(broker))
        return opened[-1]

    own = MemoryBus(broker)
    world = World(open_one, namespace, tmp_path, own)
    yield world, opened
    world.store.close()
    for bus in (*opened, own):
        await bus.close()


async def test_services_that_cannot_listen_at_first_begin_all_the_same(
    deaf_world: tuple[World, list[DeafBus]],
) -> None:
    world, connections = deaf_world
    task = {"capability": "count", "input": {"value": "${ input.value }"}}
    async with asyncio.timeout(30), world.orchestrator(), world.worker(counter()):
        await world.register("short", {"one": task})
        accepted = await world.client.start("short", {"value": 1})
        assert (await world.result(accepted.run_id)).status == "completed"

    subjects = world.subjects
    silent = {what for bus in connections for what in bus.failures}
    assert {subjects.agents_bucket, subjects.leases_bucket, subjects.wanted} <= silent
    assert subjects.control("counter") in silent
