"""Bytes that no well-behaved client sends: the bus goes on, and whoever reads may judge them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

import pytest

from dalsegno_bus.bus import Bus, Outgoing
from dalsegno_bus.embedded import EmbeddedServer
from dalsegno_bus.errors import PublishFailed, Unavailable
from dalsegno_bus.nats import NatsBus, connect
from dalsegno_bus.nats.connection import Connection
from dalsegno_bus.nats.delivery import NatsDelivery, is_acknowledged_at
from dalsegno_bus.nats.frames import Patience
from dalsegno_bus.nats.reading import FrameReader
from dalsegno_bus.nats.streams import sequence_of
from dalsegno_bus.subjects import Subjects
from dalsegno_bus.topology import Topology
from tests.contract.conftest import SECONDS_MAX, ack_all, hear, job, take, worker

Frames = Sequence[bytes]


def odd_frames(prefix: str) -> Frames:
    """What anybody may send on subjects below `prefix`, and a server passes on."""
    name = prefix.encode()
    bad_header = b"NATS/1.0\r\n\xff: \xfe\x00\r\nno colon\r\n\r\n"
    return [
        b"PUB %b.\xff\xfe 1\r\nx\r\n" % name,
        b"PUB %b.a\x0cb 1\r\nx\r\n" % name,
        b"PUB %b.a\x0b9 1\r\nx\r\n" % name,
        b"HPUB %b.h 10 11\r\nNONSENSE\r\nx\r\n" % name,
        b"HPUB %b.h %d %d\r\n%bx\r\n" % (name, len(bad_header), len(bad_header) + 1, bad_header),
        b"HPUB %b.h 12 12\r\nNATS/1.0\r\n\r\n\r\n" % name,
        b"HPUB %b.h 16 16\r\nNATS/1.0 100\r\n\r\n\r\n" % name,
        b"HPUB %b.h 16 16\r\nNATS/1.0 \xb2\xb2\xb2\r\n\r\n\r\n" % name,
        b"PUB %b.r odd.\xff.reply 1\r\nx\r\n" % name,
        b"PUB %b.z 0\r\n\r\n" % name,
    ]


class Stranger:
    """Speaks to the server without any library's help."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        writer.write(b'CONNECT {"verbose":false,"headers":true,"protocol":1}\r\n')

    async def send(self, frame: bytes) -> None:
        """Return when the server has taken it."""
        self._writer.write(frame + b"PING\r\n")
        async with asyncio.timeout(SECONDS_MAX):
            while (line := await self._reader.readline()) != b"PONG\r\n":
                assert line, "the server ended the connection"
                assert not line.startswith(b"-ERR"), line
                if line == b"PING\r\n":
                    self._writer.write(b"PONG\r\n")

    async def asked(self) -> bytes:
        """Where the next question wants its answer."""
        async with asyncio.timeout(SECONDS_MAX):
            while not (line := await self._reader.readline()).startswith((b"MSG", b"HMSG")):
                assert line, "the server ended the connection"
        return line.split()[3]

    def leave(self) -> None:
        self._writer.transport.abort()


@pytest.fixture
async def stranger(nats_server: EmbeddedServer) -> AsyncIterator[Stranger]:
    stranger = Stranger(*await asyncio.open_connection("127.0.0.1", nats_server.port))
    yield stranger
    stranger.leave()


@pytest.fixture
async def nats(nats_server: EmbeddedServer) -> AsyncIterator[NatsBus]:
    bus = await connect(nats_server.url, name="test", patience=Patience(silence_seconds=3600.0))
    yield bus
    await bus.close()


async def test_a_pull_hands_out_whatever_a_stream_holds(
    nats: NatsBus, stranger: Stranger, subjects: Subjects
) -> None:
    consumer = worker(subjects)
    await nats.provision(Topology(consumers=(consumer,)))
    prefix = f"{subjects.namespace}.work"
    async with nats.pull([consumer], ahead=3) as pull:  # fewer than come: none may take up room
        for frame in odd_frames(prefix):
            await stranger.send(frame)
            (delivery,) = await take(pull, 1)
            assert delivery.subject.startswith(prefix)
            assert (delivery.deliveries, delivery.consumer_name) == (1, consumer.name)
            assert isinstance(dict(delivery.headers), dict)
            await delivery.ack()
        await nats.store([job(subjects, "good")])
        await ack_all(await take(pull, 1))
    assert nats.epoch == 1


async def test_a_listener_hears_whatever_is_told(
    nats: NatsBus, stranger: Stranger, subjects: Subjects
) -> None:
    prefix = f"{subjects.namespace}.told"
    async with nats.listen(f"{prefix}.>") as messages:
        for frame in odd_frames(prefix):
            await stranger.send(frame)
            heard = await hear(messages)
            assert heard.subject.startswith(prefix)
            await heard.answer(b"!")
        await nats.tell(Outgoing(f"{prefix}.good", b"x"))
        assert (await hear(messages)).body == b"x"
    assert nats.epoch == 1


async def test_a_stranger_who_writes_to_a_pull_changes_nothing(
    nats_server: EmbeddedServer, stranger: Stranger, subjects: Subjects
) -> None:
    connection = _Known(nats_server.url)
    await connection.open("test")
    bus = NatsBus(connection, Patience(silence_seconds=3600.0))
    await bus.open()
    consumer = worker(subjects)
    await bus.provision(Topology(consumers=(consumer,)))
    async with bus.pull([consumer], ahead=2) as pull:
        for inbox in connection.inboxes:
            for reply in (b"", b"x", b"JS.ACK.a.b.c.d.e.f.g.h", b"\xff.\xfe"):
                await stranger.send(b"PUB %b %b 1\r\nx\r\n" % (inbox.encode(), reply))
                await stranger.send(b"PUB %b.1.\xff %b 1\r\nx\r\n" % (inbox.encode(), reply))
        for number in range(5):
            await bus.store([job(subjects, str(number))])
            (delivery,) = await take(pull, 1)
            assert delivery.subject == job(subjects, str(number)).subject
            await delivery.ack()
    assert bus.epoch == 1
    await bus.close()


