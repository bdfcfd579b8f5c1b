"""Key-value buckets on a NATS server: one stream per bucket, one subject per key.

Laid out as every NATS client has it, so that `nats kv` shows the same. A watch outlives the server:
when that restarts, or loses the bucket, the watch tells what is different afterwards.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from dalsegno_bus.bus import Entry, Headers, Outgoing
from dalsegno_bus.errors import PublishFailed
from dalsegno_bus.keys import check_key, check_ttl
from dalsegno_bus.nats.delivery import NatsDelivery
from dalsegno_bus.nats.frames import DELETION_SECONDS, Patience, Wire
from dalsegno_bus.nats.pull import NatsPull, Source
from dalsegno_bus.nats.streams import (
    MARKER_SECONDS,
    Provisioner,
    bucket_config,
    bucket_stream,
    nanoseconds,
    sequence_of,
)
from dalsegno_bus.topology import Topology

_OPERATION: Final = "KV-Operation"
_MARKER: Final = "Nats-Marker-Reason"
_TTL: Final = "Nats-TTL"
_EXPECTED: Final = "Nats-Expected-Last-Subject-Sequence"
_SEQUENCE: Final = "Nats-Sequence"
_AHEAD: Final = 512
_IDLE_SECONDS_MAX: Final = 60.0
_NOT_FOUND: Final = "404"
_CREATIONS_MAX: Final = 3

Confirm = Callable[[Outgoing], Awaitable[bytes]]


class NatsBucket:
    """One bucket, made by its first use if need be. `NatsBus.bucket` hands it out.

    Args:
        confirm: Writes one message into a stream and returns the answer; empty: no such stream.
    """

    def __init__(
        self,
        wire: Wire,
        provisioner: Provisioner,
        confirm: Confirm,
        name: str,
        patience: Patience,
    ) -> None:
        self._wire = wire
        self._provisioner = provisioner
        self._confirm = confirm
        self._patience = patience
        self._name = name

    async def put(self, key: str, value: bytes, *, ttl_seconds: int | None = None) -> int:
        revision = await self._write(key, value, _lasting(ttl_seconds))
        if revision is None:
            raise PublishFailed(f"bucket {self._name!r} refused key {key!r}: it was made otherwise")
        return revision

    async def create(self, key: str, value: bytes, *, ttl_seconds: int | None = None) -> int | None:
        at = 0
        for _ in range(_CREATIONS_MAX):
            revision = await self.update(key, value, at, ttl_seconds=ttl_seconds)
            if revision is not None:
                return revision
            last = await self._last(key)
            if last is not None and not _is_deletion(last[1]):
                return None
            # the mark of a key that is gone, which itself may be gone by now
            at = 0 if last is None else int(last[1][_SEQUENCE])
        return None  # others create and delete it all the time

    async def update(
        self, key: str, value: bytes, revision: int, *, ttl_seconds: int | None = None
    ) -> int | None:
        return await self._write(key, value, _lasting(ttl_seconds) | {_EXPECTED: str(revision)})

    async def get(self, key: str) -> Entry | None:
        last = await self._last(key)
        if last is None or _is_deletion(last[1]):
            return None
        return Entry(key, last[0], int(last[1][_SEQUENCE]))

    async def delete(self, key: str, *, revision: int | None = None) -> bool:
        # the mark goes away by itself, so that keys which are gone for good cost nothing
        headers = {_OPERATION: "DEL", _TTL: str(MARKER_SECONDS)}
        if revision is not None:
            headers[_EXPECTED] = str(revision)
        return await self._write(key, b"", headers) is not None

    @asynccontextmanager
    async def watch(self) -> AsyncGenerator[AsyncIterator[Entry | None], None]:
        watch = _Watch(self._wire, self._provisioner, self._name, self._patience)
        try:
            await watch.open()
            yield watch
        finally:
            await watch.close()

    async def _last(self, key: str) -> tuple[bytes, Headers] | None:
        """The last value of a key, or the mark of its deletion."""
        check_key(key)
        subject = f"$JS.API.DIRECT.GET.{bucket_stream(self._name)}.{self._subject(key)}"
        found = await self._wire.fetch(subject)
        if found is None:
            await self._make()
            return None
        return None if found[1].get("Status") == _NOT_FOUND else found

    async def _write(self, key: str, value: bytes, headers: dict[str, str]) -> int | None:
        check_key(key)
        message = Outgoing(self._subject(key), value, headers)
        answer = await self._confirm(message)
        if not answer:
            await self._make()
            answer = await self._confirm(message)
        return sequence_of(answer)

    async def _make(self) -> None:
        await asyncio.sleep(DELETION_SECONDS)
        await self._provisioner.provision(Topology(buckets=(self._name,)))

    def _subject(self, key: str) -> str:
        return f"$KV.{self._name}.{key}"


class _Watch:
    """Every key as it stands, then None once, then every change.

    Reads through a consumer of its own that starts with the last value of each key. After an
    interruption there is a new consumer, and what is known already is not told again.
    """

    def __init__(
        self, wire: Wire, provisioner: Provisioner, bucket: str, patience: Patience
    ) -> None:
        self._wire = wire
        self._provisioner = provisioner
        self._bucket = bucket
        self._prefix = f"$KV.{bucket}."
        self._stream = bucket_stream(bucket)
        self._consumer = ""
        self._created = ""
        self._known: dict[str, int] = {}
        self._seen: set[str] | None = None  # while the keys are listed: those that came
        self._told_all = False
        self._out: deque[Entry | None] = deque()
        self._source = Source(wire, self._ensure, name=self._stream, ahead=_AHEAD)
        self._pull = NatsPull(wire, [self._source], patience)

    async def open(self) -> None:
        await self._source.mend()
        await self._pull.open()

    async def close(self) -> None:
        await self._pull.close()

    def __aiter__(self) -> "_Watch":
        return self

    async def __anext__(self) -> Entry | None:
        while not self._out:
            for delivery in await self._pull.batch_unless(lambda: bool(self._out), limit=_AHEAD):
                if delivery.consumer_name == self._consumer:  # not of one before an interruption
                    self._note(delivery)
        return self._out.popleft()

    async def _ensure(self) -> tuple[str, str]:
        created = await self._provisioner.stream(bucket_config(self._bucket))
        if created != self._created:
            self._created = created
            self._known = dict.fromkeys(self._known, 0)  # revisions count from 1 again
        config: dict[str, Any] = {
            "name": f"watch-{self._wire.new_inbox().rpartition('.')[2]}",
            "deliver_policy": "last_per_subject",
            "filter_subject": f"{self._prefix}>",
            "ack_policy": "none",
            "mem_storage": True,
            "inactive_threshold": nanoseconds(_IDLE_SECONDS_MAX),
        }
        answer = await self._provisioner.consumer(self._stream, config)
        self._consumer = config["name"]
        self._seen = set()
        if not answer.get("num_pending"):
            self._listed()
        return f"{self._stream}.{self._consumer}", answer["created"]

    def _note(self, delivery: NatsDelivery) -> None:
        key = delivery.subject.removeprefix(self._prefix)
        revision = delivery.sequence
        if self._seen is not None:
            self._seen.add(key)
        if _is_deletion(delivery.headers):
            if self._known.pop(key, None) is not None:
                self._out.append(Entry(key, None, revision))
        elif self._known.get(key) != revision:  # less, where the servers came back with old data
            self._known[key] = revision
            self._out.append(Entry(key, delivery.body, revision))
        if self._seen is not None and delivery.left == 0:
            self._listed()

    def _listed(self) -> None:
        gone = set(self._known) - (self._seen or set())
        for key in sorted(gone):
            self._out.append(Entry(key, None, self._known.pop(key)))
        self._seen = None
        if not self._told_all:
            self._told_all = True
            self._out.append(None)


def _lasting(ttl_seconds: int | None) -> dict[str, str]:
    """The header that lets a value expire."""
    check_ttl(ttl_seconds)
    return {} if ttl_seconds is None else {_TTL: str(ttl_seconds)}


def _is_deletion(headers: Headers) -> bool:
    return _OPERATION in headers or _MARKER in headers
