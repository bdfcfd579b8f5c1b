"""Pulling from JetStream consumers: continuous requests, and every way in which they can break.

There is always a request outstanding while there is room for its answers. Nothing runs beside the
caller: messages and the server's notices are only noted as they come in, and `batch` acts on them.
So a pull cannot die quietly: whoever waits for a batch is the one who mends what is broken.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from logging import getLogger
from typing import Final

from dalsegno_bus.errors import BusError, SettingsError, Unavailable, UsageError
from dalsegno_bus.logs import log
from dalsegno_bus.nats.delivery import NatsDelivery, is_acknowledged_at
from dalsegno_bus.nats.frames import (
    DELETION_SECONDS,
    STATUS_HEARTBEAT,
    Patience,
    Subscribed,
    Wire,
    read_headers,
    status_of,
)
from dalsegno_bus.nats.streams import nanoseconds
from dalsegno_bus.topology import Consumer

REQUEST_SECONDS: Final = 60.0
"""How long a request waits at the server for messages."""

HEARTBEAT_SECONDS: Final = 5.0
"""How often the server says that a request still waits."""

HAND_BACK_SECONDS_MAX: Final = 2.0
_MEND_SECONDS_MIN: Final = 0.05
_MEND_SECONDS_MAX: Final = 2.0

_logger = getLogger(__name__)


class Source:
    """One consumer that a pull reads: what was asked of it, and whether it still answers.

    Args:
        ensure: Makes sure that the consumer exists; returns its `STREAM.name`, and since when.
        ahead: How many messages it may have sent that were not handed out.
    """

    def __init__(
        self,
        wire: Wire,
        ensure: Callable[[], Awaitable[tuple[str, str]]],
        *,
        name: str,
        ahead: int,
    ) -> None:
        self._wire = wire
        self._ensure = ensure
        self._ahead = ahead
        self._name = name
        self.key = name
        """Tells it from others: `STREAM.consumer`, as it was when this was made."""
        self._created = ""
        self._inbox = wire.new_inbox()
        self._subscribed: Subscribed | None = None
        self._asked = 0
        self._heard = True
        self.held = 0
        self.broken = False

    async def open(self, take: Callable[[NatsDelivery], None], notice: Callable[[], None]) -> None:
        """Hand each message to `take`; call `notice` when a request has ended."""

        def sink(subject: bytes, reply: bytes, body: bytes, raw: bytes | None) -> None:
            self._heard = True
            if is_acknowledged_at(reply):
                self._asked -= 1
                self.held += 1
                take(NatsDelivery(self, subject.decode("utf-8", "replace"), reply, body, raw))
            elif not reply and (status := status_of(raw)):
                self._on_status(status, raw)
                notice()
            # anything else is no server's: somebody found out where we listen

        self._subscribed = await self._wire.hear(self._inbox, sink)

    async def unsubscribe(self) -> None:
        """Tell the server to send no more; what is on its way still arrives."""
        if self._subscribed is not None:
            await self._subscribed.unsubscribe()

    def forget(self) -> None:
        """Take nothing more."""
        if self._subscribed is not None:
            self._subscribed.forget()

    @property
    def stream(self) -> str:
        """The stream that it reads."""
        return self._name.partition(".")[0]

    async def mend(self) -> None:
        """Make sure that the consumer exists; what was asked of a lost one is forgotten."""
        self._name, created = await self._ensure()
        if self.broken or created != self._created:
            self._asked = 0
            self._heard = True
        self._created = created
        self.broken = False

    def ask(self) -> None:
        """Ask for as many messages as there is room for, once that is half of what may be."""
        room = self._ahead - self.held - self._asked
        enough = self._asked > 0 and room < self._ahead / 2
        if enough or room <= 0 or self.broken or not self._wire.is_up:
            return
        body = b'{"batch":%d,"expires":%d,"idle_heartbeat":%d}' % (
            room,
            nanoseconds(REQUEST_SECONDS),
            nanoseconds(HEARTBEAT_SECONDS),
        )
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._name}"
        frame = b"PUB %b %b %d\r\n%b\r\n" % (
            subject.encode(),
            self._inbox.encode(),
            len(body),
            body,
        )
        if self._wire.send(frame):
            self._asked += room
        else:
            self.broken = True

    def check(self) -> None:
        """Called once in a while: it is broken if it owes us something and kept silent since."""
        if self._asked > 0 and not self._heard:
            self.broken = True
        self._heard = False

    def say(self, reply: bytes, body: bytes) -> None:
        """Answer a delivery. A lost answer means one more delivery."""
        self._wire.send(b"PUB %b %d\r\n%b\r\n" % (reply, len(body), body))

    def _on_status(self, status: int, raw: bytes | None) -> None:
        if status == STATUS_HEARTBEAT:
            return
        pending = read_headers(raw).get("Nats-Pending-Messages", "")
        if pending.isdecimal():
            self._asked = max(0, self._asked - int(pending))  # a request came to its end
        else:
            self.broken = True  # consumer or stream deleted, server shutting down, no such consumer


class NatsPull:
    """A running pull from one or several sources, merged in order of arrival.

    Args:
        source_of: Makes the source of another consumer, for `turn_to`.
    """

    def __init__(
        self,
        wire: Wire,
        sources: Sequence[Source],
        patience: Patience,
        source_of: Callable[[Consumer], Source] | None = None,
    ) -> None:
        self._wire = wire
        self._silence_seconds = patience.silence_seconds
        self._sources = list(sources)
        self._source_of = source_of
        self._ready: deque[NatsDelivery] = deque()
        self._bell = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(self._silence_seconds, self._check)
        self._mend_at = 0.0
        self._mend_after = 0.0
        self._unhook: list[Callable[[], None]] = []
        self._interrupted = False

    async def open(self) -> None:
        """Begin to receive."""
        for source in self._sources:
            await source.open(self._take, self._notice)
        self._unhook = [
            self._wire.when_back(self._break_all),
            self._wire.when_lost(self._bell.set),
        ]

    async def close(self) -> None:
        """Receive no more, and hand back what was not handed out."""
        self._timer.cancel()
        for unhook in self._unhook:
            unhook()
        await self._give_up(self._sources)

    async def turn_to(self, consumers: Sequence[Consumer]) -> None:
        """See `bus.Pull`.

        Raises:
            Unavailable: The bus was closed.
        """
        if self._source_of is None:
            raise UsageError("this pull reads one source only")
        wanted = {f"{one.stream.name}.{one.name}": one for one in consumers}
        left = [source for source in self._sources if source.key not in wanted]
        kept = {source.key for source in self._sources} & wanted.keys()
        new = [self._source_of(one) for key, one in wanted.items() if key not in kept]
        self._sources = [source for source in self._sources if source.key in kept]
        if left:
            await self._give_up(left)
        for source in new:
            await source.open(self._take, self._notice)
            self._sources.append(source)
        self._bell.set()

    async def _give_up(self, sources: Sequence[Source]) -> None:
        """Receive no more from these, and hand back what was not handed out."""
        try:
            async with asyncio.timeout(HAND_BACK_SECONDS_MAX):
                for source in sources:
                    await source.unsubscribe()
                if self._wire.is_up:
                    await self._wire.round_trip()
        except (TimeoutError, Unavailable):
            pass  # the server hands it out again by itself, after `ack_wait`
        for source in sources:
            source.forget()
        others: deque[NatsDelivery] = deque()
        for delivery in self._ready:
            if delivery.source in sources:
                delivery.hand_back()
            else:
                others.append(delivery)
        self._ready = others

    async def batch(self, *, limit: int) -> Sequence[NatsDelivery]:
        """See `bus.Pull`.

        Raises:
            Unavailable: The bus was closed.
        """
        if limit < 1:
            raise UsageError(f"limit must be 1 or more, not {limit}")
        return await self.batch_unless(_never, limit=limit)

    async def batch_unless(
        self, enough: Callable[[], bool], *, limit: int
    ) -> Sequence[NatsDelivery]:
        """A batch, or nothing if `enough` says so before there is one. Cancelled, it loses none."""
        await self._wire.relieve()
        if len(self._ready) < limit:
            await asyncio.sleep(0)  # let in what the loop has already read
        while True:
            self._wire.check_open()
            self._bell.clear()
            await self._mend()
            for source in self._sources:
                source.ask()
            if self._ready or enough():
                break
            await self._bell.wait()
        batch = [self._ready.popleft() for _ in range(min(limit, len(self._ready)))]
        for delivery in batch:
            delivery.source.held -= 1
        for source in self._sources:
            source.ask()
        return batch

    def _take(self, delivery: NatsDelivery) -> None:
        self._ready.append(delivery)
        self._bell.set()

    def _notice(self) -> None:
        if any(source.broken for source in self._sources):
            self._mend_later(DELETION_SECONDS)
        self._bell.set()

    def _mend_later(self, seconds: float) -> None:
        self._mend_at = self._loop.time() + seconds
        self._loop.call_at(self._mend_at, self._bell.set)

    def _check(self) -> None:
        for source in self._sources:
            source.check()
        self._bell.set()
        self._timer = self._loop.call_later(self._silence_seconds, self._check)

    def _break_all(self) -> None:
        for source in self._sources:
            source.broken = True  # the server forgets requests with their connection
        self._mend_at = 0.0
        self._bell.set()

    async def _mend(self) -> None:
        streams = {source.stream for source in self._sources if source.broken}
        if not streams or not self._wire.is_up or self._loop.time() < self._mend_at:
            return
        # the server does not tell each consumer that its stream is gone
        broken = [source for source in self._sources if source.stream in streams]
        try:
            for source in broken:
                await source.mend()
        except (BusError, SettingsError, Unavailable) as error:
            self._mend_after = min(max(2 * self._mend_after, _MEND_SECONDS_MIN), _MEND_SECONDS_MAX)
            self._mend_later(self._mend_after)
            if not self._interrupted:
                self._interrupted = True
                log(_logger, "warning", "bus.pull_interrupted", reason=str(error))
        else:
            self._mend_after = 0.0
            if self._interrupted:
                self._interrupted = False
                log(_logger, "info", "bus.pull_resumed", consumers=len(broken))


def _never() -> bool:
    return False
