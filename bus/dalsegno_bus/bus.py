"""What any bus can do: the contract that `nats` and `memory` both keep (tests/contract).

Three ways to send, by what they promise:

* `tell`    core publish: heard by whoever listens now, kept by nobody.
* `store`   into a stream, confirmed. A subject that holds one message at most refuses a second.
* `ask`     a question with a reply.

And three to receive: `pull` (work from a stream, acknowledged), `listen` (core subjects), and
`Bucket.watch` (a key-value bucket). Foreign types and errors stop behind this file's names.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol, TypeAlias

from dalsegno_bus.topology import Consumer, Stream, Topology

Headers: TypeAlias = Mapping[str, str]

Outcome: TypeAlias = Literal["stored", "refused"]
"""`refused`: the subject holds a message already, and keeps that one."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message on its way out."""

    subject: str
    body: bytes
    headers: Headers = field(default_factory=dict[str, str])


class Heard(Protocol):
    """A message that came in over core subjects."""

    @property
    def subject(self) -> str: ...
    @property
    def body(self) -> bytes: ...
    @property
    def headers(self) -> Headers: ...
    async def answer(self, body: bytes, headers: Headers | None = None) -> None:
        """Reply to whoever asked; nothing happens if nobody did."""
        ...


class Delivery(Protocol):
    """A message from a stream. It comes again until one of `ack` and `drop` is called."""

    @property
    def subject(self) -> str: ...
    @property
    def body(self) -> bytes: ...
    @property
    def headers(self) -> Headers: ...
    @property
    def deliveries(self) -> int:
        """How often it was delivered, from 1; a hint, never a fact to decide on."""
        ...

    @property
    def consumer_name(self) -> str:
        """Which consumer delivered it."""
        ...

    @property
    def stored_at(self) -> datetime:
        """When the stream accepted it (the server's clock, UTC)."""
        ...

    @property
    def sequence(self) -> int:
        """Its position in the stream, from 1."""
        ...

    async def ack(self) -> None:
        """Done: never deliver again. Not confirmed; a lost one means one more delivery."""
        ...

    async def retry(self, *, delay_seconds: float) -> None:
        """Deliver again, not before `delay_seconds` (more than 0)."""
        ...

    async def extend(self) -> None:
        """Still at work: start the consumer's `ack_wait` anew."""
        ...

    async def drop(self) -> None:
        """Never deliver again, though it was not done."""
        ...


class Pull(Protocol):
    """A running pull from one or several consumers, merged in order of arrival."""

    async def batch(self, *, limit: int) -> Sequence[Delivery]:
        """All that is there now, oldest first: at least one (waits for it), at most `limit`."""
        ...

    async def turn_to(self, consumers: Sequence[Consumer]) -> None:
        """Read these from now on, and no others. May be called while somebody waits for a batch.

        What came from others and was not handed out is given back at once.
        """
        ...


@dataclass(frozen=True, slots=True)
class Entry:
    """One value of a bucket; `value` None: the key was deleted or has expired."""

    key: str
    value: bytes | None
    revision: int


class Bucket(Protocol):
    """A small key-value store, shared by all processes.

    Whatever changes a key may raise `PublishFailed`: it is not known then whether it did so. Look.
    """

    async def put(self, key: str, value: bytes, *, ttl_seconds: int | None = None) -> int:
        """Set `key` (for so long, if said) and return its revision."""
        ...

    async def create(self, key: str, value: bytes, *, ttl_seconds: int | None = None) -> int | None:
        """Set `key` if there is none, and return its revision; None: there is one."""
        ...

    async def update(
        self, key: str, value: bytes, revision: int, *, ttl_seconds: int | None = None
    ) -> int | None:
        """Set `key` if it is at this revision, and return the new one; None: it is not."""
        ...

    async def get(self, key: str) -> Entry | None: ...
    async def delete(self, key: str, *, revision: int | None = None) -> bool:
        """Delete `key`, or only if it is at this revision; return whether that was so."""
        ...

    def watch(self) -> AbstractAsyncContextManager[AsyncIterator[Entry | None]]:
        """Every key as it stands, then None once, then every change as it comes.

        Of changes to one key that follow each other fast, perhaps only the last one is told.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A message as it lies in a stream: looked at, not taken."""

    sequence: int
    """Its position in the stream, from 1."""
    subject: str
    body: bytes
    headers: Headers
    stored_at: datetime
    """When the stream accepted it (the server's clock, UTC)."""


@dataclass(frozen=True, slots=True)
class Span:
    """What a stream holds: the first and the last position (0: nothing), and how many messages."""

    first: int
    last: int
    count: int


class Bus(Protocol):
    """A connection of one process. Whoever opened it closes it."""

    @property
    def epoch(self) -> int:
        """Grows whenever the servers may have lost what they held; then publish it again.

        So it is when the connection came back, or when a stream had to be made anew.
        """
        ...

    async def provision(self, topology: Topology) -> None:
        """Make sure that these streams, consumers and buckets exist as described."""
        ...

    async def tell(self, message: Outgoing) -> None: ...
    async def store(self, messages: Sequence[Outgoing]) -> Sequence[Outcome]:
        """Put messages into the streams of their subjects; return when all are confirmed.

        Raises:
            PublishFailed: At least one was neither stored nor refused; which ones is not known,
                so send them all again, with the same ids.
        """
        ...

    async def ask(self, message: Outgoing, *, timeout_seconds: float) -> Heard:
        """Wait for one reply.

        Raises:
            Unavailable: Nobody answers on this subject, or not in time.
        """
        ...

    def pull(
        self, consumers: Sequence[Consumer], *, ahead: int
    ) -> AbstractAsyncContextManager[Pull]:
        """Receive from these consumers, with at most `ahead` messages each not yet handed out."""
        ...

    def listen(
        self, *subjects: str, queue: str | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[Heard]]:
        """Hear core subjects; with `queue`, each message goes to one member of it."""
        ...

    async def purge(self, stream: Stream, subject: str) -> None:
        """Remove what a stream holds on a subject (or pattern)."""
        ...

    async def reset(self, consumer: Consumer) -> None:
        """Have what was delivered and not acknowledged delivered anew, at once, to who reads now.

        Whoever had it may still acknowledge it.
        """
        ...

    async def span(self, stream: Stream) -> Span:
        """Where the messages of a stream lie; a stream that is missing holds nothing."""
        ...

    async def look(self, stream: Stream, sequence: int) -> Kept | None:
        """The message at this position (1 or more), left where it is; None: there is none."""
        ...

    async def remove(self, stream: Stream, sequence: int) -> bool:
        """Take one message out of a stream for good; False: there was none at this position."""
        ...

    def bucket(self, name: str) -> Bucket: ...
    async def close(self) -> None:
        """Send what is buffered, then disconnect."""
        ...
