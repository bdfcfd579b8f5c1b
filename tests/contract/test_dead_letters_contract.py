"""What every bus promises of looking at a stream without taking from it: dead letters live so."""

from dalsegno_bus.bus import Bus, Outgoing, Span
from dalsegno_bus.subjects import Subjects
from dalsegno_bus.topology import Stream, Topology, dead_letters
from tests.contract.conftest import Connect, take, worker


async def filed(bus: Bus, subjects: Subjects, *bodies: bytes) -> Stream:
    """The stream of dead letters with these in it."""
    stream = dead_letters(subjects)
    await bus.provision(Topology(streams=(stream,)))
    headers = {"ce-id": "m1", "ce-source": "a b"}
    await bus.store([Outgoing(subjects.dead("tester"), body, headers) for body in bodies])
    return stream


async def test_a_message_is_seen_where_it_lies_with_all_that_belongs_to_it(
    bus: Bus, subjects: Subjects
) -> None:
    stream = await filed(bus, subjects, b"one", b"\x00\xff")
    kept = await bus.look(stream, 2)
    assert kept is not None
    assert (kept.sequence, kept.subject) == (2, subjects.dead("tester"))
    assert kept.body == b"\x00\xff"
    assert dict(kept.headers) == {"ce-id": "m1", "ce-source": "a b"}
    assert kept.stored_at.utcoffset() is not None


async def test_looking_takes_nothing_away(connect: Connect, subjects: Subjects) -> None:
    first, second = await connect(), await connect()
    stream = await filed(first, subjects, b"one")
    for bus in (first, second, first):
        kept = await bus.look(stream, 1)
        assert kept is not None
        assert kept.body == b"one"
    assert await second.span(stream) == Span(1, 1, 1)


async def test_there_is_nothing_at_positions_that_never_were(bus: Bus, subjects: Subjects) -> None:
    stream = await filed(bus, subjects, b"one")
    assert await bus.look(stream, 2) is None
    assert await bus.remove(stream, 2) is False


async def test_a_stream_that_is_missing_holds_nothing(bus: Bus, subjects: Subjects) -> None:
    stream = dead_letters(subjects)
    assert await bus.span(stream) == Span(0, 0, 0)
    assert await bus.look(stream, 1) is None
    assert await bus.remove(stream, 1) is False


async def test_one_message_is_removed_and_its_neighbours_stay(
    connect: Connect, subjects: Subjects
) -> None:
    first, second = await connect(), await connect()
    stream = await filed(first, subjects, b"one", b"two", b"three")
    assert await first.remove(stream, 2) is True
    assert await second.remove(stream, 2) is False
    assert await second.look(stream, 2) is None
    assert await second.span(stream) == Span(1, 3, 2)
    neighbours = [await second.look(stream, sequence) for sequence in (1, 3)]
    assert [kept.body for kept in neighbours if kept is not None] == [b"one", b"three"]


async def test_a_position_is_never_used_twice(bus: Bus, subjects: Subjects) -> None:
    stream = await filed(bus, subjects, b"one", b"two")
    assert await bus.remove(stream, 2)
    await filed(bus, subjects, b"three")
    assert await bus.look(stream, 2) is None
    kept = await bus.look(stream, 3)
    assert kept is not None
    assert kept.body == b"three"
    for sequence in (1, 3):
        assert await bus.remove(stream, sequence)
    assert await bus.span(stream) == Span(0, 0, 0)


async def test_what_is_removed_is_not_delivered(bus: Bus, subjects: Subjects) -> None:
    consumer = worker(subjects)
    subject = consumer.patterns[0].replace(">", "x")
    await bus.provision(Topology(consumers=(consumer,), streams=(consumer.stream,)))
    await bus.store([Outgoing(subject, b"one"), Outgoing(subject, b"two")])
    assert await bus.remove(consumer.stream, 1)
    async with bus.pull([consumer], ahead=10) as pull:
        [delivery] = await take(pull, 1)
        assert delivery.body == b"two"
        await delivery.ack()