class _Known(Connection):
    """Tells where it listens."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.inboxes: list[str] = []

    def new_inbox(self) -> str:
        self.inboxes.append(super().new_inbox())
        return self.inboxes[-1]


async def test_an_answer_with_odd_headers_ends_no_connection(
    nats: NatsBus, stranger: Stranger, subjects: Subjects
) -> None:
    subject = subjects.ask("analyst")
    async with asyncio.TaskGroup() as group:
        await stranger.send(b"SUB %b 1\r\n" % subject.encode())
        asked = group.create_task(_asks(nats, subject))
        reply = await stranger.asked()
        await stranger.send(b"HPUB %b 10 11\r\nNONSENSE\r\nx\r\n" % reply)
        await asked
    async with nats.listen(subject) as messages:
        await nats.tell(Outgoing(subject, b"y"))
        assert (await hear(messages)).body == b"y"
    assert nats.epoch == 1


async def _asks(bus: Bus, subject: str) -> None:
    with suppress(Unavailable):  # an answer that nobody can read is none
        await bus.ask(Outgoing(subject, b"?"), timeout_seconds=0.5)


async def test_empty_bodies_travel_like_others(bus: Bus, subjects: Subjects) -> None:
    consumer = worker(subjects)
    await bus.provision(Topology(consumers=(consumer,)))
    subject = subjects.control("analyst")
    async with bus.pull([consumer], ahead=2) as pull, bus.listen(subject) as messages:
        assert list(await bus.store([job(subjects, "a", b"")])) == ["stored"]
        (delivery,) = await take(pull, 1)
        assert delivery.body == b""
        await delivery.ack()
        await bus.tell(Outgoing(subject, b""))
        assert (await hear(messages)).body == b""


async def test_a_body_above_what_servers_take_is_refused_and_harms_nobody(
    bus: Bus, subjects: Subjects
) -> None:
    consumer = worker(subjects)
    await bus.provision(Topology(consumers=(consumer,)))
    body = bytes(1024 * 1024 + 1)
    epoch = bus.epoch
    subject = subjects.ask("analyst")
    async with bus.listen(subject) as messages:
        with pytest.raises(PublishFailed, match="artifacts"):
            await bus.store([job(subjects, "small"), job(subjects, "large", body)])
        with pytest.raises(PublishFailed, match="artifacts"):
            await bus.tell(Outgoing(subject, body))
        with pytest.raises(PublishFailed, match="artifacts"):
            await bus.ask(Outgoing(subject, body), timeout_seconds=0.5)
        await bus.tell(Outgoing(subject, b"x"))
        assert (await hear(messages)).body == b"x"
    assert bus.epoch == epoch


async def test_headers_count_as_part_of_a_question(nats: NatsBus, subjects: Subjects) -> None:
    message = Outgoing(subjects.ask("analyst"), bytes(1024 * 1024 - 10), {"note": "x" * 100})
    with pytest.raises(PublishFailed, match="artifacts"):
        await nats.ask(message, timeout_seconds=0.5)
    assert nats.epoch == 1


@pytest.mark.parametrize("answer", [b"no json", b"[]", b"7", b"{}", b'{"error":7}', b"\xff"])
def test_an_answer_that_no_stream_gives_is_no_confirmation(answer: bytes) -> None:
    with pytest.raises(PublishFailed, match="no stream"):
        sequence_of(answer)


@pytest.mark.parametrize("token", [b"", b"x", b"-1", b"\xff", b"9" * 400])
def test_numbers_that_are_none_do_not_crash_a_delivery(token: bytes) -> None:
    reply = b".".join([b"$JS.ACK.S.c", *[token] * 5])
    assert is_acknowledged_at(reply)
    delivery = NatsDelivery(_Nowhere(), "s", reply, b"", None)
    assert delivery.deliveries >= 0
    assert delivery.sequence >= 0
    assert delivery.left >= 0


class _Nowhere:
    held = 0

    def say(self, reply: bytes, body: bytes) -> None:
        """Nobody hears it."""


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
async def test_frames_are_read_in_whatever_pieces_they_come(size: int) -> None:
    seen: list[object] = []

    async def note(*parts: object) -> None:
        seen.append(parts)

    reader = FrameReader(message=note, error=note, ping=note, pong=note, info=note)
    data = (
        b'INFO {"a":1}\r\nMSG a.b 7 2\r\n\r\n\r\nPING\r\nMSG a.b 7 r.\xff 0\r\n\r\n+OK\r\n'
        b"HMSG a.b 8 12 13\r\nNATS/1.0\r\n\r\nx\r\nHMSG a 9 re 12 12\r\nNATS/1.0\r\n\r\n\r\n"
        b"PONG\r\n-ERR 'Stale Connection'\r\n"
    )
    for start in range(0, len(data), size):
        await reader.parse(data[start : start + size])
    assert seen == [
        ({"a": 1},),
        (7, b"a.b", b"", b"\r\n", None),
        (),
        (7, b"a.b", b"r.\xff", b"", None),
        (8, b"a.b", b"", b"x", b"NATS/1.0\r\n\r\n"),
        (9, b"a", b"re", b"", b"NATS/1.0\r\n\r\n"),
        (),
        ("'stale connection'",),
    ]
