"""The view of runs: one row for each, with all that a list of runs shows.

What each event says of its run is the matter of `standing`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import orjson

from dalsegno_orchestrator.workflow import events as e
from dalsegno_projections.views.progress import Standing, advance, is_run_event
from dalsegno_projections.views.standing import (
    RUN_TASKS,
    RUNS,
    RunRow,
    RunTaskRow,
    changes_of,
)
from dalsegno_projections.views.table import AnyTable, Change, Entry, Found, Key
from dalsegno_projections.views.values import changed, payload, text

UNKNOWN_WORKFLOW: Final = "(unknown)"
"""Of a run whose first event could not be read (it is parked)."""

__all__ = [
    "RUNS",
    "RUN_TASKS",
    "UNKNOWN_WORKFLOW",
    "RunRow",
    "RunTaskRow",
    "RunsView",
    "apply",
    "labels_text",
]


class RunsView:
    """Folds the history into one row per run."""

    name: str = "runs"
    events_stand_alone: bool = False
    tables: Sequence[AnyTable] = (RUNS, RUN_TASKS)

    def touches(self, entry: Entry) -> Iterable[tuple[AnyTable, Key]]:
        if not is_run_event(entry.event):
            return ()
        run_id = entry.stream
        return ((RUNS, (run_id,)), *((RUN_TASKS, (run_id, task_id)) for task_id in entry.tasks))

    def apply(self, found: Found, entry: Entry) -> Iterable[Change]:
        if not is_run_event(entry.event):
            return ()
        run_id = entry.stream
        before = {task_id: found.get(RUN_TASKS, (run_id, task_id)) for task_id in entry.tasks}
        after = _tasks_after(entry, before)
        changes: list[Change] = [(RUN_TASKS, (run_id, key), task) for key, task in after.items()]
        row = apply(found.get(RUNS, (run_id,)), entry, before, after)
        changes.append((RUNS, (run_id,), row))
        return changes


def apply(
    row: RunRow | None,
    entry: Entry,
    before: Mapping[str, RunTaskRow | None],
    after: Mapping[str, RunTaskRow],
) -> RunRow:
    """The run's row after one more event, which took these tasks from `before` to `after`."""
    row = row or _started(entry)
    changes = changes_of(row, entry)
    changes["version"] = entry.recorded.version
    changes["changed_at"] = entry.at
    if after:
        left = [task for task_id in after if (task := before[task_id]) is not None]
        statuses = {**row.tasks}
        _count(statuses, [task.status for task in after.values()])
        _uncount(statuses, [task.status for task in left])
        changes["tasks"] = statuses
        freed = [task.waits_for for task in left if task.waits_for]
        held = [task.waits_for for task in after.values() if task.waits_for]
        if freed or held:
            waiting = dict(changes.get("waiting_for", row.waiting_for))
            set_aside = dict(changes.get("waiting_before", row.waiting_before))
            _count(waiting, held)
            for each in freed:
                _uncount(waiting if each in waiting else set_aside, [each])
            changes["waiting_for"], changes["waiting_before"] = waiting, set_aside
    return changed(row, **changes)


def _started(entry: Entry) -> RunRow:
    """The row of a run that was not heard of before."""
    event = entry.event
    known = isinstance(event, e.RunStarted)
    body, body_bytes = payload(event.input) if known else (None, 0)
    parent = event.parent if known else None
    return RunRow(
        run_id=entry.stream,
        workflow=event.workflow if known else UNKNOWN_WORKFLOW,
        workflow_version=event.workflow_version if known else 0,
        status="running",
        started_at=entry.at,
        changed_at=entry.at,
        started_by=text(entry.recorded.by) if known else UNKNOWN_WORKFLOW,
        version=0,
        parent_run=None if parent is None else str(parent.run_id),
        parent_task=None if parent is None else parent.task_id,
        tasks={},
        waiting_for={},
        waiting_before={},
        labels=labels_text(event.labels if known else {}),
        input=body,
        input_bytes=body_bytes,
    )


def labels_text(labels: Mapping[str, str]) -> str:
    """Labels in one canonical form, so that a filter can look for `"key":"value"` in it."""
    return orjson.dumps(dict(labels), option=orjson.OPT_SORT_KEYS).decode()


def _tasks_after(entry: Entry, before: Mapping[str, RunTaskRow | None]) -> dict[str, RunTaskRow]:
    event = entry.event

    def moved(task_id: str, task: RunTaskRow | None, status: Standing) -> RunTaskRow:
        if task is None:
            task = RunTaskRow(run_id=entry.stream, task_id=task_id, status=status)
        match status:
            case "assigned":
                if isinstance(event, e.AttemptProgressed):
                    return task
                beside = event.hedges if isinstance(event, e.TaskAssigned) else None
                return changed(task, status=status, waits_for=None, beside=beside)
            case "parked" | "waiting" | "sleeping" | "delegated":
                return changed(task, status=status, waits_for=_waits_for(event), beside=None)
            case "expanded" | "repeating":
                return changed(task, status=status, waits_for=None, items=_items(event))
            case "abandoned" if isinstance(event, e.RunEnding):
                return changed(task, status=status)  # both may still report
            case "undone":
                return RunTaskRow(run_id=entry.stream, task_id=task_id, status=status)
            case _:
                return changed(task, status=status, waits_for=None, beside=None)

    return advance(event, entry.moves, entry.places, before, moved)


def _items(event: e.Event) -> int:
    match event:
        case e.TasksExpanded():
            return event.count
        case e.TaskRepeated():
            return event.iteration + 1
        case _:
            return 0


def _waits_for(event: e.Event) -> str | None:
    match event:
        case e.TaskParked():
            if event.waits_for:
                return f"limit {event.waits_for}"
            return f"capability {event.capability}"
        case e.SignalAwaited():
            return f"signal {event.signal}"
        case e.TimerSet():
            return "timer"
        case e.ChildStarted():
            return f"run {event.workflow}"
        case _:
            return None


def _count(counts: dict[str, int], places: Iterable[str]) -> None:
    """Tasks came to these places."""
    for place in places:
        counts[place] = counts.get(place, 0) + 1


def _uncount(counts: dict[str, int], places: Iterable[str]) -> None:
    """Tasks left these places; empty ones are dropped."""
    for place in places:
        counts[place] -= 1
        if not counts[place]:
            del counts[place]
