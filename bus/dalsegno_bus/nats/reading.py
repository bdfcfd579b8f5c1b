"""Cuts what a NATS server sends into its parts, in place of the client library's parser.

That one takes any white space for the end of a subject, where servers let all but four kinds of it
pass: one such message in a stream would end each connection that reads it, again and again.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

import orjson
from nats.errors import ProtocolError

_LINE_BYTES_MAX: Final = 65_536
"""What comes before a line's end; a server's own description is the longest."""
_MESSAGE_PARTS: Final = 4
_MESSAGE_WITH_HEADERS_PARTS: Final = 5

OnMessage: TypeAlias = Callable[[int, bytes, bytes, bytes, Any], Awaitable[None]]
"""Takes subscription, subject, reply subject, body, and raw headers or None."""


class FrameReader:
    """Reads a server's bytes, in whatever pieces they come, and calls who is to have each part."""

    def __init__(
        self,
        *,
        message: OnMessage,
        error: Callable[[str], Awaitable[None]],
        ping: Callable[[], Awaitable[None]],
        pong: Callable[[], Awaitable[None]],
        info: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        self._message = message
        self._error = error
        self._ping = ping
        self._pong = pong
        self._info = info
        self._bytes = bytearray()

    def reset(self) -> None:
        """Forget what came in part: another connection begins."""
        self._bytes = bytearray()

    async def parse(self, data: bytes = b"") -> None:
        """Take the next bytes.

        Raises:
            ProtocolError: No NATS server says so.
        """
        known = self._bytes
        known += data
        at = 0
        while (end := known.find(b"\r\n", at)) >= 0:
            line = bytes(known[at:end])
            begin = end + 2
            if line.startswith((b"MSG ", b"HMSG ")):
                sid, subject, reply, head, size = _message_line(line)
                if len(known) < begin + size + 2:
                    break
                raw = bytes(known[begin : begin + head]) if head else None
                body = bytes(known[begin + head : begin + size])
                at = begin + size + 2
                await self._message(sid, subject, reply, body, raw)
            else:
                at = begin
                await self._other(line)
            if self._bytes is not known:  # the connection was given up meanwhile
                return
        else:
            if len(known) - at > _LINE_BYTES_MAX:
                raise ProtocolError
        del known[:at]

    async def _other(self, line: bytes) -> None:
        word, _, rest = line.partition(b" ")
        if word == b"PING":
            await self._ping()
        elif word == b"PONG":
            await self._pong()
        elif word == b"-ERR":
            await self._error(rest.decode("utf-8", "replace").strip().lower())
        elif word == b"INFO":
            try:
                described = orjson.loads(rest)
            except orjson.JSONDecodeError as error:
                raise ProtocolError from error
            await self._info(described)
        elif word != b"+OK":
            raise ProtocolError


def _message_line(line: bytes) -> tuple[int, bytes, bytes, int, int]:
    """Subscription, subject, reply subject, and the sizes of the headers and of all."""
    parts = line.split(b" ")  # MSG subject sid [reply] size, HMSG subject sid [reply] head size
    try:
        if len(parts[0]) == len(b"MSG"):
            reply = parts[3] if len(parts) > _MESSAGE_PARTS else b""
            return int(parts[2]), parts[1], reply, 0, int(parts[-1])
        reply = parts[3] if len(parts) > _MESSAGE_WITH_HEADERS_PARTS else b""
        return int(parts[2]), parts[1], reply, int(parts[-2]), int(parts[-1])
    except (ValueError, IndexError) as error:
        raise ProtocolError from error
