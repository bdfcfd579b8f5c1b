"""What a bus in memory holds: streams with their readers, and buckets. No waiting, no chance.

Plain state machines: time comes in as an argument, and nobody is woken from here. `memory` puts
the waiting, the clock and the faults around them.
"""

import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from heapq import heappop, heappush
from typing import Final

from dalsegno_bus.bus import Entry, Outgoing
from dalsegno_bus.errors import PublishFailed
from dalsegno_bus.topology import Consumer, Stream

BODY_BYTES_MAX: Final = 1024 * 1024
"""What a NATS server takes unless told otherwise."""


def matcher(*patterns: str) -> Callable[[str], bool]:
    """Tell whether a subject fits a pattern: `*` is any one token, a last `>` all that follow."""
    regexes = "|".join(_regex(pattern) for pattern in patterns)
    found = re.compile(regexes).fullmatch
    return lambda subject: found(subject) is not None


def check_size(message: Outgoing) -> None:
    """Do nothing, unless a server would not take the message.

    Raises:
        PublishFailed: It is too large.
    """
    if len(message.body) > BODY_BYTES_MAX:
        raise PublishFailed(
            f"a message of {len(message.body)} bytes on {message.subject!r} is above the limit of "
            f"{BODY_BYTES_MAX}: hand large values on as artifacts"
        )


@dataclass(frozen=True, slots=True)
class Held:
    """One message in a stream."""

    sequence: int
    message: Outgoing
    stored_at: datetime


class HeldStream:
    """One stream: what it holds, by sequence, and who reads it."""

    def __init__(self, spec: Stream) -> None:
        self.spec = spec
        self.takes = matcher(*spec.subjects)
        self.held: dict[int, Held] = {}
        self.readers: dict[str, Reader] = {}
        self._last = 0
        self._on_subject: dict[str, int] = {}

    def change(self, spec: Stream) -> None:
        """Go on under another description; what is held stays."""
        self.spec = spec
        self.takes = matcher(*spec.subjects)

    def put(self, message: Outgoing, now: datetime) -> Held | None:
        """Keep a message; None: its subject is taken.

        Raises:
            PublishFailed: The stream is full, or the body is too large.
        """
        check_size(message)
        if self.spec.one_per_subject and self._on_subject.get(message.subject):
            return None
        if len(self.held) >= self.spec.messages_max:
            if self.spec.keeps == "work":
                raise PublishFailed(
                    f"stream {self.spec.name} is full ({self.spec.messages_max} messages): "
                    "wait until its readers have caught up, then publish again"
                )
            self.remove(next(iter(self.held)))
        self._last += 1
        held = Held(self._last, message, now)
        self.held[held.sequence] = held
        self._on_subject[message.subject] = self._on_subject.get(message.subject, 0) + 1
        return held

    def remove(self, sequence: int) -> None:
        """Forget a message, wherever it is."""
        held = self.held.pop(sequence, None)
        if held is None:
            return
        left = self._on_subject[held.message.subject] - 1
        if left:
            self._on_subject[held.message.subject] = left
        else:
            del self._on_subject[held.message.subject]
        for reader in self.readers.values():
            reader.forget(sequence)

    def purge(self, pattern: str) -> None:
        """Forget every message whose subject fits."""
        fits = matcher(pattern)
        for held in list(self.held.values()):
            if fits(held.message.subject):
                self.remove(held.sequence)

    def reader(self, spec: Consumer) -> "Reader":
        """The reader described by `spec`; a new one starts with all that is held."""
        known = self.readers.get(spec.name)
        if known is None:
            known = self.readers[spec.name] = Reader(spec)
            for held in self.held.values():
                if known.reads(held.message.subject):
                    known.waiting.append(held.sequence)
        elif known.spec != spec:
            known.change(spec)
        return known

    def reset(self, spec: Consumer) -> None:
        """Have the reader begin again with all that is held."""
        self.readers.pop(spec.name, None)
        self.reader(spec)


