"""What every bus refuses, and how it says so; and what provisioning changes."""

import asyncio
from dataclasses import replace

import pytest

from dalsegno_bus.bus import Bus, Outgoing
from dalsegno_bus.errors import PublishFailed
from dalsegno_bus.ids import new_run_id
from dalsegno_bus.subjects import Subjects
from dalsegno_bus.topology import (
    Consumer,
    Stream,
    Topology,
    agent_consumer,
    inbox_consumer,
    topology_of,
)
from tests.contract.conftest import (
    Connect,
    ack_all,
    job,
    stored_in_time,
    take,
    worker,
)


async def test_a_subject_that_holds_one_message_refuses_a_second(
    bus: Bus, subjects: Subjects
) -> None:
    consumer = agent_consumer(subjects, "analyst")
    await bus.provision(topology_of(subjects) | Topology(consumers=(consumer,)))
    run = new_run_id()
    first, second = (
        Outgoing(subjects.task("analyst", run, "gather", attempt), b"{}") for attempt in (1, 2)
    )
    assert await bus.store([first, first, second]) == ["stored", "refused", "stored"]
    assert await bus.store([second, first]) == ["refused", "refused"]


async def test_a_message_in_flight_still_holds_its_subject(bus: Bus, subjects: Subjects) -> None:
    consumer = agent_consumer(subjects, "analyst")
    await bus.provision(topology_of(subjects) | Topology(consumers=(consumer,)))
    message = Outgoing(subjects.task("analyst", new_run_id(), "gather", 1), b"{}")
    await bus.store([message])
    async with bus.pull([consumer], ahead=1) as pull:
        (delivery,) = await take(pull, 1)
        assert await bus.store([message]) == ["refused"]
        await delivery.ack()
        await stored_in_time(bus, message)
        assert len(await take(pull, 1)) == 1


async def test_a_full_stream_says_so_and_keeps_what_it_has(bus: Bus, subjects: Subjects) -> None:
    consumer = worker(subjects)
    consumer = replace(consumer, stream=replace(consumer.stream, messages_max=3))
    await bus.provision(Topology(consumers=(consumer,)))
    await bus.store([job(subjects, name) for name in "abc"])
    with pytest.raises(PublishFailed, match="full"):
        await bus.store([job(subjects, "d")])
    async with bus.pull([consumer], ahead=10) as pull:
        taken = await take(pull, 3)
        assert [delivery.subject[-1] for delivery in taken] == ["a", "b", "c"]
        await ack_all(taken)
        await stored_in_time(bus, job(subjects, "d"))
        assert len(await take(pull, 1)) == 1


async def test_a_log_forgets_its_oldest_messages_when_it_is_full(
    bus: Bus, subjects: Subjects
) -> None:
    subject = subjects.dead("inbox")
    stream = Stream(f"{subjects.namespace.upper()}_LOG", (subject,), "log", messages_max=3)
    reader = Consumer(stream, "reader", (subject,), ack_wait_seconds=30.0)
    await bus.provision(Topology(streams=(stream,)))
    await bus.store([Outgoing(subject, str(n).encode()) for n in range(5)])
    async with bus.pull([reader], ahead=10) as pull:
        assert [delivery.body for delivery in await take(pull, 3)] == [b"2", b"3", b"4"]


async def test_what_is_too_large_is_refused_with_advice(bus: Bus, subjects: Subjects) -> None:
    consumer = worker(subjects)
    await bus.provision(Topology(consumers=(consumer,)))
    large = job(subjects, "a", b"x" * (1024 * 1024 + 1))
    with pytest.raises(PublishFailed, match="artifact"):
        await bus.store([large])
    with pytest.raises(PublishFailed, match="artifact"):
        await bus.tell(large)
    assert await bus.store([job(subjects, "b")]) == ["stored"], "the connection lives on"


async def test_a_purge_removes_what_fits_and_nothing_else(bus: Bus, subjects: Subjects) -> None:
    consumer = agent_consumer(subjects, "analyst")
    await bus.provision(topology_of(subjects) | Topology(consumers=(consumer,)))
    run, other = new_run_id(), new_run_id()
    doomed = [Outgoing(subjects.task("analyst", run, f"t{n}", 1), b"{}") for n in range(3)]
    kept = Outgoing(subjects.task("analyst", other, "t0", 1), b"{}")
    await bus.store([*doomed, kept])
    await bus.purge(consumer.stream, subjects.task_pattern_of_run("analyst", run))
    assert await bus.store([*doomed[:1], kept]) == ["stored", "refused"]
    async with bus.pull([consumer], ahead=10) as pull:
        taken = await take(pull, 2)
        assert {one.subject for one in taken} == {kept.subject, doomed[0].subject}


async def test_purging_a_stream_that_does_not_exist_is_no_error(
    bus: Bus, subjects: Subjects
) -> None:
    await bus.purge(worker(subjects).stream, f"{subjects.namespace}.work.a")


async def test_provisioning_twice_and_at_once_changes_nothing(
    connect: Connect, subjects: Subjects
) -> None:
    first, second = await connect(), await connect()
    topology = topology_of(subjects)
    async with asyncio.TaskGroup() as group:
        for bus in (first, second, first):
            group.create_task(bus.provision(topology))
    message = Outgoing(subjects.request(new_run_id()), b"{}")
    await first.store([message])
    await second.provision(topology)
    consumers = [inbox_consumer(subjects, partition) for partition in range(subjects.partitions)]
    async with second.pull(consumers, ahead=4) as pull:
        assert len(await take(pull, 1)) == 1


async def test_other_settings_of_an_existing_consumer_take_effect(
    bus: Bus, subjects: Subjects
) -> None:
    consumer = worker(subjects, ack_wait_seconds=3600.0)
    await bus.provision(Topology(consumers=(consumer,)))
    patient = replace(consumer, stream=replace(consumer.stream, messages_max=2))
    hasty = replace(patient, ack_wait_seconds=0.3)
    await bus.provision(Topology(consumers=(hasty,)))
    await bus.store([job(subjects, "a"), job(subjects, "b")])
    with pytest.raises(PublishFailed, match="full"):
        await bus.store([job(subjects, "c")])
    async with bus.pull([hasty], ahead=1) as pull:
        await take(pull, 1)
        assert {one.deliveries for one in await take(pull, 3)} >= {2}, "it came again soon"
