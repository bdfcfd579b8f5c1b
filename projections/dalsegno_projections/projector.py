"""Takes the history into the views, batch by batch: read, fold, write rows and position.

Nothing here waits: `follower` does. A view that lags (it was reset, or is new) catches up in
batches of its own while the others go on, and joins them where they are.

An event that a view cannot fold, or whose rows the database refuses, is tried again, each time
after a longer while; that view alone stands still meanwhile. What fails for good is parked: written
down with the reason, in the same transaction that takes the view past it. Where each event stands
alone (the audit trail, sums over agents) the view goes on with all others. Where events are folded
one upon the other (runs, tasks, schedules), later events of *its stream* are held back, written
down too: to go on without one would show what never was, while a row that stands where it stood is
true, only old. All other streams go on. An event whose bytes are not understood (a newer
orchestrator wrote it) is parked at once, for every view: the same code will not come to understand.
`catalog.retry_parked` folds such views anew, and newer code does so by itself at its start.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from dalsegno_orchestrator.history import Recorded, UnreadableEvent
from dalsegno_projections.parking import held_row, parked_row, tried, unreadable_row
from dalsegno_projections.reading import BATCH_EVENTS_MAX, History, Reader
from dalsegno_projections.storage.rows import (
    Advance,
    ParkedRow,
    PositionMoved,
    Rows,
    RowsRejected,
)
from dalsegno_projections.views.table import AnyTable, Change, Entry, Found, Key, View, entry_of

RETRY_SECONDS_MIN: Final = 0.2
RETRY_SECONDS_MAX: Final = 5.0


@dataclass(slots=True)
class Trouble:
    """The event that a view cannot take now, and how often it was tried."""

    position: int
    tries: int
    reason: str
    next_at: float


class Projector:
    """Moves some views along the history. Belongs to one thread at a time.

    Args:
        history: What to follow.
        rows: Where the views lie.
        views: Which ones.
        batch_events_max: How many events one transaction folds at most.
        tries_max: How often an event is tried before it is parked, 1 or more.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        history: History,
        rows: Rows,
        views: Sequence[View],
        *,
        batch_events_max: int = BATCH_EVENTS_MAX,
        tries_max: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rows = rows
        self._views = tuple(views)
        self._reader = Reader(history, batch_events_max=batch_events_max)
        self._tries_max = tries_max
        self._clock = clock
        self._troubles: dict[str, Trouble] = {}
        self.parked = 0
        """How many events this process has parked."""

    def troubles(self) -> dict[str, str]:
        """Why a view stands still, by its name: an event that is tried again."""
        return {
            view: f"the event at {trouble.position} is tried again: {trouble.reason}"
            for view, trouble in dict(self._troubles).items()
        }

    def step(self) -> bool:
        """Take one batch into every view; tell whether there may be more now.

        Raises:
            Unavailable: The store or the views' database cannot be reached.
        """
        views = [view for view in self._views if not self._rests(view)]
        positions = {view.name: self._rows.position(view.name) for view in views}
        more = False
        until: int | None = None
        for position in sorted(set(positions.values()), reverse=True):
            together = [view for view in views if positions[view.name] == position]
            after = self._take(together, position, until=until)
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
            if isinstance(batch, UnreadableEvent):
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

    def _pass_by(self, views: Sequence[View], after: int, event: UnreadableEvent) -> None:
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
                    going = [view for view in views if not self._rests(view)]
                    if going:
                        self._write(going, after, [recorded])
                    after = recorded.position
            elif len(views) > 1:
                for view in views:
                    self._write([view], after, batch)
            elif self._gives_up(views[0], batch[0], error):
                self._park(views[0], after, batch[0], error)

    def _fold_and_write(self, views: Sequence[View], after: int, batch: Sequence[Recorded]) -> None:
        held = self._rows.held([str(each) for each in {recorded.stream_id for recorded in batch}])
        prepared = [(recorded, tried(entry_of, recorded)) for recorded in batch]
        parked: list[ParkedRow] = []
        advances: list[Advance] = []
        for view in views:
            folding = _Folding(view, held)
            taken = self._fold(folding, prepared)
            position = after if not taken else batch[taken - 1].position
            if position != after:
                rows = folding.rows()
                advances.append(Advance(view=view.name, before=after, after=position, rows=rows))
                parked += folding.parked
        self._rows.write(advances, parked)
        self.parked += len(parked)
        for advance in advances:
            self._forget(advance)

    def _fold(
        self, folding: "_Folding", batch: Sequence[tuple[Recorded, Entry | Exception]]
    ) -> int:
        """Fold these events into one view; how many of them it is past, parked or taken."""
        entries = [entry for _, entry in batch if not isinstance(entry, Exception)]
        folding.found = self._load(folding.view, entries)
        for count, (recorded, entry) in enumerate(batch):
            error = folding.take(recorded, entry)
            if error is None:
                continue
            if not self._gives_up(folding.view, recorded, error):
                return count
            folding.park(recorded, error)
        return len(batch)

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
        self._forget(advance)

    # --- trying again --------------------------------------------------------------------------

    def _rests(self, view: View) -> bool:
        trouble = self._troubles.get(view.name)
        return trouble is not None and self._clock() < trouble.next_at

    def _gives_up(self, view: View, recorded: Recorded, error: Exception) -> bool:
        """Whether this event was tried often enough; if not, the view rests for a while."""
        before = self._troubles.get(view.name)
        is_known = before is not None and before.position == recorded.position
        tries = before.tries + 1 if before is not None and is_known else 1
        if tries >= self._tries_max:
            return True
        seconds = min(RETRY_SECONDS_MIN * 2 ** (tries - 1), RETRY_SECONDS_MAX)
        reason = f"{type(error).__name__}: {error}"
        self._troubles[view.name] = Trouble(
            recorded.position, tries, reason, self._clock() + seconds
        )
        return False

    def _forget(self, advance: Advance) -> None:
        trouble = self._troubles.get(advance.view)
        if trouble is not None and trouble.position <= advance.after:
            del self._troubles[advance.view]


