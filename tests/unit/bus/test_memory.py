"""The bus in memory where it does more than the contract: its clock, and its faults."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush

import pytest

from dalsegno_bus.bus import Delivery, Entry, Outgoing, Pull
from dalsegno_bus.errors import PublishFailed, Unavailable
from dalsegno_bus.memory import Faults, MemoryBroker, MemoryBus
from dalsegno_bus.topology import Consumer, Stream, Topology

SECONDS_MAX = 20.0
WORK = Stream("WORK", ("work.>",), "work", messages_max=10_000)
WORKER = Consumer(WORK, "worker", ("work.>",), ack_wait_seconds=600.0)
NOON = datetime(2024, 10, 1, 12, tzinfo=UTC)


class ClockByHand:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self._now = NOON
        self._alarms: list[tuple[datetime, int, asyncio.Event]] = []

    def now(self) -> datetime:
        return self._now

    async def sleep(self, seconds: float) -> None:
        alarm = asyncio.Event()
        heappush(self._alarms, (self._now + timedelta(seconds=seconds), id(alarm), alarm))
        await alarm.wait()

    async def pass_by(self, seconds: float) -> None:
        """Let time pass, and whoever it wakes act."""
        for _ in range(10):
            await asyncio.sleep(0)
        self._now += timedelta(seconds=seconds)
        while self._alarms and self._alarms[0][0] <= self._now:
            heappop(self._alarms)[2].set()
        for _ in range(10):
            await asyncio.sleep(0)


def jobs(count: int) -> list[Outgoing]:
    return [Outgoing("work.a", str(number).encode()) for number in range(count)]


async def take(pull: Pull, count: int) -> list[Delivery]:
    taken: list[Delivery] = []
    async with asyncio.timeout(SECONDS_MAX):
        while len(taken) < count:
            taken += await pull.batch(limit=count - len(taken))
    return taken


async def see(entries: AsyncIterator[Entry | None]) -> Entry | None:
    return await anext(entries)


def bodies(deliveries: Sequence[Delivery]) -> list[int]:
    return [int(delivery.body) for delivery in deliveries]


# --- time -------------------------------------------------------------------------------------


async def test_what_is_silent_for_too_long_comes_again_by_the_clock_of_the_broker() -> None:
    clock = ClockByHand()
    bus = MemoryBus(MemoryBroker(clock=clock))
    await bus.provision(Topology(consumers=(WORKER,)))
    await bus.store(jobs(1))
    async with bus.pull([WORKER], ahead=1) as pull, asyncio.TaskGroup() as group:
        (first,) = await take(pull, 1)
        again = group.create_task(take(pull, 1))
        await clock.pass_by(599.0)
        assert not again.done()
        await first.extend()
        await clock.pass_by(599.0)
        assert not again.done()
        await clock.pass_by(2.0)
        assert [delivery.deliveries for delivery in await again] == [2]
        assert first.stored_at == NOON


async def test_a_key_expires_by_the_clock_of_the_broker() -> None:
    clock = ClockByHand()
    bus = MemoryBus(MemoryBroker(clock=clock))
    bucket = bus.bucket("agents")
    await bucket.put("live.a", b"1", ttl_seconds=10)
    async with bucket.watch() as entries, asyncio.TaskGroup() as group:
        assert [(await anext(entries)) is None for _ in range(2)] == [False, True]
        gone = group.create_task(see(entries))
        await clock.pass_by(9.0)
        assert not gone.done()
        await clock.pass_by(1.0)
        entry = await gone
        assert entry is not None
        assert (entry.key, entry.value) == ("live.a", None)


async def test_a_question_waits_by_the_clock_of_the_broker() -> None:
    clock = ClockByHand()
    bus = MemoryBus(MemoryBroker(clock=clock))
    async with bus.listen("query"), asyncio.TaskGroup() as group:
        asking = group.create_task(_expect_no_answer(bus))
        await clock.pass_by(3599.0)
        assert not asking.done()
        await clock.pass_by(1.0)
        assert asking.done()


async def _expect_no_answer(bus: MemoryBus) -> None:
    with pytest.raises(Unavailable, match="3600 seconds"):
        await bus.ask(Outgoing("query", b"?"), timeout_seconds=3600.0)


# --- faults -----------------------------------------------------------------------------------


async def deliver(faults: Faults, count: int) -> tuple[list[int], int]:
    """What arrives, in order, until all has arrived; and how often storing had to be repeated."""
    clock = ClockByHand()
    bus = MemoryBus(MemoryBroker(clock=clock, faults=faults))
    await bus.provision(Topology(consumers=(WORKER,)))
    repeats = 0
    for job in jobs(count):
        stored = False
        while not stored:
            try:
                await bus.store([job])
                stored = True
            except PublishFailed:
                repeats += 1
    arrived: list[int] = []
    async with bus.pull([WORKER], ahead=10) as pull, asyncio.TaskGroup() as group:

        async def work() -> None:
            while set(arrived) != set(range(count)):
                for delivery in await pull.batch(limit=10):
                    arrived.append(int(delivery.body))
                    await delivery.ack()

        working = group.create_task(work())
        while not working.done():
            await clock.pass_by(WORKER.ack_wait_seconds)
    return arrived, repeats


async def test_without_faults_everything_comes_once_and_in_order() -> None:
    assert await deliver(Faults(), 100) == (list(range(100)), 0)


async def test_with_faults_everything_comes_all_the_same() -> None:
    arrived, repeats = await deliver(Faults(3, lose=0.3, double=0.3, shuffle=0.3), 100)
    assert set(arrived) == set(range(100))
    assert repeats > 0
    assert len(arrived) > 100 + repeats
    assert arrived != sorted(arrived)


async def test_the_same_seed_brings_the_same_faults_and_another_seed_others() -> None:
    first, second, other = [
        await deliver(Faults(seed, lose=0.2, double=0.2, shuffle=0.2), 50) for seed in (5, 5, 6)
    ]
    assert first == second != other


async def test_core_messages_are_lost_doubled_and_shuffled() -> None:
    broker = MemoryBroker(faults=Faults(1, lose=0.3, double=0.3, shuffle=0.3))
    bus = MemoryBus(broker)
    async with bus.listen("live"):
        for number in range(200):
            await bus.tell(Outgoing("live", str(number).encode()))
        heard = [int(said.body) for said in broker.listeners[0].items]
    assert len(set(heard)) < 200, "some are lost"
    assert len(heard) > len(set(heard)), "some are doubled"
    assert heard != sorted(heard), "some overtake others"


# --- a broker that forgets --------------------------------------------------------------------


async def test_a_broker_that_lost_everything_is_another_epoch_and_works_on() -> None:
    broker = MemoryBroker()
    bus = MemoryBus(broker)
    await bus.provision(Topology(consumers=(WORKER,), buckets=("agents",)))
    await bus.bucket("agents").put("card.a", b"1")
    async with bus.pull([WORKER], ahead=10) as pull, bus.bucket("agents").watch() as entries:
        await bus.store(jobs(2))
        (old, _) = await take(pull, 2)
        epoch = bus.epoch
        broker.forget()
        assert bus.epoch > epoch
        await old.ack()
        assert await bus.store([Outgoing("work.a", b"7")]) == ["stored"]
        assert bodies(await take(pull, 1)) == [7]
        told = [await anext(entries) for _ in range(3)]
        assert told[-1] is not None
        assert (told[-1].key, told[-1].value) == ("card.a", None)
