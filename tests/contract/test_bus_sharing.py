"""What processes share work with: keys that change from one revision only, readers that move."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from dalsegno_bus.bus import Bus, Delivery, Entry, Outgoing, Pull
from dalsegno_bus.embedded import EmbeddedServer
from dalsegno_bus.errors import UsageError
from dalsegno_bus.memory import MemoryBroker, MemoryBus
from dalsegno_bus.nats import connect as connect_nats
from dalsegno_bus.subjects import Subjects
from dalsegno_bus.topology import Topology, inbox_consumer, topology_of
from tests.contract.conftest import (
    SECONDS_MAX,
    Connect,
    ack_all,
    job,
    see,
    stays_empty,
    take,
    worker,
)

# --- keys ---------------------------------------------------------------------------------------


async def test_a_key_is_created_once(bus: Bus, subjects: Subjects) -> None:
    bucket = bus.bucket(subjects.leases_bucket)

    revision = await bucket.create("partition.1", b"mine")

    assert revision is not None
    assert await bucket.create("partition.1", b"yours") is None
    assert await bucket.get("partition.1") == Entry("partition.1", b"mine", revision)


async def test_a_key_that_was_deleted_may_be_created_again(bus: Bus, subjects: Subjects) -> None:
    bucket = bus.bucket(subjects.leases_bucket)
    await bucket.create("partition.1", b"mine")
    await bucket.delete("partition.1")

    revision = await bucket.create("partition.1", b"yours")

    assert revision is not None
    assert await bucket.create("partition.1", b"his") is None


async def test_a_key_that_has_expired_may_be_created_again(bus: Bus, subjects: Subjects) -> None:
    bucket = bus.bucket(subjects.leases_bucket)
    async with asyncio.timeout(SECONDS_MAX), bucket.watch() as entries:
        await bucket.create("member.a", b"1", ttl_seconds=1)
        while (entry := await anext(entries)) is None or entry.value is not None:
            pass

    assert await bucket.create("member.a", b"2", ttl_seconds=100) is not None


async def test_a_key_changes_from_its_own_revision_only(bus: Bus, subjects: Subjects) -> None:
    bucket = bus.bucket(subjects.leases_bucket)
    first = await bucket.put("partition.1", b"1")
    second = await bucket.update("partition.1", b"2", first)

    assert second is not None
    assert second > first
    assert await bucket.update("partition.1", b"3", first) is None
    assert await bucket.get("partition.1") == Entry("partition.1", b"2", second)


async def test_of_many_who_change_a_key_at_once_one_does(
    bus: Bus, connect: Connect, subjects: Subjects
) -> None:
    revision = await bus.bucket(subjects.leases_bucket).put("partition.1", b"nobody")
    others = [await connect() for _ in range(4)]
    won: list[int] = []

    async def claim(other: Bus, value: bytes) -> None:
        bucket = other.bucket(subjects.leases_bucket)
        new = await bucket.update("partition.1", value, revision)
        if new is not None:
            won.append(new)

    async with asyncio.TaskGroup() as group:
        for number, other in enumerate(others):
            group.create_task(claim(other, b"%d" % number))

    assert len(won) == 1


async def test_a_change_may_let_a_key_expire(bus: Bus, subjects: Subjects) -> None:
    bucket = bus.bucket(subjects.leases_bucket)
    revision = await bucket.put("member.a", b"1")
    async with asyncio.timeout(SECONDS_MAX), bucket.watch() as entries:
        await bucket.update("member.a", b"2", revision, ttl_seconds=1)
        while (entry := await anext(entries)) is None or entry.value is not None:
            pass

    assert await bucket.get("member.a") is None


async def test_a_key_is_deleted_at_its_own_revision_only(bus: Bus, subjects: Subjects) -> None:
    bucket = bus.bucket(subjects.leases_bucket)
    first = await bucket.put("partition.1", b"1")
    second = await bucket.put("partition.1", b"2")

    assert not await bucket.delete("partition.1", revision=first)
    assert await bucket.delete("partition.1", revision=second)
    assert await bucket.get("partition.1") is None


async def test_a_key_lives_for_a_second_at_least(bus: Bus, subjects: Subjects) -> None:
    bucket = bus.bucket(subjects.leases_bucket)
    with pytest.raises(UsageError, match="1 or more"):
        await bucket.create("member.a", b"1", ttl_seconds=0)


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


# --- readers ------------------------------------------------------------------------------------


async def test_what_a_silent_reader_has_in_hand_is_delivered_anew_at_once(
    bus: Bus, connect: Connect, subjects: Subjects
) -> None:
    consumer = worker(subjects)  # who would keep it for 30 s
    await bus.provision(Topology(consumers=(consumer,)))
    await bus.store([job(subjects, "a"), job(subjects, "b")])
    other = await connect()

    async with bus.pull([consumer], ahead=10) as silent:
        in_hand = await take(silent, 2)
    await other.reset(consumer)

    async with other.pull([consumer], ahead=10) as pull:
        again = await take(pull, 2)
        await in_hand[0].ack()  # it was done after all
        await ack_all(again)
        assert await stays_empty(pull)
    assert {one.subject for one in again} == {one.subject for one in in_hand}


async def test_a_reader_is_reset_though_it_was_never_there(bus: Bus, subjects: Subjects) -> None:
    consumer = worker(subjects)
    await bus.reset(consumer)
    await bus.store([job(subjects, "a")])

    async with bus.pull([consumer], ahead=1) as pull:
        await ack_all(await take(pull, 1))


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


async def test_a_pull_turns_to_other_consumers_while_it_is_waited_for(
    bus: Bus, subjects: Subjects
) -> None:
    first, second = (inbox_consumer(subjects, number) for number in (0, 1))
    await bus.provision(topology_of(subjects))

    async with bus.pull([], ahead=10) as pull, asyncio.TaskGroup() as group:
        waiting = group.create_task(take(pull, 1))
        await asyncio.sleep(0)
        await pull.turn_to([first, second])
        await bus.store([_request(subjects, 1)])
        (delivery,) = await waiting
        assert delivery.consumer_name == second.name
        await delivery.ack()


async def test_what_a_pull_turned_away_from_goes_to_others_at_once(
    bus: Bus, connect: Connect, subjects: Subjects
) -> None:
    first, second = (inbox_consumer(subjects, number) for number in (0, 1))
    await bus.provision(topology_of(subjects))
    other = await connect()

    async with bus.pull([first, second], ahead=10) as pull:
        await bus.store([_request(subjects, number) for number in range(6)])
        await ack_all(await take(pull, 1))  # the rest has come too, or comes now
        await pull.turn_to([second])
        async with other.pull([first], ahead=10) as others:
            mine, theirs = await _meanwhile(pull, others, 5)
        await pull.turn_to([])
        await bus.store([_request(subjects, 7)])
        assert await stays_empty(pull)

    assert {one.consumer_name for one in mine} <= {second.name}
    assert {one.consumer_name for one in theirs} <= {first.name}


async def _meanwhile(one: Pull, two: Pull, count: int) -> tuple[list[Delivery], list[Delivery]]:
    """What two pulls get until it is so many together."""
    taken: tuple[list[Delivery], list[Delivery]] = ([], [])
    enough = asyncio.Event()

    async def read(pull: Pull, into: list[Delivery]) -> None:
        while True:
            into.extend(await pull.batch(limit=10))
            if sum(map(len, taken)) >= count:
                enough.set()

    async with asyncio.timeout(SECONDS_MAX), asyncio.TaskGroup() as group:
        readers = [
            group.create_task(read(pull, into))
            for pull, into in zip((one, two), taken, strict=True)
        ]
        await enough.wait()
        for reader in readers:
            reader.cancel()
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
