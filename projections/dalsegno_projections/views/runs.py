"""The view of runs: one row for each, with all that a list of runs shows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from dalsegno_bus.messages import Usage
from dalsegno_orchestrator.workflow import events as e
from dalsegno_orchestrator.workflow.run import RunStatus
from dalsegno_projections.views.progress import (
    Standing,
    advance,
)
from dalsegno_projections.views.table import AnyTable, Change, Entry, Found, Key, Table, changed
from dalsegno_projections.views.values import bounded, payload, text

UNKNOWN_WORKFLOW: Final = "(unknown)"
"""Of a run whose first event could not be read (it is parked)."""


@dataclass(frozen=True, kw_only=True)
class RunRow:
    """One run, as it stands. Times are ISO 8601 (UTC), payloads are JSON."""

    run_id: str
    workflow: str
    workflow_version: int
    status: RunStatus
    started_at: str
    changed_at: str
    ended_at: str | None = None
    started_by: str
    version: int
    """How many events it has."""
    tasks: Mapping[str, int]
    """How many tasks, by status."""
    waiting_for: Mapping[str, int]
    """What tasks wait for (`signal approval`, `capability finance.gather`, `timer`), how many."""
    labels: str
    input: str | None
    """None where it is `null`, or larger than a row keeps: `input_bytes` tells."""
    input_bytes: int
    output: str | None = None
    output_bytes: int = 0
    error_code: str | None = None
    error_message: str | None = None
    failed_task: str | None = None
    """Whose final failure failed the run."""
    usd: float = 0.0
    tokens: int = 0


@dataclass(frozen=True, kw_only=True)
class RunTaskRow:
    """What the run's row has to know of one task to keep its counts."""

    run_id: str
    task_id: str
    status: Standing
    waits_for: str | None = None
    items: int = 0
    items_over: int = 0


RUNS: Final = Table("runs", RunRow, ("run_id",), (("started_at", "run_id"),))
RUN_TASKS: Final = Table("run_tasks", RunTaskRow, ("run_id", "task_id"))


class RunsView:
    """Folds the history into one row per run."""

    name: str = "runs"
    tables: Sequence[AnyTable] = (RUNS, RUN_TASKS)

    def touches(self, entry: Entry) -> Iterable[tuple[AnyTable, Key]]:
        if type(entry.event) is e.WorkflowRegistered:
            return ()
        run_id = entry.stream
        return ((RUNS, (run_id,)), *((RUN_TASKS, (run_id, task_id)) for task_id in entry.tasks))

    def apply(self, found: Found, entry: Entry) -> Iterable[Change]:
        if type(entry.event) is e.WorkflowRegistered:
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
    changes = _changes(row, entry)
    changes["version"] = entry.recorded.version
    changes["changed_at"] = entry.at
    if after:
        left = [task for task_id in after if (task := before[task_id]) is not None]
        changes["tasks"] = _recount(
            row.tasks, [task.status for task in left], [task.status for task in after.values()]
        )
        freed = [task.waits_for for task in left if task.waits_for]
        held = [task.waits_for for task in after.values() if task.waits_for]
        if (freed or held) and "waiting_for" not in changes:
            changes["waiting_for"] = _recount(row.waiting_for, freed, held)
    return changed(row, **changes)


def _started(entry: Entry) -> RunRow:
    """The row of a run that was not heard of before."""
    event = entry.event
    known = isinstance(event, e.RunStarted)
    body, body_bytes = payload(event.input) if known else (None, 0)
    return RunRow(
        run_id=entry.stream,
        workflow=event.workflow if known else UNKNOWN_WORKFLOW,
        workflow_version=event.workflow_version if known else 0,
        status="running",
        started_at=entry.at,
        changed_at=entry.at,
        started_by=text(entry.recorded.by) if known else UNKNOWN_WORKFLOW,
        version=0,
        tasks={},
        waiting_for={},
        labels=labels_text(event.labels if known else {}),
        input=body,
        input_bytes=body_bytes,
    )


def labels_text(labels: Mapping[str, str]) -> str:
    """Labels in one canonical form, so that a filter can look for `"key":"value"` in it."""
    return orjson.dumps(dict(labels), option=orjson.OPT_SORT_KEYS).decode()


def _changes(row: RunRow, entry: Entry) -> dict[str, Any]:
    """What the event says of the run itself."""
    event = entry.event
    match event:
        case e.TaskAssigned():  # every second event: found out first
            return {}
        case e.TaskCompleted() | e.TaskFailed():
            return {} if event.usage is None else _spent(row, event.usage)
        case e.RunPaused():
            return {"status": "paused"}
        case e.RunResumed():
            return {"status": "running"}
        case e.RunCompleted():
            body, body_bytes = payload(event.output)
            return _ended("completed", entry, output=body, output_bytes=body_bytes)
        case e.RunFailed():
            return _ended(
                "failed",
                entry,
                error_code=text(event.error.code),
                error_message=text(event.error.message),
                failed_task=event.task_id,
            )
        case e.RunCancelled():
            return _ended(
                "cancelled",
                entry,
                error_code="run.cancelled",
                error_message=text(event.reason or "cancelled"),
            )
        case _:
            return {}


def _spent(row: RunRow, usage: Usage) -> dict[str, Any]:
    return {"usd": row.usd + usage.usd, "tokens": bounded(row.tokens + usage.tokens)}


def _ended(status: RunStatus, entry: Entry, **more: Any) -> dict[str, Any]:
    return {"status": status, "ended_at": entry.at, "waiting_for": {}, **more}


def _tasks_after(entry: Entry, before: Mapping[str, RunTaskRow | None]) -> dict[str, RunTaskRow]:
    event = entry.event

    def moved(task_id: str, task: RunTaskRow | None, status: Standing) -> RunTaskRow:
        if task is None:
            task = RunTaskRow(run_id=entry.stream, task_id=task_id, status=status)
        match status:
            case "parked" | "waiting" | "sleeping":
                return changed(task, status=status, waits_for=_waits_for(event))
            case "expanded":
                items = event.count if isinstance(event, e.TasksExpanded) else 0
                return changed(task, status=status, waits_for=None, items=items)
            case _:
                return changed(task, status=status, waits_for=None)

    return advance(event, entry.moves, entry.places, before, moved)


def _waits_for(event: e.Event) -> str | None:
    match event:
        case e.TaskParked():
            return f"capability {event.capability}"
        case e.SignalAwaited():
            return f"signal {event.signal}"
        case e.TimerSet():
            return "timer"
        case _:
            return None


def _recount(
    counts: Mapping[str, int], fewer: Iterable[str], more: Iterable[str]
) -> Mapping[str, int]:
    """The counts after tasks left some places and came to others; empty places are dropped."""
    after = dict(counts)
    for place in more:
        after[place] = after.get(place, 0) + 1
    for place in fewer:
        after[place] -= 1
        if not after[place]:
            del after[place]
    return after
