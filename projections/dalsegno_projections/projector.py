"""Takes the history into the views, batch by batch: read, fold, write rows and position.

Nothing here waits or retries: `follower` does. A view that lags (it was reset, or is new) catches
up in batches of its own while the others go on, and joins them where they are.

An event that cannot be read, folded or written is parked: written down with the reason, in the same
transaction that takes the view past it. The events around it are not held up.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from dalsegno_orchestrator.history import Recorded
from dalsegno_projections.reading import BATCH_EVENTS_MAX, History, Reader, Unreadable
from dalsegno_projections.storage.rows import (
    Advance,
    ParkedRow,
    PositionMoved,
    Rows,
    RowsRejected,
)
from dalsegno_projections.views.table import AnyTable, Change, Entry, Found, Key, View, entry_of
from dalsegno_projections.views.values import text

ResultT = TypeVar("ResultT")


class Projector:
    """Moves some views along the history. Belongs to one thread at a time.

    Args:
        history: What to follow.
        rows: Where the views lie.
        views: Which ones.
        batch_events_max: How many events one transaction folds at most.
    """

    def __init__(
        self,
        history: History,
        rows: Rows,
        views: Sequence[View],
        *,
        batch_events_max: int = BATCH_EVENTS_MAX,
    ) -> None:
        self._rows = rows
        self._views = tuple(views)
        self._reader = Reader(history, batch_events_max=batch_events_max)
        self.parked = 0
        """How many events this process has parked."""

    def step(self) -> bool:
        """Take one batch into every view; tell whether there may be more.

        Raises:
            Unavailable: The store or the views' database cannot be reached.
        """
        positions = {view.name: self._rows.position(view.name) for view in self._views}
        more = False
        until: int | None = None
        for position in sorted(set(positions.values()), reverse=True):
            views = [view for view in self._views if positions[view.name] == position]
            after = self._take(views, position, until=until)
            more |= after != position
            until = after
        return more

    def catch_up(self) -> None:
        """Take all that there is now.

        Raises:
            Unavailable: The store or the views' database cannot be reached.
        """
        while self.step():
            pass

    def rebuild(self, view: str) -> None:
        """Drop a view and build it again from the first event.

        Raises:
            Unavailable: The store or the views' database cannot be reached; what was built stays,
                and the next `step` goes on from there.
        """
        self._rows.reset(view)
        self.catch_up()

    def _take(self, views: Sequence[View], after: int, *, until: int | None) -> int:
        """One batch for views that stand at the same position; where they stand then.

        They stop where others already are (`until`), to go on together from there.
        """
        batch = self._reader.read(after)
        try:
            if isinstance(batch, Unreadable):
                self._pass_by(views, after, batch)
                return batch.position
            if until is not None:
                batch = [recorded for recorded in batch if recorded.position <= until]
            if batch:
                self._write(views, after, batch)
                return batch[-1].position
        except PositionMoved:  # by another process: the next step looks where it is
            return -1
        return after

    def _pass_by(self, views: Sequence[View], after: int, event: Unreadable) -> None:
        parked = [unreadable_row(view.name, event) for view in views]
        advances = [Advance(view=view.name, before=after, after=event.position) for view in views]
        self._rows.write(advances, parked)
        self.parked += len(parked)

    def _write(self, views: Sequence[View], after: int, batch: Sequence[Recorded]) -> None:
        """Fold a batch and write it; where the database refuses a value, find out whose it is."""
        try:
            self._fold_and_write(views, after, batch)
        except RowsRejected as error:
            if len(batch) > 1:
                for recorded in batch:
                    self._write(views, after, [recorded])
                    after = recorded.position
            elif len(views) > 1:
                for view in views:
                    self._write([view], after, batch)
            else:
                self._park(views[0], after, batch[0], error)

    def _fold_and_write(self, views: Sequence[View], after: int, batch: Sequence[Recorded]) -> None:
        parked: list[ParkedRow] = []
        entries: list[Entry] = []
        for recorded in batch:
            entry = tried(entry_of, recorded)
            if isinstance(entry, Exception):
                parked += [parked_row(view.name, recorded, entry) for view in views]
            else:
                entries.append(entry)
        newest = batch[-1].position
        advances = [
            Advance(
                view=view.name, before=after, after=newest, rows=self._fold(view, entries, parked)
            )
            for view in views
        ]
        self._rows.write(advances, parked)
        self.parked += len(parked)

    def _fold(
        self, view: View, entries: Sequence[Entry], parked: list[ParkedRow]
    ) -> list[tuple[AnyTable, Sequence[Any]]]:
        """The rows of one view that these events change; what it cannot take goes to `parked`."""
        found = self._load(view, entries)
        changed: dict[str, dict[Key, Any]] = {table.name: {} for table in view.tables}
        for entry in entries:
            changes = tried(_apply, view, found, entry)
            if isinstance(changes, Exception):
                parked.append(parked_row(view.name, entry.recorded, changes))
                continue
            for table, key, row in changes:
                found.tables[table.name][key] = row
                changed[table.name][key] = row
        return [(table, list(changed[table.name].values())) for table in view.tables]

    def _load(self, view: View, entries: Sequence[Entry]) -> Found:
        """Every row that these events touch, with one query for each table."""
        wanted: dict[str, set[Key]] = {table.name: set() for table in view.tables}
        for entry in entries:
            touched = tried(_touch, view, entry)
            if not isinstance(touched, Exception):  # else `apply` fails as well, and is parked
                for table, key in touched:
                    wanted[table.name].add(key)
        found = Found()
        for table in view.tables:
            keys = wanted[table.name]
            found.tables[table.name] = self._rows.load(table, keys) if keys else {}
        return found

    def _park(self, view: View, after: int, recorded: Recorded, error: RowsRejected) -> None:
        advance = Advance(view=view.name, before=after, after=recorded.position)
        self._rows.write([advance], [parked_row(view.name, recorded, error)])
        self.parked += 1


def tried(call: Callable[..., ResultT], *arguments: Any) -> ResultT | Exception:
    """What the call returns, or why it failed: no event may stop those around it."""
    try:
        return call(*arguments)
    except Exception as error:  # noqa: BLE001 - the wall around folds: what fails is parked
        return error


def _apply(view: View, found: Found, entry: Entry) -> Sequence[Change]:
    return tuple(view.apply(found, entry))


def _touch(view: View, entry: Entry) -> Sequence[tuple[AnyTable, Key]]:
    return tuple(view.touches(entry))


def unreadable_row(view: str, event: Unreadable) -> ParkedRow:
    """What is written down of an event whose bytes are not understood here."""
    return ParkedRow(
        view=view,
        position=event.position,
        stream_id="",
        version=0,
        kind="",
        reason=text(event.reason),
    )


def parked_row(view: str, recorded: Recorded, error: Exception) -> ParkedRow:
    """What is written down of an event that a view could not take."""
    return ParkedRow(
        view=view,
        position=recorded.position,
        stream_id=str(recorded.stream_id),
        version=recorded.version,
        kind=recorded.event.kind,
        reason=text(f"{type(error).__name__}: {error}"),
    )
