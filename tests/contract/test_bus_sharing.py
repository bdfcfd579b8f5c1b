"""More of what processes share work with: races for a key, what a watch sees, moving readers."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from dalsegno_bus.bus import Bus, Delivery, Entry, Outgoing, Pull
from dalsegno_bus.embedded import EmbeddedServer
from dalsegno_bus.memory import MemoryBroker, MemoryBus
from dalsegno_bus.nats import connect as connect_nats
from dalsegno_bus.subjects import Subjects
from dalsegno_bus.topology import Topology, inbox_consumer, topology_of
from tests.contract.conftest import SECONDS_MAX, Connect, ack_all, job, see, take, worker


async def _race(buses: list[Bus], name: str, key: str) -> int:
    """How many of these created the key."""
    won: list[int] = []

    async def create(bus: Bus, value: bytes) -> None:
        if (revision := await bus.bucket(name).create(key, value)) is not None:
            won.append(revision)

    async with asyncio.TaskGroup() as group:
        for number, bus in enumerate(buses):
            group.create_task(create(bus, b"%d" % number))
    return len(won)


async def test_of_many_who_create_a_key_at_once_one_does(
    connect: Connect, subjects: Subjects
) -> None:
    buses = [await connect() for _ in range(4)]
    bucket = buses[0].bucket(subjects.leases_bucket)
    assert await _race(buses, subjects.leases_bucket, "partition.1") == 1
    for _ in range(5):  # and so it is where only the mark of a deletion is
        await bucket.delete("partition.1")
        assert await _race(buses, subjects.leases_bucket, "partition.1") == 1


async def test_a_watch_sees_creations_updates_and_deletions_in_their_order(
    bus: Bus, connect: Connect, subjects: Subjects
) -> None:
    bucket = bus.bucket(subjects.leases_bucket)
    async with (await connect()).bucket(subjects.leases_bucket).watch() as entries:
        assert await see(entries) is None
        first = await bucket.create("partition.1", b"1")
        assert first is not None
        assert await bucket.create("partition.1", b"x") is None
        assert await see(entries) == Entry("partition.1", b"1", first)
        second = await bucket.update("partition.1", b"2", first)
        assert second is not None
        assert await bucket.update("partition.1", b"x", first) is None
        assert await see(entries) == Entry("partition.1", b"2", second)
        assert not await bucket.delete("partition.1", revision=first)
        assert await bucket.delete("partition.1", revision=second)
        gone = await see(entries)
        assert gone is not None
        assert (gone.key, gone.value) == ("partition.1", None)
        third = await bucket.create("partition.1", b"3")
        assert third is not None
        assert await see(entries) == Entry("partition.1", b"3", third)


async def test_a_key_without_a_time_to_live_outlives_the_one_it_had(
    bus: Bus, subjects: Subjects
) -> None:
    bucket = bus.bucket(subjects.leases_bucket)
    revision = await bucket.create("member.a", b"1", ttl_seconds=1)
    assert revision is not None
    assert await bucket.update("member.a", b"2", revision) is not None
    async with asyncio.timeout(SECONDS_MAX), bucket.watch() as entries:
        await bucket.create("member.b", b"1", ttl_seconds=1)
        while (entry := await anext(entries)) is None or entry.value is not None:
            pass
    assert entry.key == "member.b"  # which was made later
    assert await bucket.get("member.a") is not None


async def test_reset_serves_whoever_is_reading_already(
    bus: Bus, connect: Connect, subjects: Subjects
) -> None:
    consumer = worker(subjects)  # who would keep it for 30 s
    await bus.provision(Topology(consumers=(consumer,)))
    await bus.store([job(subjects, "a")])
    async with bus.pull([consumer], ahead=4) as pull:
        (first,) = await take(pull, 1)
        await (await connect()).reset(consumer)
        (again,) = await take(pull, 1)
        assert again.sequence == first.sequence
        await first.retry(delay_seconds=0.1)  # of the reader that is no more: no harm
        await first.extend()
        await again.ack()
        await bus.store([job(subjects, "b")])
        await ack_all(await _until_subject(pull, job(subjects, "b").subject))


async def _until_subject(pull: Pull, subject: str) -> list[Delivery]:
    taken: list[Delivery] = []
    async with asyncio.timeout(SECONDS_MAX):
        while not any(one.subject == subject for one in taken):
            taken += await pull.batch(limit=10)
    return taken


@pytest.mark.slow
async def test_a_pull_turns_to_others_after_the_server_lost_all_its_data(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path)
    server.start()
    subjects = Subjects(partitions=2)
    first, second = (inbox_consumer(subjects, number) for number in (0, 1))
    bus = await connect_nats(server.url, name="test")
    await bus.provision(topology_of(subjects))
    async with asyncio.timeout(2 * SECONDS_MAX), bus.pull([first], ahead=10) as pull:
        epoch = bus.epoch
        await asyncio.to_thread(server.restart, wipe=True)
        await pull.turn_to([second])
        while bus.epoch == epoch:  # noqa: ASYNC110  # nothing to wait for: it is a number
            await asyncio.sleep(0.01)
        await bus.store([_request(subjects, 1)])
        (delivery,) = await take(pull, 1)
        assert delivery.consumer_name == second.name
        await bus.reset(first)
        await pull.turn_to([first, second])
        await bus.store([_request(subjects, 2)])
        (delivery,) = await take(pull, 1)
        assert delivery.consumer_name == first.name
    await bus.close()
    server.stop()


def _request(subjects: Subjects, number: int) -> Outgoing:
    return Outgoing(subjects.request(UUID(int=number)), b"{}")


class _Hand:
    """A clock that moves when it is told."""

    def __init__(self) -> None:
        self.time = datetime(2000, 1, 1, tzinfo=UTC)
        self._moved = asyncio.Condition()

    def now(self) -> datetime:
        return self.time

    async def sleep(self, seconds: float) -> None:
        until = self.time + timedelta(seconds=seconds)
        async with self._moved:
            await self._moved.wait_for(lambda: self.time >= until)

    async def move(self, seconds: float) -> None:
        async with self._moved:
            self.time += timedelta(seconds=seconds)
            self._moved.notify_all()


async def test_in_memory_a_key_expires_by_the_clock_of_the_broker() -> None:
    clock = _Hand()
    bucket = MemoryBus(MemoryBroker(clock=clock)).bucket("leases")
    assert await bucket.create("member.a", b"1", ttl_seconds=3600) is not None
    async with bucket.watch() as entries, asyncio.TaskGroup() as group:
        assert [await see(entries) for _ in range(2)][-1] is None
        seeing = group.create_task(see(entries))
        await clock.move(3599.0)
        assert await bucket.create("member.a", b"2") is None
        assert not seeing.done()
        await clock.move(1.0)
        gone = await seeing
        assert gone is not None
        assert (gone.key, gone.value) == ("member.a", None)
    assert await bucket.create("member.a", b"2", ttl_seconds=1) is not None
