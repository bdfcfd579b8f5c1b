"""Leases over a bus in memory: who owns what as orchestrators come, go, and are cut off."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import asynccontextmanager

import pytest

from dalsegno_bus.bus import Bucket
from dalsegno_bus.clock import utc_now
from dalsegno_bus.errors import Unavailable
from dalsegno_bus.memory import MemoryBroker, MemoryBus
from dalsegno_bus.subjects import Subjects
from dalsegno_bus.topology import topology_of
from dalsegno_orchestrator.leases.leases import AWAY, Leases
from support.world import until

PARTITIONS = 4
SUBJECTS = Subjects(namespace="ds", partitions=PARTITIONS)


class ShakyBus(MemoryBus):
    """A connection that fails at the next writes of a partition's key, so many times."""

    def __init__(self, broker: MemoryBroker) -> None:
        super().__init__(broker)
        self.failures = 0

    def bucket(self, name: str) -> Bucket:  # pyright: ignore[reportIncompatibleMethodOverride]
        bucket = super().bucket(name)
        update = bucket.update

        async def shaky(
            key: str, value: bytes, revision: int, *, ttl_seconds: int | None = None
        ) -> int | None:
            if key.startswith("partition.") and self.failures:
                self.failures -= 1
                raise Unavailable("cut off")
            return await update(key, value, revision, ttl_seconds=ttl_seconds)

        bucket.update = shaky
        return bucket


class Seat:
    """One that settles what its leases say, as an orchestrator does between two batches."""

    def __init__(self, bus: MemoryBus, name: str) -> None:
        self.wake = asyncio.Event()
        self.leases = Leases(
            bus, SUBJECTS, name=name, lease_seconds=5, now=utc_now, wake=self.wake.set
        )

    async def settle_always(self) -> None:
        while True:
            await self.wake.wait()
            self.wake.clear()
            try:
                await self.leases.leave(self.leases.surplus())
                await self.leases.claim(self.leases.wanted())
            except AWAY:
                self.wake.set()
                await asyncio.sleep(0)


@asynccontextmanager
async def seated(bus: MemoryBus, name: str) -> AsyncGenerator[Leases]:
    """An orchestrator's leases while the block lasts; then it is gone without a word."""
    seat = Seat(bus, name)
    async with asyncio.TaskGroup() as group:
        loops = [group.create_task(seat.leases.keep()), group.create_task(seat.settle_always())]
        try:
            yield seat.leases
        finally:
            for loop in loops:
                loop.cancel()


@pytest.fixture
async def broker() -> MemoryBroker:
    broker = MemoryBroker()
    await MemoryBus(broker).provision(topology_of(SUBJECTS))
    return broker


def holding(leases: Leases) -> set[int]:
    return {number for number in range(PARTITIONS) if leases.holds(number)}


def own(count: int, *several: Leases) -> Callable[[], bool]:
    """Whether each of these holds so many partitions, and none holds another's."""

    def check() -> bool:
        held: list[Collection[int]] = [holding(leases) for leases in several]
        together = {number for numbers in held for number in numbers}
        return all(len(one) == count for one in held) and len(together) == count * len(held)

    return check


async def test_one_owns_all_and_two_share(broker: MemoryBroker) -> None:
    async with seated(MemoryBus(broker), "a") as first:
        await until(own(4, first))
        assert set(first.epochs().values()) == {1}
        async with seated(MemoryBus(broker), "b") as second:
            await until(own(2, first, second))
            assert set(second.epochs().values()) == {2}


async def test_who_resigns_leaves_its_part_to_others_at_once(broker: MemoryBroker) -> None:
    async with seated(MemoryBus(broker), "a") as first:
        await until(own(4, first))
        async with seated(MemoryBus(broker), "b") as second:
            await until(own(2, first, second))
            await second.resign()
            async with asyncio.timeout(1):
                await until(own(4, first))


async def test_a_later_one_with_the_same_name_takes_all_at_once_and_the_older_steps_back(
    broker: MemoryBroker,
) -> None:
    async with seated(MemoryBus(broker), "a") as older:
        await until(own(4, older))
        async with seated(MemoryBus(broker), "a") as later:
            async with asyncio.timeout(1):
                await until(own(4, later))
            assert holding(older) == set()
            assert "its own" in (older.problem() or "")
            assert older.wanted() == []
            await later.resign()
        await until(own(4, older))


async def test_what_could_not_be_given_up_is_given_up_later(broker: MemoryBroker) -> None:
    shaky = ShakyBus(broker)
    async with seated(shaky, "a") as first:
        await until(own(4, first))
        shaky.failures = 3
        async with seated(MemoryBus(broker), "b") as second:
            await until(own(2, first, second))


async def test_what_the_servers_forget_is_written_again_and_nobody_loses_anything(
    broker: MemoryBroker,
) -> None:
    async with (
        seated(MemoryBus(broker), "a") as first,
        seated(MemoryBus(broker), "b") as second,
    ):
        await until(own(2, first, second))
        before = holding(first), holding(second), first.epochs(), second.epochs()
        for _ in range(3):
            broker.forget()
            bucket = MemoryBus(broker).bucket(SUBJECTS.leases_bucket)
            found = 0
            async with asyncio.timeout(5), bucket.watch() as entries:
                async for entry in entries:
                    found += entry is not None and entry.key.startswith("partition.")
                    if found == PARTITIONS:
                        break
            await until(own(2, first, second))
            assert (holding(first), holding(second), first.epochs(), second.epochs()) == before
