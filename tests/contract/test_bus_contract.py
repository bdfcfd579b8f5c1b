"""What every bus promises of its streams, asserted alike over memory and a real server."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from dalsegno_bus.bus import Bus, Delivery, Outgoing, Pull
from dalsegno_bus.clock import utc_now
from dalsegno_bus.errors import PublishFailed, UsageError
from dalsegno_bus.ids import new_run_id
from dalsegno_bus.subjects import Subjects
from dalsegno_bus.topology import (
    Topology,
    inbox_consumer,
    topology_of,
)
from tests.contract.conftest import (
    SECONDS_MAX,
    Connect,
    ack_all,
    job,
    stays_empty,
    take,
    worker,
)


async def test_what_is_stored_is_delivered_with_all_that_belongs_to_it(
    bus: Bus, subjects: Subjects
) -> None:
    consumer = worker(subjects)
    await bus.provision(Topology(consumers=(consumer,)))
    now = utc_now()
    message = replace(
        job(subjects, "a", b'{"x":1}'), headers={"ce-id": "m1", "note": "größer: 1", "empty": ""}
    )
    assert await bus.store([message]) == ["stored"]
    async with bus.pull([consumer], ahead=10) as pull:
        (delivery,) = await take(pull, 1)
        assert (delivery.subject, delivery.body) == (message.subject, message.body)
        assert dict(delivery.headers) == dict(message.headers)
        assert (delivery.deliveries, delivery.sequence) == (1, 1)
        assert abs(delivery.stored_at - now) < timedelta(minutes=1)


async def test_messages_come_in_the_order_in_which_they_were_stored(
    bus: Bus, subjects: Subjects
) -> None:
    consumer = worker(subjects)
    await bus.provision(Topology(consumers=(consumer,)))
    bodies = [str(number).encode() for number in range(250)]
    await bus.store([job(subjects, "a", body) for body in bodies])
    async with bus.pull([consumer], ahead=40) as pull:
        taken = await take(pull, len(bodies))
        assert [delivery.body for delivery in taken] == bodies


async def test_a_batch_is_never_larger_than_its_limit(bus: Bus, subjects: Subjects) -> None:
    consumer = worker(subjects)
    await bus.provision(Topology(consumers=(consumer,)))
    await bus.store([job(subjects, "a") for _ in range(9)])
    async with bus.pull([consumer], ahead=10) as pull:
        sizes: list[int] = []
        async with asyncio.timeout(SECONDS_MAX):
            while sum(sizes) < 9:
                sizes.append(len(await pull.batch(limit=2)))
        assert max(sizes) <= 2
        with pytest.raises(UsageError):
            await pull.batch(limit=0)


async def test_storing_nothing_is_done_at_once(bus: Bus) -> None:
    assert await bus.store([]) == []


async def test_a_message_without_a_stream_is_not_confirmed(bus: Bus, subjects: Subjects) -> None:
    with pytest.raises(PublishFailed, match="no stream takes"):
        await bus.store([job(subjects, "a")])


@pytest.mark.slow
@pytest.mark.parametrize("end", ["ack", "drop"])
async def test_what_was_done_or_dropped_never_comes_again(
    bus: Bus, subjects: Subjects, end: str
) -> None:
    consumer = worker(subjects, ack_wait_seconds=0.3)
    await bus.provision(Topology(consumers=(consumer,)))
    await bus.store([job(subjects, "done"), job(subjects, "open")])
    async with bus.pull([consumer], ahead=10) as pull:
        first = await take(pull, 2)
        done = next(one for one in first if one.subject.endswith("done"))
        await (done.ack() if end == "ack" else done.drop())
        again = await take(pull, 3)
        assert {one.subject for one in again} == {job(subjects, "open").subject}


@pytest.mark.slow
async def test_what_nobody_acknowledged_comes_again_and_says_so(
    bus: Bus, subjects: Subjects
) -> None:
    consumer = worker(subjects, ack_wait_seconds=0.5)
    await bus.provision(Topology(consumers=(consumer,)))
    await bus.store([job(subjects, "a")])
    async with bus.pull([consumer], ahead=10) as pull:
        (first,) = await take(pull, 1)
        (second,) = await take(pull, 1)
        assert (first.deliveries, second.deliveries) == (1, 2)
        assert first.sequence == second.sequence
        await second.ack()


@pytest.mark.slow
async def test_whoever_is_still_at_work_keeps_its_message(bus: Bus, subjects: Subjects) -> None:
    consumer = worker(subjects, ack_wait_seconds=1.5)
    await bus.provision(Topology(consumers=(consumer,)))
    await bus.store([job(subjects, "working"), job(subjects, "silent")])
    async with bus.pull([consumer], ahead=10) as pull:
        first = await take(pull, 2)
        working = next(one for one in first if one.subject.endswith("working"))
        again: list[Delivery] = []
        async with asyncio.timeout(SECONDS_MAX):
            while not again:
                await working.extend()
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.1):
                        again += await pull.batch(limit=10)
        assert [one.subject for one in again] == [job(subjects, "silent").subject]


async def test_a_message_to_retry_comes_again_not_before_its_delay(
    bus: Bus, subjects: Subjects
) -> None:
    consumer = worker(subjects)
    await bus.provision(Topology(consumers=(consumer,)))
    await bus.store([job(subjects, "a")])
    async with bus.pull([consumer], ahead=10) as pull:
        (delivery,) = await take(pull, 1)
        with pytest.raises(UsageError):
            await delivery.retry(delay_seconds=0)
        started = utc_now()
        await delivery.retry(delay_seconds=0.4)
        (again,) = await take(pull, 1)
        assert utc_now() - started > timedelta(seconds=0.35)
        assert again.deliveries == 2
        await again.ack()


async def test_two_processes_on_one_consumer_share_its_messages(
    connect: Connect, subjects: Subjects
) -> None:
    first, second = await connect(), await connect()
    consumer = worker(subjects)
    await first.provision(Topology(consumers=(consumer,)))
    async with first.pull([consumer], ahead=5) as one, second.pull([consumer], ahead=5) as two:
        await first.store([job(subjects, "a", str(n).encode()) for n in range(100)])
        seen: list[bytes] = []

        async def work(pull: Pull) -> None:
            while len(seen) < 100:
                for delivery in await pull.batch(limit=5):
                    seen.append(delivery.body)
                    await delivery.ack()

        async with asyncio.timeout(SECONDS_MAX), asyncio.TaskGroup() as group:
            workers = [group.create_task(work(pull)) for pull in (one, two)]
            await asyncio.wait(workers, return_when=asyncio.FIRST_COMPLETED)
            for task in workers:
                task.cancel()
        assert sorted(seen, key=int) == [str(n).encode() for n in range(100)]


async def test_what_was_not_handed_out_goes_to_the_next_reader_at_once(
    connect: Connect, subjects: Subjects
) -> None:
    first, second = await connect(), await connect()
    consumer = worker(subjects, ack_wait_seconds=3600.0)
    await first.provision(Topology(consumers=(consumer,)))
    await first.store([job(subjects, "a", str(n).encode()) for n in range(20)])
    async with first.pull([consumer], ahead=20) as pull:
        await ack_all(await take(pull, 5))
    async with second.pull([consumer], ahead=20) as pull:
        rest = await take(pull, 15)
        assert {int(delivery.body) for delivery in rest} == set(range(5, 20))


async def test_one_pull_reads_several_consumers(bus: Bus, subjects: Subjects) -> None:
    consumers = [inbox_consumer(subjects, partition) for partition in range(subjects.partitions)]
    await bus.provision(topology_of(subjects))
    messages = [Outgoing(subjects.request(new_run_id()), b"{}") for _ in range(40)]
    async with bus.pull(consumers, ahead=16) as pull:
        await bus.store(messages)
        taken = await take(pull, len(messages))
        assert {one.subject for one in taken} == {message.subject for message in messages}
        await ack_all(taken)


async def test_a_consumer_that_nobody_provisioned_is_made_by_the_pull(
    connect: Connect, subjects: Subjects
) -> None:
    reader, writer = await connect(), await connect()
    consumer = worker(subjects)
    await writer.provision(Topology(streams=(consumer.stream,)))
    async with reader.pull([consumer], ahead=4) as pull:
        await writer.store([job(subjects, "a")])
        assert len(await take(pull, 1)) == 1


async def test_a_cancelled_wait_loses_no_message(bus: Bus, subjects: Subjects) -> None:
    consumer = worker(subjects, ack_wait_seconds=3600.0)
    await bus.provision(Topology(consumers=(consumer,)))
    async with bus.pull([consumer], ahead=4) as pull:
        assert await stays_empty(pull)
        await bus.store([job(subjects, "a")])
        assert len(await take(pull, 1)) == 1
