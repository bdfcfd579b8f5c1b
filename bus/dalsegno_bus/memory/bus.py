"""The bus in memory: the same contract as NATS, in one process, with time and chance as arguments.

Several connections (`MemoryBus`) share one `MemoryBroker`, as processes share a server. For tests
and simulations: nothing survives the process, and `Faults` makes the broker as unreliable as the
contract allows, the same way each time for the same seed.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from dalsegno_bus.bus import Entry, Headers, Heard, Kept, Outcome, Outgoing, Span
from dalsegno_bus.errors import PublishFailed, Unavailable, UsageError
from dalsegno_bus.keys import check_key, check_ttl
from dalsegno_bus.memory import kept
from dalsegno_bus.memory.broker import Listener, MemoryBroker, Said
from dalsegno_bus.memory.state import Held, HeldBucket, HeldStream, Reader, check_size
from dalsegno_bus.topology import Consumer, Stream, Topology

ItemT = TypeVar("ItemT")


class MemoryBus:
    """One connection to a `MemoryBroker`, its own unless one is given."""

    def __init__(self, broker: MemoryBroker | None = None) -> None:
        self.broker = broker or MemoryBroker()
        self._known = Topology()
        self._closed = False

    @property
    def epoch(self) -> int:
        return self.broker.epoch

    async def provision(self, topology: Topology) -> None:
        self.check_open()
        self._known |= topology
        self.broker.provision(topology)

    async def tell(self, message: Outgoing) -> None:
        self.check_open()
        check_size(message)
        self.broker.say(message, None)

    async def store(self, messages: Sequence[Outgoing]) -> Sequence[Outcome]:
        self.check_open()
        await asyncio.sleep(0)  # others get their turn, as with a server
        outcomes: list[Outcome] = []
        fault: PublishFailed | None = None
        for message in messages:
            try:
                outcomes.append(self._store(message))
            except PublishFailed as error:
                fault = fault or error
        self.broker.ring()
        if fault is not None:
            raise fault
        if messages and self.broker.chance(self.broker.faults.lose):
            raise PublishFailed("a confirmation was lost: publish again, with the same ids")
        return outcomes

    async def ask(self, message: Outgoing, *, timeout_seconds: float) -> Heard:
        self.check_open()
        check_size(message)
        broker = self.broker
        inbox = broker.new_inbox()
        try:
            if not broker.say(message, inbox.pattern):
                raise Unavailable(f"nobody answers on {message.subject!r}")
            until = broker.clock.now() + timedelta(seconds=timeout_seconds)
            await broker.wait(
                lambda: bool(inbox.items) or broker.clock.now() >= until, lambda: until
            )
            if not inbox.items:
                raise Unavailable(
                    f"no answer on {message.subject!r} within {timeout_seconds:g} seconds"
                )
            return inbox.items.popleft()
        finally:
            broker.listeners.remove(inbox)

    @asynccontextmanager
    async def pull(
        self, consumers: Sequence[Consumer], *, ahead: int
    ) -> AsyncGenerator["MemoryPull", None]:
        self.check_open()
        if ahead < 1:
            raise UsageError(f"ahead must be 1 or more, not {ahead}")
        yield MemoryPull(self, consumers)

    @asynccontextmanager
    async def listen(
        self, *subjects: str, queue: str | None = None
    ) -> AsyncGenerator[AsyncIterator[Heard], None]:
        self.check_open()
        items: deque[Said] = deque()
        listeners = [Listener(subject, queue, items) for subject in subjects]
        self.broker.listeners.extend(listeners)
        try:
            yield _Mailbox(self, items)
        finally:
            for listener in listeners:
                self.broker.listeners.remove(listener)

    async def purge(self, stream: Stream, subject: str) -> None:
        self.check_open()
        held = self.broker.streams.get(stream.name)
        if held is not None:
            held.purge(subject)

    async def reset(self, consumer: Consumer) -> None:
        self.check_open()
        self.broker.stream(consumer.stream).reset(consumer)
        self.broker.ring()

    async def span(self, stream: Stream) -> Span:
        self.check_open()
        return kept.span(self.broker, stream)

    async def look(self, stream: Stream, sequence: int) -> Kept | None:
        self.check_open()
        return kept.look(self.broker, stream, sequence)

    async def remove(self, stream: Stream, sequence: int) -> bool:
        self.check_open()
        return kept.remove(self.broker, stream, sequence)

    def bucket(self, name: str) -> "MemoryBucket":
        return MemoryBucket(self, name)

    async def close(self) -> None:
        self._closed = True
        self.broker.ring()

    def check_open(self) -> None:
        """Raise `Unavailable` once the bus is closed."""
        if self._closed:
            raise Unavailable("this bus is closed: connect again")

    def held_bucket(self, name: str) -> HeldBucket:
        """What a bucket holds now; its first use makes it."""
        self.check_open()
        bucket = self.broker.buckets.setdefault(name, HeldBucket())
        bucket.expire(self.broker.clock.now())
        return bucket

    def _store(self, message: Outgoing) -> Outcome:
        stream = self.broker.stream_of(message.subject)
        if stream is None:
            self.broker.provision(self._known)
            stream = self.broker.stream_of(message.subject)
        if stream is None:
            raise PublishFailed(
                f"no stream takes messages on {message.subject!r}: provision it first"
            )
        held = stream.put(message, self.broker.clock.now())
        if held is None:
            return "refused"
        self.broker.offer(held, stream)
        return "stored"


class MemoryDelivery:
    """A message from a stream of the broker."""

    __slots__ = ("_broker", "_held", "_reader", "_stream", "deliveries")

    def __init__(
        self,
        broker: MemoryBroker,
        stream: HeldStream,
        reader: Reader,
        held: Held,
        deliveries: int,
    ) -> None:
        self._broker = broker
        self._stream = stream
        self._reader = reader
        self._held = held
        self.deliveries = deliveries

    @property
    def subject(self) -> str:
        return self._held.message.subject

    @property
    def body(self) -> bytes:
        return self._held.message.body

    @property
    def headers(self) -> Headers:
        return self._held.message.headers

    @property
    def stored_at(self) -> datetime:
        return self._held.stored_at

    @property
    def sequence(self) -> int:
        return self._held.sequence

    @property
    def consumer_name(self) -> str:
        return self._reader.spec.name

    async def ack(self) -> None:
        if self._broker.chance(self._broker.faults.lose):
            return
        if self._stream.spec.keeps == "work":
            self._stream.remove(self.sequence)
        else:
            self._reader.forget(self.sequence)
        self._broker.ring()

    async def retry(self, *, delay_seconds: float) -> None:
        if delay_seconds <= 0:
            raise UsageError(f"delay_seconds must be more than 0, not {delay_seconds!r}")
        self._postpone(delay_seconds)

    async def extend(self) -> None:
        self._postpone(self._reader.spec.ack_wait_seconds)

    async def drop(self) -> None:
        await self.ack()

    def _postpone(self, seconds: float) -> None:
        until = self._broker.clock.now() + timedelta(seconds=seconds)
        self._reader.postpone(self.sequence, until)
        self._broker.ring()


class MemoryPull:
    """Receives from some consumers; nothing waits on its side of the broker."""

    def __init__(self, bus: MemoryBus, consumers: Sequence[Consumer]) -> None:
        self._bus = bus
        self._broker = bus.broker
        self._consumers = deque(consumers)

    async def batch(self, *, limit: int) -> Sequence[MemoryDelivery]:
        """See `bus.Pull`.

        Raises:
            Unavailable: The bus was closed.
        """
        if limit < 1:
            raise UsageError(f"limit must be 1 or more, not {limit}")
        batch: list[MemoryDelivery] = []

        def take() -> bool:
            self._bus.check_open()
            batch.extend(self._take(limit))
            return bool(batch)

        await self._broker.wait(take, self._next_due)
        return batch

    async def turn_to(self, consumers: Sequence[Consumer]) -> None:
        """See `bus.Pull`. Nothing was fetched that was not handed out."""
        self._consumers = deque(consumers)
        self._broker.ring()

    def _take(self, limit: int) -> list[MemoryDelivery]:
        broker, now = self._broker, self._broker.clock.now()
        taken: list[MemoryDelivery] = []
        self._consumers.rotate(-1)  # so that a busy one does not starve the others
        for consumer in self._consumers:
            stream, reader = broker.stream(consumer.stream), broker.reader(consumer)
            for held, deliveries in reader.take(stream, limit=limit - len(taken), now=now):
                if broker.chance(broker.faults.lose):
                    continue  # on its way to us; it comes again
                delivery = MemoryDelivery(broker, stream, reader, held, deliveries)
                taken.append(delivery)
                if len(taken) < limit and broker.chance(broker.faults.double):
                    taken.append(delivery)
        if len(self._consumers) > 1:
            taken.sort(key=lambda delivery: delivery.stored_at)
        return taken

    def _next_due(self) -> datetime | None:
        times = [self._broker.reader(consumer).next_due() for consumer in self._consumers]
        return min((time for time in times if time is not None), default=None)


class MemoryBucket:
    """A bucket of the broker."""

    def __init__(self, bus: MemoryBus, name: str) -> None:
        self._bus = bus
        self._name = name

    async def put(self, key: str, value: bytes, *, ttl_seconds: int | None = None) -> int:
        return self._put(key, value, ttl_seconds)

    async def create(self, key: str, value: bytes, *, ttl_seconds: int | None = None) -> int | None:
        return await self.update(key, value, 0, ttl_seconds=ttl_seconds)

    async def update(
        self, key: str, value: bytes, revision: int, *, ttl_seconds: int | None = None
    ) -> int | None:
        if self._bus.held_bucket(self._name).revision_of(key) != revision:
            return None
        return self._put(key, value, ttl_seconds)

    async def get(self, key: str) -> Entry | None:
        check_key(key)
        value = self._bus.held_bucket(self._name).values.get(key)
        return value.entry if value is not None else None

    async def delete(self, key: str, *, revision: int | None = None) -> bool:
        check_key(key)
        bucket = self._bus.held_bucket(self._name)
        if revision is not None and bucket.revision_of(key) != revision:
            return False
        bucket.put(key, None, None)
        self._bus.broker.ring()
        return True

    def _put(self, key: str, value: bytes, ttl_seconds: int | None) -> int:
        check_key(key)
        check_ttl(ttl_seconds)
        expires_at: datetime | None = None
        if ttl_seconds is not None:
            expires_at = self._bus.broker.clock.now() + timedelta(seconds=ttl_seconds)
        revision = self._bus.held_bucket(self._name).put(key, value, expires_at)
        self._bus.broker.ring()
        return revision

    @asynccontextmanager
    async def watch(self) -> AsyncGenerator[AsyncIterator[Entry | None], None]:
        bucket = self._bus.held_bucket(self._name)
        items: deque[Entry | None] = deque(value.entry for value in bucket.values.values())
        items.append(None)
        bucket.watchers.append(items)
        try:
            yield _Mailbox(self._bus, items, bucket)
        finally:
            bucket.watchers[:] = [other for other in bucket.watchers if other is not items]


class _Mailbox(Generic[ItemT]):
    """What came in for one reader, oldest first. A cancelled `anext` loses nothing."""

    def __init__(
        self, bus: MemoryBus, items: deque[ItemT], bucket: HeldBucket | None = None
    ) -> None:
        self._bus = bus
        self._items = items
        self._bucket = bucket

    def __aiter__(self) -> "_Mailbox[ItemT]":
        return self

    async def __anext__(self) -> ItemT:
        await self._bus.broker.wait(self._ready, self._next_due)
        return self._items.popleft()

    def _ready(self) -> bool:
        if self._bucket is not None:
            self._bucket.expire(self._bus.broker.clock.now())
        if not self._items:
            self._bus.check_open()
        return bool(self._items)

    def _next_due(self) -> datetime | None:
        return self._bucket.next_due() if self._bucket is not None else None
