"""One connection of a process to NATS servers, and what `bus.Bus` promises over it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import orjson

from dalsegno_bus.bus import Heard, Kept, Outcome, Outgoing, Span
from dalsegno_bus.errors import BusError, PublishFailed, SettingsError, Unavailable, UsageError
from dalsegno_bus.nats import kept
from dalsegno_bus.nats.bucket import NatsBucket
from dalsegno_bus.nats.connection import Connection
from dalsegno_bus.nats.core import Mailbox, send
from dalsegno_bus.nats.frames import DELETION_SECONDS, ApiFault, Patience
from dalsegno_bus.nats.pull import NatsPull, Source
from dalsegno_bus.nats.streams import (
    Provisioner,
    Publisher,
    consumer_config,
    sequence_of,
    stream_config,
)
from dalsegno_bus.topology import Consumer, Stream, Topology

_STREAM_MISSING: Final = 10059


async def connect(url: str, *, name: str, patience: Patience | None = None) -> "NatsBus":
    """Connect to the servers at `url` (commas between several); `name` shows up in their logs.

    After this the connection mends itself for as long as the process lives.

    Raises:
        Unavailable: No server answers there.
        SettingsError: `url` is none, or the server refuses its user and password.
    """
    patience = patience or Patience()
    connection = Connection(url, ping_seconds=patience.ping_seconds)
    await connection.open(name)
    bus = NatsBus(connection, patience)
    await bus.open()
    return bus


class NatsBus:
    """One connection to NATS servers. `connect` makes it; it keeps the contract of `bus.Bus`."""

    def __init__(self, wire: Connection, patience: Patience) -> None:
        self._wire = wire
        self._patience = patience
        self._provisioner = Provisioner(wire)
        self._publisher = Publisher(wire, wire.new_inbox(), patience)
        self._known = Topology()
        self._mending = asyncio.Lock()

    async def open(self) -> None:
        """Begin to hear the server's confirmations."""
        await self._publisher.open()

    @property
    def epoch(self) -> int:
        return self._wire.generation + self._provisioner.renewals

    def problems(self) -> list[str]:
        """What a service should say when asked whether it is ready; nothing: all is well."""
        return [] if self._wire.is_up else [f"no connection to {self._wire.address}"]

    async def provision(self, topology: Topology) -> None:
        """See `bus.Bus`. What was provisioned here is made anew whenever it is found missing.

        Raises:
            SettingsError: Something exists that the server will not change.
            Unavailable: The server does not answer.
        """
        self._wire.check_open()
        await self._provisioner.provision(topology)
        self._known |= topology

    async def tell(self, message: Outgoing) -> None:
        self._wire.check_open()
        await send(self._wire, message)

    async def store(self, messages: Sequence[Outgoing]) -> Sequence[Outcome]:
        self._wire.check_open()
        answers = await self._confirm(messages)
        lost = [index for index, answer in enumerate(answers) if not answer]
        if lost:
            await self._mend()
            again = await self._confirm([messages[index] for index in lost])
            for index, answer in zip(lost, again, strict=True):
                if not answer:
                    raise PublishFailed(
                        f"no stream takes messages on {messages[index].subject!r}: "
                        "provision it first"
                    )
                answers[index] = answer
        return ["stored" if sequence_of(answer) else "refused" for answer in answers]

    async def ask(self, message: Outgoing, *, timeout_seconds: float) -> Heard:
        self._wire.check_open()
        return await self._wire.ask(message, timeout_seconds)

    @asynccontextmanager
    async def pull(
        self, consumers: Sequence[Consumer], *, ahead: int
    ) -> AsyncGenerator[NatsPull, None]:
        """See `bus.Bus`. Consumers that are missing, or get lost, are made with their stream."""
        self._wire.check_open()
        if ahead < 1:
            raise UsageError(f"ahead must be 1 or more, not {ahead}")
        sources = [self._source(consumer, ahead) for consumer in consumers]
        pull = NatsPull(self._wire, sources, self._patience, lambda one: self._source(one, ahead))
        try:
            await pull.open()
            yield pull
        finally:
            await pull.close()

    @asynccontextmanager
    async def listen(
        self, *subjects: str, queue: str | None = None
    ) -> AsyncGenerator[AsyncIterator[Heard], None]:
        """See `bus.Bus`. What is told after this is entered is heard."""
        self._wire.check_open()
        mailbox = Mailbox(self._wire)
        try:
            await mailbox.open(subjects, queue or "")
            yield mailbox
        finally:
            await mailbox.close()

    async def purge(self, stream: Stream, subject: str) -> None:
        """See `bus.Bus`.

        Raises:
            Unavailable: The server does not answer.
        """
        body = orjson.dumps({"filter": subject})
        try:
            await self._wire.call(f"$JS.API.STREAM.PURGE.{stream.name}", body)
        except ApiFault as fault:
            if fault.err_code != _STREAM_MISSING:
                raise

    async def reset(self, consumer: Consumer) -> None:
        """See `bus.Bus`. The consumer is made anew: its stream still holds what was not done.

        Raises:
            SettingsError: The server refuses it.
            Unavailable: The server does not answer.
        """
        await self._provisioner.stream(stream_config(consumer.stream))
        await self._provisioner.renew(consumer.stream.name, consumer_config(consumer))

    async def span(self, stream: Stream) -> Span:
        return await kept.span(self._wire, stream)

    async def look(self, stream: Stream, sequence: int) -> Kept | None:
        return await kept.look(self._wire, stream, sequence)

    async def remove(self, stream: Stream, sequence: int) -> bool:
        return await kept.remove(self._wire, stream, sequence)

    def about(self) -> kept.About:
        """What the server says of itself that we are connected to."""
        return kept.about(self._wire.greeting)

    def bucket(self, name: str) -> NatsBucket:
        """See `bus.Bus`. A bucket is made by its first use, if need be."""
        return NatsBucket(self._wire, self._provisioner, self._confirm_one, name, self._patience)

    async def close(self) -> None:
        await self._wire.shut()

    def _source(self, consumer: Consumer, ahead: int) -> Source:
        name = f"{consumer.stream.name}.{consumer.name}"

        async def ensure() -> tuple[str, str]:
            await self._provisioner.stream(stream_config(consumer.stream))
            config = consumer_config(consumer)
            answer = await self._provisioner.consumer(consumer.stream.name, config)
            return name, answer["created"]

        return Source(self._wire, ensure, name=name, ahead=ahead)

    async def _confirm(self, messages: Sequence[Outgoing]) -> list[bytes]:
        try:
            await self._wire.wait_until_up(self._patience.store_seconds)
        except Unavailable as error:
            raise PublishFailed(str(error)) from error
        return await self._publisher.confirm(messages)

    async def _confirm_one(self, message: Outgoing) -> bytes:
        self._wire.check_open()
        return (await self._confirm((message,)))[0]

    async def _mend(self) -> None:
        renewals = self._provisioner.renewals
        async with self._mending:
            if self._provisioner.renewals == renewals:  # nobody else did it meanwhile
                await asyncio.sleep(DELETION_SECONDS)
                try:
                    await self._provisioner.provision(self._known)
                except (BusError, SettingsError, Unavailable) as error:
                    raise PublishFailed(f"a stream is missing, and {error}") from error
