import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from integration.projections.databases import Databases
from integration.projections.waiting import SECONDS_MAX, until
from unit.projections.story import assigned, completed, run_of, started, told

from dalsegno_bus.bus import Outgoing
from dalsegno_bus.errors import Unavailable
from dalsegno_bus.memory import MemoryBroker, MemoryBus
from dalsegno_bus.subjects import Subjects
from dalsegno_projections.follower import Follower, Steps, hear_hints
from dalsegno_projections.storage.rows import Select
from dalsegno_projections.views.runs import RUNS

NEVER_SECONDS = 3_600.0


@asynccontextmanager
async def following(follower: Follower) -> AsyncGenerator[None]:
    """The follower at work, until the block ends; it stops in order."""
    async with asyncio.timeout(SECONDS_MAX), asyncio.TaskGroup() as group:
        group.create_task(follower.run())
        try:
            yield
        finally:
            follower.stop()


class CountedSteps:
    """Counts the steps, and fails as often as it is told to."""

    def __init__(self, steps: Steps | None = None, *, faults: int = 0) -> None:
        self._steps = steps
        self.faults = faults
        self.count = 0

    def step(self) -> bool:
        self.count += 1
        if self.faults:
            self.faults -= 1
            raise Unavailable("the event store is away")
        return False if self._steps is None else self._steps.step()


async def test_a_ring_brings_in_what_was_recorded(databases: Databases) -> None:
    follower = Follower(databases.projector(), name="views", poll_seconds=NEVER_SECONDS)
    async with following(follower):
        await until(lambda: follower.caught_up)
        for number in range(20):
            databases.store.append(told(started(), stream=run_of(str(number))))
            follower.ring()
        await until(lambda: databases.rows.count(RUNS) == 20)


async def test_without_a_ring_it_looks_by_itself(sqlite: Databases) -> None:
    follower = Follower(sqlite.projector(), name="views", poll_seconds=0.01)
    async with following(follower):
        await until(lambda: follower.caught_up)
        sqlite.store.append(told(started()))
        await until(lambda: sqlite.rows.count(RUNS) == 1)


async def test_it_follows_a_store_that_others_write_to(databases: Databases) -> None:
    writer = databases.open_store()

    def write() -> None:
        for number in range(100):
            stream = run_of(str(number))
            for sealed in told(started(), assigned("a"), completed("a"), stream=stream):
                writer.append([sealed])

    follower = Follower(databases.projector(batch_events_max=7), name="views", poll_seconds=0.01)
    async with following(follower):
        await asyncio.to_thread(write)
        await until(lambda: databases.rows.count(RUNS, Select(equal={"version": 3})) == 100)
    before = databases.digests()
    databases.projector().rebuild("tasks")
    assert databases.digests() == before


async def test_while_there_is_more_it_does_not_wait(sqlite: Databases) -> None:
    for number in range(30):
        sqlite.store.append(told(started(), stream=run_of(str(number))))
    projector = sqlite.projector(batch_events_max=1)
    follower = Follower(projector, name="views", poll_seconds=NEVER_SECONDS)
    async with following(follower):
        await until(lambda: follower.caught_up)
    assert sqlite.rows.count(RUNS) == 30


async def test_what_is_away_is_said_once_and_waited_for(
    caplog: pytest.LogCaptureFixture, sqlite: Databases
) -> None:
    sqlite.store.append(told(started()))
    steps = CountedSteps(sqlite.projector(), faults=4)
    follower = Follower(steps, name="views", poll_seconds=NEVER_SECONDS, backoff_seconds_min=0.001)
    async with following(follower):
        await until(lambda: steps.faults < 4)
        await until(lambda: follower.caught_up)
    assert follower.fault is None
    assert [record.message for record in caplog.records].count("follower_waits") == 1
    assert sqlite.rows.count(RUNS) == 1


async def test_it_stops_at_once_while_it_waits_for_what_is_away() -> None:
    steps = CountedSteps(faults=1_000)
    follower = Follower(steps, name="views", backoff_seconds_min=NEVER_SECONDS)
    async with following(follower):
        await until(lambda: follower.fault is not None)
    assert steps.count == 1


async def test_told_to_stop_before_it_began_it_does_nothing() -> None:
    steps = CountedSteps()
    follower = Follower(steps, name="views")
    follower.stop()
    async with asyncio.timeout(SECONDS_MAX):
        await follower.run()
    assert steps.count == 0


async def test_a_hint_on_the_bus_rings() -> None:
    subjects = Subjects(namespace="t")
    bus, other = _two_connections()
    steps = CountedSteps()
    follower = Follower(steps, name="views", poll_seconds=NEVER_SECONDS)
    async with asyncio.TaskGroup() as group:
        hearing = group.create_task(hear_hints(bus, subjects, follower))
        async with following(follower):
            await until(lambda: steps.count == 1)
            async with asyncio.timeout(SECONDS_MAX):
                while steps.count == 1:  # the listener may not have begun yet
                    await other.tell(Outgoing(subjects.recorded_hint, b""))
                    await asyncio.sleep(0.005)
        hearing.cancel()


def _two_connections() -> tuple[MemoryBus, MemoryBus]:
    broker = MemoryBroker()
    return MemoryBus(broker), MemoryBus(broker)
