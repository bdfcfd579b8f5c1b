"""The NATS protocol as bytes, and the few things that streams and buckets need of a connection.

Frames are made and read here, without a connection; `nats` has the one that carries them.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from dalsegno_bus.bus import Headers
from dalsegno_bus.errors import BusError, UsageError

Sink: TypeAlias = Callable[[bytes, bytes, bytes, bytes | None], None]
"""Takes one message at once: subject, reply subject, body, raw headers. Never raises."""

Answer: TypeAlias = Mapping[str, Any]
"""JSON from the server."""

STATUS_HEARTBEAT: Final = 100

DELETION_SECONDS: Final = 0.5
"""Wait so long before what is missing is made anew. Server 2.15 says that a stream is deleted
before its files are: they take those of a new stream of that name along, which then never works."""

_PREAMBLE: Final = "NATS/1.0\r\n"
_BAD_SUBJECT: Final = re.compile(r"[\s\x00]|^$")
_HEADERS: Final = re.compile(r"(?:[!-9;-~]+: [^\r\n]*\r\n)*")
_LINE_ENDS: Final = str.maketrans("\r\n", "  ")


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to wait before something counts as lost."""

    store_seconds: float = 10.0
    """For the server to confirm what is stored, a lost connection included."""
    silence_seconds: float = 12.0
    """For a consumer that owes us something to give a sign (it does so every 5 seconds)."""
    ping_seconds: float = 2.0
    """Between two signs of life that we ask a server for; the third without any ends it."""


class ApiFault(BusError):
    """The server refused a JetStream request; `err_code` is the server's number for why."""

    code = "bus.server"

    def __init__(self, err_code: int, description: str) -> None:
        super().__init__(err_code, description)
        self.err_code = err_code
        self.description = description

    def __str__(self) -> str:
        return f"the NATS server says: {self.description} (code {self.err_code})"


class Subscribed(Protocol):
    """One subscription of a `Wire`."""

    async def unsubscribe(self) -> None:
        """Tell the server to send no more; what is on its way still arrives."""
        ...

    def forget(self) -> None:
        """Take nothing more."""
        ...


class Wire(Protocol):
    """A connection that heals itself."""

    @property
    def address(self) -> str:
        """The servers' URLs, without secrets."""
        ...

    @property
    def is_up(self) -> bool:
        """Whether the connection is there now."""
        ...

    def check_open(self) -> None:
        """Do nothing, unless somebody has closed it.

        Raises:
            Unavailable: It was closed.
        """
        ...

    @property
    def body_bytes_max(self) -> int:
        """What one message may weigh, its headers included."""
        ...

    def send(self, frame: bytes) -> bool:
        """Send a frame soon; False: it was dropped, the connection is away and its buffer full."""
        ...

    async def relieve(self) -> None:
        """Wait while too much is on its way to the server."""
        ...

    async def round_trip(self) -> None:
        """Return when the server has read all that was sent, and we all that it had sent."""
        ...

    async def hear(self, subject: str, sink: Sink, *, queue: str = "") -> Subscribed:
        """Subscribe; lasts over reconnections."""
        ...

    def new_inbox(self) -> str:
        """A subject that nobody else listens on."""
        ...

    async def call(self, subject: str, body: bytes = b"") -> Answer:
        """Ask the server's JetStream API.

        Raises:
            ApiFault: The server refused.
            Unavailable: It did not answer.
        """
        ...

    async def fetch(self, subject: str) -> tuple[bytes, Headers] | None:
        """Ask for a stored message: its body and headers; None: nobody answers there.

        Raises:
            Unavailable: No answer in time.
        """
        ...

    def when_lost(self, hook: Callable[[], None]) -> Callable[[], None]:
        """Call `hook` whenever the connection is lost or closed; return how to stop that."""
        ...

    def when_back(self, hook: Callable[[], None]) -> Callable[[], None]:
        """Call `hook` whenever the connection is there again; return how to stop that."""
        ...


def publish_frame(subject: str, body: bytes, headers: Headers, reply: str = "") -> bytes:
    """The frame that publishes one message.

    Raises:
        UsageError: The subject, or the name of a header, cannot travel.
    """
    if _BAD_SUBJECT.search(subject):
        raise UsageError(f"{subject!r} is no subject: it must not be empty or have spaces")
    if not headers:
        return b"%b%b\r\n" % (f"PUB {subject} {reply} {len(body)}\r\n".encode(), body)
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if _HEADERS.fullmatch(lines) is None:
        lines = _clean(headers)
    head = f"{_PREAMBLE}{lines}\r\n".encode()
    size = len(head)
    command = f"HPUB {subject} {reply} {size} {size + len(body)}\r\n".encode()
    return b"%b%b%b\r\n" % (command, head, body)


def read_headers(raw: bytes | None) -> dict[str, str]:
    """The headers in these bytes, without the status line."""
    if not raw:
        return {}
    headers: dict[str, str] = {}
    for line in raw.decode("utf-8", "replace").split("\r\n")[1:]:
        name, colon, value = line.partition(":")
        if colon:
            headers[name] = value.strip()
    return headers


def status_of(raw: bytes | None) -> int:
    """The status that a server put in place of a message; 0: none."""
    if raw is None or raw[8:9] != b" ":
        return 0
    digits = raw[9:12]
    return int(digits) if digits.isdigit() else 0


def _clean(headers: Headers) -> str:
    lines: list[str] = []
    for name, value in headers.items():
        line = f"{name}: {value.translate(_LINE_ENDS)}\r\n"
        if _HEADERS.fullmatch(line) is None:
            raise UsageError(f"{name!r} cannot name a header: no spaces, colons or line ends")
        lines.append(line)
    return "".join(lines)
