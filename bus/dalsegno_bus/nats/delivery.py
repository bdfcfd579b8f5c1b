"""One message that a JetStream consumer delivered, and how to answer the server for it."""

from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

import orjson

from dalsegno_bus.bus import Headers
from dalsegno_bus.errors import UsageError
from dalsegno_bus.nats.frames import read_headers
from dalsegno_bus.nats.streams import nanoseconds

_ACK_SUBJECT: Final = b"$JS.ACK."
_TOKENS_MIN: Final = 9
_TOKENS_WITH_DOMAIN: Final = 11
_DIGITS_MAX: Final = 19
_ACK: Final = b"+ACK"
_NAK: Final = b"-NAK"
_TERM: Final = b"+TERM"
_IN_PROGRESS: Final = b"+WPI"
_START_OF_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)


def is_acknowledged_at(reply: bytes) -> bool:
    """Whether this is where a consumer hears of a message: else no consumer delivered it."""
    return reply.startswith(_ACK_SUBJECT) and reply.count(b".") >= _TOKENS_MIN - 1


class Origin(Protocol):
    """Where deliveries come from, and answers to them go."""

    held: int
    """How many it delivered that were not handed out."""

    def say(self, reply: bytes, body: bytes) -> None:
        """Answer a delivery."""
        ...


class NatsDelivery:
    """A message from a stream; what its reply subject and headers say is read only when asked."""

    __slots__ = ("_headers", "_raw", "_reply", "_source", "_tokens", "body", "subject")

    def __init__(
        self, source: Origin, subject: str, reply: bytes, body: bytes, raw: bytes | None
    ) -> None:
        self.subject = subject
        self.body = body
        self._source = source
        self._reply = reply
        self._raw = raw
        self._headers: Headers | None = None
        self._tokens: list[bytes] | None = None

    @property
    def headers(self) -> Headers:
        if self._headers is None:
            self._headers = read_headers(self._raw)
        return self._headers

    @property
    def deliveries(self) -> int:
        return self._number(1)

    @property
    def sequence(self) -> int:
        return self._number(2)

    @property
    def stored_at(self) -> datetime:
        return _START_OF_TIME + timedelta(microseconds=self._number(4) // 1000)

    @property
    def left(self) -> int:
        """How many messages the consumer had yet to deliver after this one."""
        return self._number(5)

    @property
    def consumer_name(self) -> str:
        """Which consumer delivered it."""
        return self._token(0).decode("utf-8", "replace")

    @property
    def source(self) -> Origin:
        """Where it came from."""
        return self._source

    async def ack(self) -> None:
        self._source.say(self._reply, _ACK)

    async def retry(self, *, delay_seconds: float) -> None:
        if delay_seconds <= 0:
            raise UsageError(f"delay_seconds must be more than 0, not {delay_seconds!r}")
        delay = orjson.dumps({"delay": nanoseconds(delay_seconds)})
        self._source.say(self._reply, b"%b %b" % (_NAK, delay))

    async def extend(self) -> None:
        self._source.say(self._reply, _IN_PROGRESS)

    async def drop(self) -> None:
        self._source.say(self._reply, _TERM)

    def hand_back(self) -> None:
        """Let another reader have it now: it was never handed out here."""
        self._source.say(self._reply, _NAK)

    def _number(self, index: int) -> int:
        token = self._token(index)[:_DIGITS_MAX]
        return int(token) if token.isdigit() else 0  # not of a server: no reason to fail

    def _token(self, index: int) -> bytes:
        # $JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<n>.<time>.<left>, or the same with
        # <domain>.<account> before the stream and perhaps a random token at the end
        if self._tokens is None:
            tokens = self._reply.split(b".")
            self._tokens = tokens[3:] if len(tokens) < _TOKENS_WITH_DOMAIN else tokens[5:]
        return self._tokens[index]
