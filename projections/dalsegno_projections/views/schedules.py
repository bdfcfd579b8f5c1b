"""The view of schedules: what starts runs by itself, and what it has done so far.

When the next tick is follows from the clock, so it is not in here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias, TypeGuard, assert_never, get_args

from dalsegno_orchestrator.workflow import events as e
from dalsegno_projections.views.table import AnyTable, Change, Entry, Found, Key, Table
from dalsegno_projections.views.values import changed, instant, text

ScheduleState: TypeAlias = Literal["active", "paused", "removed"]

_Fact: TypeAlias = (
    e.ScheduleSet
    | e.ScheduleRemoved
    | e.SchedulePaused
    | e.ScheduleResumed
    | e.TickFired
    | e.TickQueued
    | e.TickSkipped
    | e.ScheduledRunEnded
)


@dataclass(frozen=True, kw_only=True)
class ScheduleRow:
    """One schedule, as it stands. Times are ISO 8601 (UTC)."""

    schedule_id: str
    """Its stream; also the `parent_run` of the runs that it starts."""
    workflow: str = ""
    workflow_version: int = 0
    cron: str = ""
    timezone: str = "UTC"
    overlap: str = "skip"
    catchup: str = "none"
    state: ScheduleState = "active"
    paused_reason: str | None = None
    """None: it is not paused; a schedule that is removed and set again may still be."""
    last_tick: str | None = None
    """The newest tick that started a run, was queued or was skipped."""
    last_run: str | None = None
    """The newest run that it started."""
    last_run_status: str | None = None
    """None: it goes on."""
    fired: int = 0
    """Ticks that started a run, ever."""
    skipped: int = 0
    queued: int = 0
    """Ticks that had to wait for the run of the tick before, ever."""
    set_at: str = ""
    set_by: str = ""
    changed_at: str = ""


SCHEDULES: Final = Table("schedules", ScheduleRow, ("schedule_id",))


class SchedulesView:
    """Folds the history into one row per schedule."""

    name: str = "schedules"
    events_stand_alone: bool = False
    tables: Sequence[AnyTable] = (SCHEDULES,)

    def touches(self, entry: Entry) -> Iterable[tuple[AnyTable, Key]]:
        return ((SCHEDULES, (entry.stream,)),) if _is_fact(entry.event) else ()

    def apply(self, found: Found, entry: Entry) -> Iterable[Change]:
        event = entry.event
        if not _is_fact(event):
            return ()
        known = found.get(SCHEDULES, (entry.stream,)) or ScheduleRow(schedule_id=entry.stream)
        row = changed(known, **_changes(known, event, entry), changed_at=entry.at)
        return ((SCHEDULES, (entry.stream,), row),)


_FACTS: Final = frozenset(get_args(_Fact))


def _is_fact(event: e.Event) -> TypeGuard[_Fact]:
    return type(event) in _FACTS


def _changes(row: ScheduleRow, event: _Fact, entry: Entry) -> dict[str, Any]:
    """What the event says of the schedule: the fields that change."""
    match event:
        case e.ScheduleSet():
            return {
                "workflow": event.workflow,
                "workflow_version": event.workflow_version,
                "cron": text(event.cron),
                "timezone": text(event.timezone),
                "overlap": event.overlap,
                "catchup": event.catchup,
                "state": "active" if row.paused_reason is None else "paused",
                "set_at": entry.at,
                "set_by": text(entry.recorded.by),
            }
        case e.ScheduleRemoved():
            return {
                "workflow": event.workflow,
                "workflow_version": event.workflow_version,
                "state": "removed",
            }
        case e.SchedulePaused():
            return {"state": _unless_removed(row, "paused"), "paused_reason": text(event.reason)}
        case e.ScheduleResumed():
            return {"state": _unless_removed(row, "active"), "paused_reason": None}
        case e.TickFired():
            return {
                "last_tick": _later(row, event.tick),
                "last_run": str(event.run_id),
                "last_run_status": None,
                "fired": row.fired + 1,
            }
        case e.TickQueued():
            return {"last_tick": _later(row, event.tick), "queued": row.queued + 1}
        case e.TickSkipped():
            return {
                "last_tick": _later(row, event.last or event.tick),
                "skipped": row.skipped + event.count,
            }
        case e.ScheduledRunEnded():
            is_last = str(event.run_id) == row.last_run
            return {"last_run_status": text(event.status)} if is_last else {}
        case _:
            assert_never(event)


def _unless_removed(row: ScheduleRow, state: ScheduleState) -> ScheduleState:
    return "removed" if row.state == "removed" else state


def _later(row: ScheduleRow, tick: datetime) -> str:
    """A tick that was queued fires after others came."""
    return max(instant(tick), row.last_tick or "")
