"""What every bus promises of core subjects, buckets and its connection."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from dalsegno_bus.bus import Bus, Entry, Heard, Outgoing
from dalsegno_bus.errors import Unavailable, UsageError
from dalsegno_bus.subjects import Subjects
from dalsegno_bus.topology import (
    Topology,
    topology_of,
)
from tests.contract.conftest import (
    SECONDS_MAX,
    Connect,
    hear,
    see,
    worker,
)

# --- core subjects ----------------------------------------------------------------------------


async def test_what_is_told_is_heard_by_all_who_listen(
    connect: Connect, subjects: Subjects
) -> None:
    first, second = await connect(), await connect()
    subject = subjects.control("analyst")
    async with first.listen(subject) as one, second.listen(subject) as two:
        await first.tell(Outgoing(subject, b"stop", {"ce-id": "m1"}))
        for messages in (one, two):
            heard = await hear(messages)
            assert (heard.subject, heard.body) == (subject, b"stop")
            assert heard.headers["ce-id"] == "m1"


@pytest.mark.parametrize(
    ("pattern", "subject", "fits"),
    [
        ("a.*", "a.b", True),
        ("a.*", "a.b.c", False),
        ("a.*", "a", False),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        ("*.b", "a.b", True),
        ("a.*.c", "a.b.c", True),
        ("a.*.c", "a.b.d", False),
    ],
)
async def test_patterns_fit_as_documented(
    bus: Bus, namespace: str, pattern: str, subject: str, *, fits: bool
) -> None:
    async with bus.listen(f"{namespace}.{pattern}", f"{namespace}-end") as messages:
        await bus.tell(Outgoing(f"{namespace}.{subject}", b"x"))
        await bus.tell(Outgoing(f"{namespace}-end", b"end"))
        heard = await hear(messages)
        assert heard.body == (b"x" if fits else b"end")


async def test_in_a_queue_each_message_goes_to_one_member(
    connect: Connect, subjects: Subjects
) -> None:
    first, second = await connect(), await connect()
    subject = subjects.query("run")
    async with (
        first.listen(subject, queue="q") as one,
        second.listen(subject, queue="q") as two,
        second.listen(subject) as all_of_them,
    ):
        for number in range(60):
            await first.tell(Outgoing(subject, str(number).encode()))
        assert [int((await hear(all_of_them)).body) for _ in range(60)] == list(range(60))
        bodies: list[bytes] = []

        async def collect(messages: AsyncIterator[Heard]) -> None:
            async for heard in messages:
                bodies.append(heard.body)
                if len(bodies) == 60:
                    return

        async with asyncio.timeout(SECONDS_MAX), asyncio.TaskGroup() as group:
            collectors = [group.create_task(collect(messages)) for messages in (one, two)]
            await asyncio.wait(collectors, return_when=asyncio.FIRST_COMPLETED)
            for collector in collectors:
                collector.cancel()
        assert sorted(bodies, key=int) == [str(number).encode() for number in range(60)]


async def test_nobody_hears_what_was_told_before_or_after_listening(
    bus: Bus, subjects: Subjects
) -> None:
    subject = subjects.control("analyst")
    await bus.tell(Outgoing(subject, b"before"))
    async with bus.listen(subject) as messages:
        await bus.tell(Outgoing(subject, b"now"))
        assert (await hear(messages)).body == b"now"
    await bus.tell(Outgoing(subject, b"after"))


async def test_a_question_gets_the_answer_of_whoever_listens(
    connect: Connect, subjects: Subjects
) -> None:
    asker, answerer = await connect(), await connect()
    subject = subjects.query("run")

    async def answer(messages: AsyncIterator[Heard]) -> None:
        heard = await anext(messages)
        await heard.answer(heard.body.upper(), {"ce-id": "reply"})
        await heard.answer(b"too late")

    async with answerer.listen(subject) as messages, asyncio.TaskGroup() as group:
        group.create_task(answer(messages))
        reply = await asker.ask(
            Outgoing(subject, b"who", {"ce-id": "question"}), timeout_seconds=SECONDS_MAX
        )
        assert (reply.body, reply.headers["ce-id"]) == (b"WHO", "reply")


async def test_a_question_that_nobody_hears_fails_at_once(bus: Bus, subjects: Subjects) -> None:
    async with asyncio.timeout(SECONDS_MAX / 2):
        with pytest.raises(Unavailable, match="nobody"):
            await bus.ask(Outgoing(subjects.query("run"), b"?"), timeout_seconds=SECONDS_MAX)


async def test_a_question_that_nobody_answers_fails_in_time(bus: Bus, subjects: Subjects) -> None:
    subject = subjects.query("run")
    async with bus.listen(subject):
        with pytest.raises(Unavailable, match=r"within 0\.05 seconds"):
            await bus.ask(Outgoing(subject, b"?"), timeout_seconds=0.05)


async def test_answering_what_was_only_told_does_nothing(bus: Bus, subjects: Subjects) -> None:
    subject = subjects.control("analyst")
    async with bus.listen(subject) as messages:
        await bus.tell(Outgoing(subject, b"x"))
        await (await hear(messages)).answer(b"y")


# --- buckets ----------------------------------------------------------------------------------


async def test_a_bucket_returns_the_last_value_of_a_key(bus: Bus, subjects: Subjects) -> None:
    await bus.provision(topology_of(subjects))
    bucket = bus.bucket(subjects.agents_bucket)
    assert await bucket.get("card.analyst") is None
    first = await bucket.put("card.analyst", b"one")
    second = await bucket.put("card.analyst", b"two")
    assert second > first
    assert await bucket.get("card.analyst") == Entry("card.analyst", b"two", second)
    await bucket.delete("card.analyst")
    assert await bucket.get("card.analyst") is None
    assert await bucket.put("card.analyst", b"three") > second


@pytest.mark.parametrize("key", ["", ".", "a..b", "a b", "a.*", "a.>", ".a", "a."])
async def test_a_key_that_could_not_travel_is_refused(
    bus: Bus, subjects: Subjects, key: str
) -> None:
    bucket = bus.bucket(subjects.agents_bucket)
    with pytest.raises(UsageError, match="key"):
        await bucket.put(key, b"x")
    with pytest.raises(UsageError, match="key"):
        await bucket.get(key)
    with pytest.raises(UsageError, match="ttl"):
        await bucket.put("a", b"x", ttl_seconds=0)


async def test_a_watch_tells_what_is_there_then_none_then_each_change(
    connect: Connect, subjects: Subjects
) -> None:
    writer, reader = await connect(), await connect()
    await writer.provision(topology_of(subjects))
    bucket = writer.bucket(subjects.agents_bucket)
    await bucket.put("card.a", b"old")
    await bucket.put("card.a", b"one")
    await bucket.put("card.b", b"two")
    await bucket.put("card.c", b"gone")
    await bucket.delete("card.c")
    async with reader.bucket(subjects.agents_bucket).watch() as entries:
        there = [await see(entries) for _ in range(2)]
        assert {entry.key: entry.value for entry in there if entry} == {
            "card.a": b"one",
            "card.b": b"two",
        }
        assert await see(entries) is None
        revision = await bucket.put("card.a", b"three")
        assert await see(entries) == Entry("card.a", b"three", revision)
        await bucket.delete("card.b")
        deleted = await see(entries)
        assert deleted is not None
        assert (deleted.key, deleted.value) == ("card.b", None)


async def test_a_watch_of_an_empty_bucket_says_so_at_once(bus: Bus, subjects: Subjects) -> None:
    async with bus.bucket(subjects.agents_bucket).watch() as entries:
        assert await see(entries) is None


@pytest.mark.slow
async def test_a_key_lives_as_long_as_it_is_renewed(bus: Bus, subjects: Subjects) -> None:
    await bus.provision(topology_of(subjects))
    bucket = bus.bucket(subjects.agents_bucket)
    await bucket.put("live.a", b"1", ttl_seconds=1)
    await bucket.put("live.b", b"1", ttl_seconds=1)
    await bucket.put("live.b", b"kept")
    async with bucket.watch() as entries:
        while await see(entries) is not None:
            pass
        expired = await see(entries)
        assert expired is not None
        assert (expired.key, expired.value) == ("live.a", None)
        assert await bucket.get("live.a") is None
        kept = await bucket.get("live.b")
        assert kept is not None
        assert kept.value == b"kept"


# --- the connection ---------------------------------------------------------------------------


async def test_a_closed_bus_says_so(connect: Connect, subjects: Subjects) -> None:
    bus = await connect()
    await bus.close()
    await bus.close()
    message = Outgoing(subjects.control("analyst"), b"x")
    with pytest.raises(Unavailable, match="closed"):
        await bus.tell(message)
    with pytest.raises(Unavailable, match="closed"):
        await bus.store([message])
    with pytest.raises(Unavailable, match="closed"):
        await bus.ask(message, timeout_seconds=1.0)
    with pytest.raises(Unavailable, match="closed"):
        await bus.bucket(subjects.agents_bucket).get("a")


async def test_closing_ends_what_still_waits(connect: Connect, subjects: Subjects) -> None:
    bus = await connect()
    consumer = worker(subjects)
    await bus.provision(Topology(consumers=(consumer,)))

    async def wait_for_work() -> None:
        async with bus.pull([consumer], ahead=1) as pull:
            with pytest.raises(Unavailable, match="closed"):
                await pull.batch(limit=1)

    async def wait_for_word() -> None:
        async with bus.listen(subjects.control("analyst")) as messages:
            with pytest.raises(Unavailable, match="closed"):
                await anext(messages)

    async def wait_for_change() -> None:
        async with bus.bucket(subjects.agents_bucket).watch() as entries:
            assert await see(entries) is None
            with pytest.raises(Unavailable, match="closed"):
                await anext(entries)

    async with asyncio.timeout(SECONDS_MAX), asyncio.TaskGroup() as group:
        for wait in (wait_for_work, wait_for_word, wait_for_change):
            group.create_task(wait())
        await asyncio.sleep(0.1)  # so that they wait; if they do not yet, it holds all the same
        await bus.close()


async def test_what_was_told_before_closing_is_sent(connect: Connect, subjects: Subjects) -> None:
    leaving, staying = await connect(), await connect()
    subject = subjects.control("analyst")
    async with staying.listen(subject) as messages:
        for number in range(100):
            await leaving.tell(Outgoing(subject, str(number).encode()))
        await leaving.close()
        assert [int((await hear(messages)).body) for _ in range(100)] == list(range(100))