class Reader:
    """What one durable consumer has yet to hand out, and what it waits to see acknowledged."""

    def __init__(self, spec: Consumer) -> None:
        self.spec = spec
        self.reads = matcher(*spec.patterns)
        self.waiting: deque[int] = deque()
        self._due: dict[int, datetime] = {}  # in flight, or held back by `retry`
        self._by_time: list[tuple[datetime, int]] = []
        self._deliveries: dict[int, int] = {}

    def change(self, spec: Consumer) -> None:
        """Read on under another description."""
        self.spec = spec
        self.reads = matcher(*spec.patterns)

    def take(self, stream: HeldStream, *, limit: int, now: datetime) -> Iterator[tuple[Held, int]]:
        """Hand out up to `limit` messages, each with how often it was delivered (this one too)."""
        self._return(now)
        while limit > 0 and self.waiting and len(self._due) < self.spec.acks_pending_max:
            sequence = self.waiting.popleft()
            held = stream.held.get(sequence)
            if held is None:
                continue
            self._set_due(sequence, now + timedelta(seconds=self.spec.ack_wait_seconds))
            self._deliveries[sequence] = self._deliveries.get(sequence, 0) + 1
            limit -= 1
            yield held, self._deliveries[sequence]

    def next_due(self) -> datetime | None:
        """When the next message comes back by itself; None: none will."""
        while self._by_time:
            due, sequence = self._by_time[0]
            if self._due.get(sequence) == due:
                return due
            heappop(self._by_time)
        return None

    def postpone(self, sequence: int, until: datetime) -> None:
        """Hand a message in flight out again, not before `until`."""
        if sequence in self._due:
            self._set_due(sequence, until)

    def forget(self, sequence: int) -> None:
        """Never hand this message out again."""
        self._due.pop(sequence, None)
        self._deliveries.pop(sequence, None)

    def _return(self, now: datetime) -> None:
        while (due := self.next_due()) is not None and due <= now:
            _, sequence = heappop(self._by_time)
            del self._due[sequence]
            self.waiting.append(sequence)

    def _set_due(self, sequence: int, due: datetime) -> None:
        self._due[sequence] = due
        heappush(self._by_time, (due, sequence))


@dataclass(slots=True)
class _Value:
    entry: Entry
    expires_at: datetime | None


@dataclass
class HeldBucket:
    """One bucket: its values, and what each watcher has yet to see."""

    values: dict[str, _Value] = field(default_factory=dict[str, _Value])
    watchers: list[deque[Entry | None]] = field(default_factory=list[deque[Entry | None]])
    _revision: int = 0

    def put(self, key: str, value: bytes | None, expires_at: datetime | None) -> int:
        """Set or (with None) delete a key, and tell the watchers."""
        self._revision += 1
        entry = Entry(key, value, self._revision)
        known = self.values.pop(key, None)
        if value is not None:
            self.values[key] = _Value(entry, expires_at)
        if value is not None or known is not None:
            for watcher in self.watchers:
                watcher.append(entry)
        return self._revision

    def revision_of(self, key: str) -> int:
        """Where this key is; 0: it is not there."""
        known = self.values.get(key)
        return 0 if known is None else known.entry.revision

    def expire(self, now: datetime) -> None:
        """Delete what has outlived its time."""
        over = [
            key
            for key, value in self.values.items()
            if value.expires_at is not None and value.expires_at <= now
        ]
        for key in over:
            self.put(key, None, None)

    def next_due(self) -> datetime | None:
        """When the next key expires; None: none will."""
        times = [value.expires_at for value in self.values.values() if value.expires_at is not None]
        return min(times, default=None)


def _regex(pattern: str) -> str:
    wildcards = {">": ".+", "*": "[^.]+"}
    return r"\.".join(wildcards.get(part) or re.escape(part) for part in pattern.split("."))
