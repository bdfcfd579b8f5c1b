"""What the connections of a bus in memory share: the broker, its clock, its chance.

Wakes those who wait; holds no connection. `state` has the streams and buckets themselves.
"""

import asyncio
import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Final, Protocol

from dalsegno_bus.bus import Headers, Outgoing
from dalsegno_bus.clock import utc_now
from dalsegno_bus.memory.state import Held, HeldBucket, HeldStream, Reader, matcher
from dalsegno_bus.topology import Consumer, Stream, Topology

HEARD_MAX: Final = 65_536
"""A listener that is further behind loses what comes next, as on a server."""


class Clock(Protocol):
    """Time as the broker sees it; a simulation brings its own."""

    def now(self) -> datetime:
        """The time now (UTC)."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return when so much time has passed."""
        ...


class WallClock:
    """Time as everybody knows it."""

    def now(self) -> datetime:
        return utc_now()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@dataclass(frozen=True)
class Faults:
    """How unreliable the broker is; each is a probability from 0 to 1.

    None of them breaks the contract: what a stream has confirmed is delivered in the end.
    """

    seed: int = 0
    lose: float = 0.0
    """A core message, a delivery, an acknowledgement or a confirmation vanishes on its way."""
    double: float = 0.0
    """A core message or a delivery comes twice."""
    shuffle: float = 0.0
    """A message overtakes others."""


@dataclass(frozen=True, slots=True)
class Said:
    """One core message, as a listener gets it."""

    broker: "MemoryBroker"
    message: Outgoing
    reply: str | None

    @property
    def subject(self) -> str:
        return self.message.subject

    @property
    def body(self) -> bytes:
        return self.message.body

    @property
    def headers(self) -> Headers:
        return self.message.headers

    async def answer(self, body: bytes, headers: Headers | None = None) -> None:
        if self.reply is not None:
            self.broker.say(Outgoing(self.reply, body, headers or {}), None)


@dataclass(eq=False)
class Listener:
    """One subscription to a core subject (or pattern); several may share `items`."""

    pattern: str
    queue: str | None = None
    items: deque[Said] = field(default_factory=deque[Said])

    def __post_init__(self) -> None:
        self.fits = matcher(self.pattern)


class MemoryBroker:
    """What a server would be.

    Args:
        clock: Where time comes from.
        faults: What goes wrong; nothing unless said.
    """

    def __init__(self, *, clock: Clock | None = None, faults: Faults | None = None) -> None:
        self.clock: Clock = clock or WallClock()
        self.faults = faults or Faults()
        self.dice = Random(self.faults.seed)  # noqa: S311  # a simulation's chance, not a secret
        self.streams: dict[str, HeldStream] = {}
        self.buckets: dict[str, HeldBucket] = {}
        self.listeners: list[Listener] = []
        self.epoch = 1
        self._bells: dict[asyncio.Event, None] = {}
        self._inboxes = itertools.count(1)

    def provision(self, topology: Topology) -> None:
        """Make sure that all this exists."""
        for stream in topology.streams:
            self.stream(stream)
        for consumer in topology.consumers:
            self.reader(consumer)
        for name in topology.buckets:
            self.buckets.setdefault(name, HeldBucket())

    def forget(self) -> None:
        """Lose every byte, as a server does whose disk is gone; connections stay open."""
        self.streams.clear()
        for bucket in self.buckets.values():
            for key in list(bucket.values):
                bucket.put(key, None, None)
        self.epoch += 1
        self.ring()

    def stream(self, spec: Stream) -> HeldStream:
        """The stream with this description, made if need be."""
        known = self.streams.get(spec.name)
        if known is None:
            known = self.streams[spec.name] = HeldStream(spec)
        elif known.spec != spec:
            known.change(spec)
        return known

    def reader(self, consumer: Consumer) -> Reader:
        """The reader with this description, made if need be."""
        return self.stream(consumer.stream).reader(consumer)

    def stream_of(self, subject: str) -> HeldStream | None:
        """Which stream takes messages on this subject."""
        return next((one for one in self.streams.values() if one.takes(subject)), None)

    def offer(self, held: Held, stream: HeldStream) -> None:
        """Hand a new message to the readers of its stream."""
        for reader in stream.readers.values():
            if reader.reads(held.message.subject):
                place = len(reader.waiting)
                if self.chance(self.faults.shuffle):
                    place = self.dice.randint(0, place)
                reader.waiting.insert(place, held.sequence)

    def say(self, message: Outgoing, reply: str | None) -> int:
        """Hand a core message to whoever listens; return how many do."""
        hearers: list[Listener] = []
        groups: dict[str, list[Listener]] = {}
        for one in self.listeners:
            if one.fits(message.subject):
                (groups.setdefault(one.queue, []) if one.queue else hearers).append(one)
        hearers += [self.dice.choice(members) for members in groups.values()]
        for hearer in hearers:
            self._reach(hearer.items, Said(self, message, reply))
        if hearers:
            self.ring()
        return len(hearers)

    def new_inbox(self) -> Listener:
        """A subject for one answer; whoever asked takes it away."""
        inbox = Listener(f"_INBOX.{next(self._inboxes)}")
        self.listeners.append(inbox)
        return inbox

    def chance(self, probability: float) -> bool:
        """Whether it happens this time."""
        return probability > 0.0 and self.dice.random() < probability

    def ring(self) -> None:
        """Wake everybody who waits for something."""
        for bell in self._bells:
            bell.set()

    async def wait(
        self, ready: Callable[[], bool], due: Callable[[], datetime | None] = lambda: None
    ) -> None:
        """Return when `ready`; asked again whenever the bell rings, and at the time `due`."""
        bell = asyncio.Event()
        self._bells[bell] = None
        try:
            while not ready():
                until = due()
                if until is None:
                    await bell.wait()
                else:
                    await self._bell_or_time(bell, until)
                bell.clear()
        finally:
            self._bells.pop(bell, None)

    def _reach(self, items: deque[Said], said: Said) -> None:
        if self.chance(self.faults.lose) or len(items) >= HEARD_MAX:
            return
        items.append(said)
        if self.chance(self.faults.double):
            items.append(said)
        if self.chance(self.faults.shuffle):
            items.rotate(1)

    async def _bell_or_time(self, bell: asyncio.Event, until: datetime) -> None:
        async def ring_at_time() -> None:
            await self.clock.sleep(max(0.0, (until - self.clock.now()).total_seconds()))
            bell.set()

        async with asyncio.TaskGroup() as group:
            timer = group.create_task(ring_at_time())
            await bell.wait()
            timer.cancel()