class _Folding:
    """One batch on its way into one view.

    Args:
        view: Which one.
        held: Views and streams of which an event is parked.
    """

    def __init__(self, view: View, held: set[tuple[str, str]]) -> None:
        self.view = view
        self.found = Found()
        self.parked: list[ParkedRow] = []
        self._held = {stream for name, stream in held if name == view.name}
        if view.events_stand_alone:
            self._held.clear()
        self._changed: dict[str, dict[Key, Any]] = {table.name: {} for table in view.tables}

    def take(self, recorded: Recorded, entry: Entry | Exception) -> Exception | None:
        """Fold one event, or hold it back; why it cannot be folded, if so."""
        if self._held and str(recorded.stream_id) in self._held:
            self.parked.append(held_row(self.view.name, recorded))
            return None
        if isinstance(entry, Exception):
            return entry
        changes = tried(_apply, self.view, self.found, entry)
        if isinstance(changes, Exception):
            return changes
        for table, key, row in changes:
            self.found.tables[table.name][key] = row
            self._changed[table.name][key] = row
        return None

    def park(self, recorded: Recorded, error: Exception) -> None:
        """Go on without it, and without what comes after it in its stream."""
        self.parked.append(parked_row(self.view.name, recorded, error))
        if not self.view.events_stand_alone:
            self._held.add(str(recorded.stream_id))

    def rows(self) -> list[tuple[AnyTable, Sequence[Any]]]:
        """Those that are new or changed."""
        return [(table, list(self._changed[table.name].values())) for table in self.view.tables]


def _apply(view: View, found: Found, entry: Entry) -> Sequence[Change]:
    return tuple(view.apply(found, entry))


def _touch(view: View, entry: Entry) -> Sequence[tuple[AnyTable, Key]]:
    return tuple(view.touches(entry))
