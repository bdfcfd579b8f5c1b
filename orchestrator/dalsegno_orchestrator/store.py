"""The event store: the only truth. With `storage/`, all that knows `eventsourcing`.

One transaction takes all new events of a batch, for any number of runs, together with the index of
open runs and the permits that attempts take of limits. Appending to a version that somebody else
appended to first changes nothing and raises `VersionConflict`; taking more of a limit than its cap
allows changes nothing and raises `LimitsExceeded`. Methods block: call them from a thread where
that matters.

Whatever a driver raises ends as one of our errors. `trouble` says what is wrong with the database,
and so does the log; whoever calls waits and tries again. On PostgreSQL, appends take a table lock,
so that positions become visible in order and a reader which tails the table misses none (the
library's own reasoning, in its `_lock_table`).
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from threading import Condition
from typing import Any, Final, Protocol, cast
from urllib.parse import urlsplit
from uuid import UUID

from eventsourcing.persistence import (
    ApplicationRecorder,
    ConnectionPoolClosedError,
    IntegrityError,
    Mapper,
    Notification,
    PersistenceError,
    StoredEvent,
)

from dalsegno_bus.errors import SettingsError, Unavailable, VersionConflict
from dalsegno_orchestrator.history import Recorded, Sealed, unseal
from dalsegno_orchestrator.storage import memory, sqlite
from dalsegno_orchestrator.storage.answering import Answering
from dalsegno_orchestrator.storage.open_runs import OpenRun
from dalsegno_orchestrator.storage.permits import PermitChange, PermitRow

CLOSE_SECONDS_MAX: Final = 10.0
"""How long closing waits for what is under way; a connection closed in use ends the process."""

_TAKEN: Final = frozenset(("SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_UNIQUE"))


class _Recorder(Protocol):
    """A recorder of the library, plus what ours add."""

    def keep(
        self,
        events: Sequence[StoredEvent],
        opened: Sequence[OpenRun],
        closed: Sequence[UUID],
        permits: PermitChange | None,
    ) -> None: ...
    def ensure_schema(self) -> None: ...
    def select_open(self, partitions: Sequence[int]) -> list[OpenRun]: ...
    def select_permits(self, limits: Sequence[str] | None) -> list[PermitRow]: ...


class Store:
    """Appends to, reads and follows the history of a namespace.

    Args:
        url: `sqlite:///relative.db`, `sqlite:////absolute.db` or `postgresql://user:word@host/name`;
            `memory:name` is gone with the last that has it open: for simulations.
        namespace: Prefix of the tables.

    Raises:
        SettingsError: The URL is of another kind. Whether anybody is there shows with the first
            call.
    """

    def __init__(self, url: str, *, namespace: str) -> None:
        self.url = url
        table = f"{namespace.replace('-', '_')}_events"
        scheme = urlsplit(url).scheme
        if scheme == "sqlite":
            self._recorder: Any = sqlite.open_recorder(url, table)
        elif scheme in {"postgresql", "postgres"}:
            from dalsegno_orchestrator.storage import postgres  # an image may have no driver

            self._recorder = postgres.open_recorder(url, table)
        elif scheme == "memory":
            self._recorder = memory.open_recorder(url, table)
        else:
            raise SettingsError(
                f"DALSEGNO_STORE_URL={url!r}: use sqlite:///file.db or postgresql://…"
            )
        self._mapper = HistoryMapper()
        self._in_use = 0
        self._idle = Condition()
        self._answering = Answering()
        self._is_file = scheme in {"sqlite", "memory"}

    @property
    def is_local(self) -> bool:
        """A commit is a matter of this machine's disk, and it answers: nothing to wait for."""
        return self._is_file and self._answering.trouble is None

    @property
    def trouble(self) -> str | None:
        """Why nothing can be stored or read now, for people; None: the last call was answered."""
        return self._answering.trouble

    def ensure_schema(self) -> None:
        """Create what is missing; any number of processes may do so at once.

        Raises:
            Unavailable: The database cannot be reached, or takes no writes: call it again.
            SettingsError: A newer Dalsegno made the tables. So says every other call, too.
        """
        with self._using():
            cast("_Recorder", self._recorder).ensure_schema()

    def append(
        self,
        events: Sequence[Sealed],
        *,
        opened: Sequence[OpenRun] = (),
        closed: Sequence[UUID] = (),
        permits: PermitChange | None = None,
    ) -> None:
        """Append events (of each stream in order, without gaps) and update the index, all or none.

        Args:
            events: What to append.
            opened: Runs to put into the index, or to change there.
            closed: Runs to take out of it.
            permits: What these events take of limits and give back, and the limits that they
                were decided with; None: nothing, and with none.

        Raises:
            VersionConflict: Somebody else appended to one of these streams; nothing was written.
            LimitsExceeded: Somebody else took the last of a limit, or set one; nothing was
                written.
            Unavailable: The database cannot be reached; nothing is known to be written.
        """
        stored = [
            StoredEvent(
                originator_id=event.stream_id,
                originator_version=event.version,
                topic=event.kind,
                state=event.state,
            )
            for event in events
        ]
        with self._using():
            cast("_Recorder", self._recorder).keep(stored, opened, closed, permits)

    def read(self, stream_id: UUID, *, after: int = 0, until: int | None = None) -> list[Recorded]:
        """The events of one stream with `after` < version ≤ `until`, oldest first."""
        with self._using():
            stored = self._events.select_events(stream_id, gt=after, lte=until)
        return [self._mapper.to_domain_event(event) for event in stored]

    def follow(self, *, after: int, limit: int) -> list[Recorded]:
        """Up to `limit` events of all streams with a position above `after`, in order."""
        with self._using():
            found = self._events.select_notifications(after, limit, inclusive_of_start=False)
        return [self._mapper.to_domain_event(notification) for notification in found]

    def newest_position(self) -> int:
        """The position of the newest event; 0 if there is none."""
        with self._using():
            return self._events.max_notification_id() or 0

    def open_runs(self, partitions: Sequence[int]) -> list[OpenRun]:
        """The runs of these partitions that have not ended, without reading any history."""
        with self._using():
            return cast("_Recorder", self._recorder).select_open(partitions)

    def permits(self, limits: Sequence[str] | None = None) -> list[PermitRow]:
        """What was taken of these limits (None: of all), the oldest first.

        All that stands is there, and what was given back for as long as it counts for a rate; it
        may be there for longer.
        """
        with self._using():
            return cast("_Recorder", self._recorder).select_permits(limits)

    def close(self) -> None:
        """Give the connections back, once nobody reads or writes any more."""
        with self._idle:
            self._idle.wait_for(lambda: not self._in_use, timeout=CLOSE_SECONDS_MAX)
        self._recorder.datastore.close()

    @contextmanager
    def _using(self) -> Generator[None]:
        """Keep the connections open: a thread may be at work after its task was cancelled."""
        with self._idle:
            self._in_use += 1
        try:
            with self._answering.call(), _errors(self.url):
                yield
        finally:
            with self._idle:
                self._in_use -= 1
                self._idle.notify_all()

    @property
    def _events(self) -> ApplicationRecorder:
        return cast("ApplicationRecorder", self._recorder)


