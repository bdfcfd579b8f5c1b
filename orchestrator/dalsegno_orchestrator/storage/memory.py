"""The event store in this process's memory: for simulations and tests.

Keeps the same promises as a database, except to outlive the process: it is gone with the last store
that has it open.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from threading import Lock
from typing import Final, TypeAlias
from uuid import UUID
from weakref import WeakValueDictionary

from eventsourcing.persistence import IntegrityError, Notification, StoredEvent

from dalsegno_bus.ids import LIMITS
from dalsegno_orchestrator.storage.open_runs import OpenRun
from dalsegno_orchestrator.storage.permits import (
    SWEPT_MAX,
    PermitChange,
    PermitRow,
    checks_of,
    judge_version,
)

_Key: TypeAlias = tuple[str, UUID, str, int]
_Rows: TypeAlias = Mapping[_Key, PermitRow]
_Shared: TypeAlias = "WeakValueDictionary[tuple[str, str], MemoryRecorder]"


def open_recorder(url: str, table: str) -> "MemoryRecorder":
    """The recorder that all who name it share, as they would a file."""
    with _SHARING:
        found = _SHARED.get((url, table))
        if found is None:
            found = _SHARED[url, table] = MemoryRecorder()
        return found


class MemoryRecorder:
    """Events, the index of open runs and the permits; safe to call from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._streams: dict[UUID, dict[int, StoredEvent]] = {}
        self._log: list[Notification] = []
        self._open: dict[UUID, OpenRun] = {}
        self._permits: dict[_Key, PermitRow] = {}

    @property
    def datastore(self) -> "MemoryRecorder":
        """What is closed when nobody needs the store any more."""
        return self

    def close(self) -> None:
        """Do nothing: there is no connection."""

    def ensure_schema(self) -> None:
        """Do nothing: there are no tables."""

    def keep(
        self,
        events: Sequence[StoredEvent],
        opened: Sequence[OpenRun],
        closed: Sequence[UUID],
        permits: PermitChange | None,
    ) -> None:
        """One transaction, all or none; see `Store.append`."""
        with self._lock:
            self._judge(events)
            # Whatever may refuse comes before the first change.
            rows = self._permits if permits is None else self._changed(permits)
            for event in events:
                stream = self._streams.setdefault(_uuid(event.originator_id), {})
                stream[event.originator_version] = event
                self._log.append(
                    Notification(
                        id=len(self._log) + 1,
                        originator_id=event.originator_id,
                        originator_version=event.originator_version,
                        topic=event.topic,
                        state=event.state,
                    )
                )
            for run in opened:
                known = self._open.get(run.run_id)
                partition = run.partition if known is None else known.partition
                self._open[run.run_id] = replace(run, partition=partition)
            for run_id in closed:
                self._open.pop(run_id, None)
            self._permits = dict(rows)

    def select_events(
        self, originator_id: UUID, *, gt: int | None = None, lte: int | None = None
    ) -> list[StoredEvent]:
        """The events of one stream with `gt` < version ≤ `lte`, oldest first."""
        with self._lock:
            stream = self._streams.get(originator_id, {})
            return [
                stream[version]
                for version in sorted(stream)
                if (gt is None or version > gt) and (lte is None or version <= lte)
            ]

    def select_notifications(
        self, start: int | None, limit: int, *, inclusive_of_start: bool = True
    ) -> list[Notification]:
        """Up to `limit` events of all streams from the position `start` on, or after it."""
        first = max(0, (start or 0) - inclusive_of_start)
        with self._lock:
            return self._log[first : first + limit]

    def max_notification_id(self) -> int | None:
        """The position of the newest event; None if there is none."""
        return len(self._log) or None

    def select_open(self, partitions: Sequence[int]) -> list[OpenRun]:
        """The open runs of these partitions, each with how many events it has."""
        wanted = frozenset(partitions)
        with self._lock:
            return [
                replace(run, version=max(self._streams.get(run.run_id, {}), default=0))
                for run in sorted(self._open.values(), key=_place)
                if run.partition in wanted
            ]

    def select_permits(self, limits: Sequence[str] | None) -> list[PermitRow]:
        """What was taken of these limits (None: of all), the oldest first."""
        with self._lock:
            rows = [row for row in self._permits.values() if limits is None or row.limit in limits]
        return sorted(rows, key=lambda row: (row.taken_at, row.run_id, row.task_id))

    def _judge(self, events: Sequence[StoredEvent]) -> None:
        seen: set[tuple[UUID, int]] = set()
        for event in events:
            stream, version = _uuid(event.originator_id), event.originator_version
            if version in self._streams.get(stream, {}) or (stream, version) in seen:
                raise IntegrityError(f"event {version} of {stream} is there already")
            seen.add((stream, version))

    def _changed(self, change: PermitChange) -> _Rows:
        """The permits as this change would leave them."""
        judge_version(change.limits_version, max(self._streams.get(LIMITS, {}), default=0))
        if not (change.taken or change.given_back):
            return self._permits
        rows = dict(self._permits)
        for row in change.taken:
            key = (row.limit, row.run_id, row.task_id, row.attempt)
            if key in rows:
                raise IntegrityError(f"the permit {key!r} is there already")
            rows[key] = replace(row, given_back_at=None)
        over = {(one.run_id, one.task_id, one.attempt): one.at for one in change.given_back}
        for key, row in rows.items() if over else ():
            if row.given_back_at is None and key[1:] in over:
                rows[key] = replace(row, given_back_at=over[key[1:]])
        for check in checks_of(change):
            of_it = [row for row in rows.values() if row.limit == check.cap.limit]
            check.judge(
                sum(row.amount for row in of_it if row.given_back_at is None),
                sum(row.amount for row in of_it if row.taken_at > check.since),
            )
            old = [r for r in of_it if r.given_back_at is not None and r.taken_at <= check.since]
            for row in old[:SWEPT_MAX]:
                del rows[row.limit, row.run_id, row.task_id, row.attempt]
        return rows


def _place(run: OpenRun) -> tuple[int, str]:
    return run.partition, run.run_id.hex


def _uuid(stream_id: UUID | str) -> UUID:
    return stream_id if isinstance(stream_id, UUID) else UUID(stream_id)


_SHARING: Final = Lock()
_SHARED: Final[_Shared] = WeakValueDictionary()
