"""Core subjects on a NATS server: what comes in for a listener, and how to answer it.

Kept by nobody: a listener that falls too far behind loses messages, and says so.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from logging import getLogger
from typing import Final

from dalsegno_bus.bus import Headers, Heard, Outgoing
from dalsegno_bus.errors import PublishFailed
from dalsegno_bus.logs import log
from dalsegno_bus.nats.frames import Subscribed, Wire, publish_frame, read_headers

HEARD_MAX: Final = 65_536
"""Core messages that wait for one listener; it loses what comes beyond."""

_logger = getLogger(__name__)


async def send(wire: Wire, message: Outgoing, reply: str = "") -> None:
    """Publish without a confirmation.

    Raises:
        PublishFailed: It is larger than the server takes.
    """
    check_size(message, wire.body_bytes_max)
    wire.send(publish_frame(message.subject, message.body, message.headers, reply))
    await wire.relieve()


def check_size(message: Outgoing, limit: int) -> None:
    """Do nothing, unless the server would end the connection over this message.

    Raises:
        PublishFailed: It is larger than `limit`, its headers included.
    """
    if len(message.body) > limit // 2:  # only then are the headers worth counting
        size = len(publish_frame(message.subject, message.body, message.headers))
        if size > limit:
            raise too_large(size, message.subject, limit)


def too_large(size: int, subject: str, limit: int) -> PublishFailed:
    """The error for a message that no server here takes."""
    return PublishFailed(
        f"a message of {size} bytes on {subject!r} is above the server's limit of {limit}: "
        "hand large values on as artifacts"
    )


class NatsHeard:
    """A core message that came in."""

    __slots__ = ("_headers", "_reply", "_wire", "body", "subject")

    def __init__(self, wire: Wire, subject: str, reply: str, body: bytes, headers: Headers) -> None:
        self.subject = subject
        self.body = body
        self._wire = wire
        self._reply = reply
        self._headers = headers

    @property
    def headers(self) -> Headers:
        return self._headers

    async def answer(self, body: bytes, headers: Headers | None = None) -> None:
        if self._reply:
            await send(self._wire, Outgoing(self._reply, body, headers or {}))


class Mailbox:
    """What one listener has yet to hear, oldest first. A cancelled `anext` loses nothing."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._items: deque[NatsHeard] = deque()
        self._bell = asyncio.Event()
        self._subscribed: list[Subscribed] = []
        self._unhook = wire.when_lost(self._bell.set)
        self._overrun = False

    async def open(self, subjects: Sequence[str], queue: str) -> None:
        for subject in subjects:
            self._subscribed.append(await self._wire.hear(subject, self._take, queue=queue))
        await self._wire.round_trip()

    async def close(self) -> None:
        self._unhook()
        for subscribed in self._subscribed:
            await subscribed.unsubscribe()
            subscribed.forget()

    def __aiter__(self) -> "Mailbox":
        return self

    async def __anext__(self) -> Heard:
        while not self._items:
            self._wire.check_open()
            self._bell.clear()
            await self._bell.wait()
        return self._items.popleft()

    def _take(self, subject: bytes, reply: bytes, body: bytes, raw: bytes | None) -> None:
        if len(self._items) >= HEARD_MAX:
            if not self._overrun:
                log(
                    _logger,
                    "warning",
                    "bus.listener_overrun",
                    subject=subject.decode("utf-8", "replace"),
                )
            self._overrun = True
            return
        self._overrun = False
        heard = NatsHeard(
            self._wire,
            subject.decode("utf-8", "replace"),
            reply.decode("utf-8", "replace"),
            body,
            read_headers(raw),
        )
        self._items.append(heard)
        self._bell.set()