class HistoryMapper(Mapper[UUID]):
    """The library's mapper, with stable kinds as topics in place of Python paths."""

    def __init__(self) -> None:
        """Take no transcoder: `history` makes the bytes."""

    def to_domain_event(self, stored_event: StoredEvent) -> Recorded:
        stream_id = stored_event.originator_id
        position = stored_event.id if isinstance(stored_event, Notification) else 0
        return unseal(
            stream_id if isinstance(stream_id, UUID) else UUID(stream_id),
            stored_event.originator_version,
            stored_event.topic,
            stored_event.state,
            position,
        )


@contextmanager
def _errors(url: str) -> Generator[None]:
    """Turn the library's errors into ours."""
    try:
        yield
    except (PersistenceError, ConnectionPoolClosedError) as error:
        if isinstance(error, IntegrityError) and _is_taken(error.__cause__):
            raise VersionConflict(f"somebody else appended first: {error}") from error
        shown = _without_password(url)
        raise Unavailable(
            f"the event store {shown} cannot do what it should ({error}); is the database running, "
            "is there room, may it be written, and is DALSEGNO_STORE_URL right?"
        ) from error


def _is_taken(cause: BaseException | None) -> bool:
    """Whether somebody else wrote that row first; any other constraint would refuse for ever."""
    sqlstate: object = getattr(cause, "sqlstate", None)
    name: object = getattr(cause, "sqlite_errorname", None)
    return (sqlstate is None and name is None) or sqlstate == "23505" or name in _TAKEN


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return url.replace(f":{parts.password}@", ":…@", 1)
