"""The view of tasks: one row for each task of each run, as its newest attempt left it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from dalsegno_bus.messages import Failure
from dalsegno_orchestrator.workflow import events as e
from dalsegno_projections.views.progress import OVER, Standing, advance, foreach_of
from dalsegno_projections.views.table import AnyTable, Change, Entry, Found, Key, Table, changed
from dalsegno_projections.views.values import bounded, instant, payload, text


@dataclass(frozen=True, kw_only=True)
class TaskRow:
    """One task. Times are ISO 8601 (UTC), payloads are JSON."""

    run_id: str
    task_id: str
    step: str
    """Its name in the definition."""
    index: int | None = None
    """Which item of a `foreach` it does, from 0."""
    status: Standing
    attempt: int = 0
    """The newest attempt, from 1; 0: none yet."""
    agent: str | None = None
    replica: str | None = None
    capability: str | None = None
    reason: str | None = None
    """Why this agent was chosen."""
    candidates: str | None = None
    """Who else could have had it, with scores (JSON)."""
    parked_reason: str | None = None
    retry_at: str | None = None
    signal: str | None = None
    """Which signal it waits or waited for."""
    until: str | None = None
    """Until when it sleeps, or waits at most."""
    failures: int = 0
    """Attempts that failed or timed out."""
    error_code: str | None = None
    error_message: str | None = None
    """Of the newest failure, kept when a later attempt succeeds."""
    output: str | None = None
    """None where it is `null`, or larger than a row keeps: `output_bytes` tells."""
    output_bytes: int = 0
    began_at: str
    """When it was first heard of."""
    began_version: int
    """With which event of its run; also the order of a run's tasks."""
    assigned_at: str | None = None
    """When its newest attempt went out."""
    completed_at: str | None = None
    """When it came to its end, good or bad."""
    changed_at: str
    queue_seconds: float = 0.0
    """How long the attempt that ended waited for a free replica."""
    work_seconds: float = 0.0
    usd: float = 0.0
    """Of all attempts."""
    tokens: int = 0
    items: int = 0
    """Of a `foreach`: how many; their outputs lie with the items."""
    items_over: int = 0


TASKS: Final = Table("tasks", TaskRow, ("run_id", "task_id"))


class TasksView:
    """Folds the history into one row per task."""

    name: str = "tasks"
    tables: Sequence[AnyTable] = (TASKS,)

    def touches(self, entry: Entry) -> Iterable[tuple[AnyTable, Key]]:
        return [(TASKS, (entry.stream, task_id)) for task_id in entry.tasks]

    def apply(self, found: Found, entry: Entry) -> Iterable[Change]:
        run_id = entry.stream
        before = {task_id: found.get(TASKS, (run_id, task_id)) for task_id in entry.tasks}
        return [(TASKS, (run_id, row.task_id), row) for row in apply(before, entry)]


def apply(before: Mapping[str, TaskRow | None], entry: Entry) -> Iterable[TaskRow]:
    """The rows that change with one more event, given all that it touches."""
    event, at = entry.event, entry.at

    def moved(task_id: str, row: TaskRow | None, status: Standing) -> TaskRow:
        known = row or _UNHEARD
        changes = _changes(event, known, at)
        changes["status"] = status
        changes["changed_at"] = at
        if status in OVER or status == "abandoned":
            changes["completed_at"] = at
        if row is None:
            foreach = foreach_of(entry.places.get(task_id), before)
            changes |= _identity(entry, task_id, foreach)
        return changed(known, **changes)

    rows = advance(event, entry.moves, entry.places, before, moved)
    if len(rows) == len(entry.moves):
        return rows.values()
    named = {task_id for task_id, _ in entry.moves}
    return [row if row.task_id in named else _foreach(row, at) for row in rows.values()]


_UNHEARD: Final = TaskRow(
    run_id="", task_id="", step="", status="ready", began_at="", began_version=0, changed_at=""
)
"""What is changed into the row of a task that was not heard of before."""


def _identity(entry: Entry, task_id: str, foreach: TaskRow | None) -> dict[str, Any]:
    """What never changes of a task."""
    return {
        "run_id": entry.stream,
        "task_id": task_id,
        "step": task_id if foreach is None else foreach.task_id,
        "index": None if foreach is None else entry.places[task_id][1],
        "began_at": entry.at,
        "began_version": entry.recorded.version,
    }


def _foreach(row: TaskRow, at: str) -> TaskRow:
    """A `foreach` changes with its items, and ends with the last one."""
    return changed(row, changed_at=at, completed_at=at if row.status == "completed" else None)


def _changes(  # noqa: C901 - one case for each kind that says more than a status
    event: e.Event, row: TaskRow, at: str
) -> dict[str, Any]:
    """What the event says of a task, beside its status."""
    match event:
        case e.TaskAssigned():
            return _assigned(event, at)
        case e.TaskCompleted():
            return _reported(row, event) | _output(event.output)
        case e.TaskParked():
            return {"capability": event.capability, "parked_reason": text(event.reason)}
        case e.TasksExpanded():
            return {"items": event.count}
        case e.TaskFailed():
            return _reported(row, event) | _failed(row, event.error)
        case e.TaskTimedOut():
            return _failed(row, event.error)
        case e.RetryScheduled():
            return {"retry_at": instant(event.at)}
        case e.SignalAwaited():
            until = None if event.until is None else instant(event.until)
            return {"signal": event.signal, "until": until}
        case e.SignalReceived():
            return {"signal": event.signal} | _output(event.payload)
        case e.SignalTaken():  # its payload is an earlier event's
            return {"signal": event.signal}
        case e.TimerSet():
            return {"until": instant(event.at)}
        case _:
            return {}


def _assigned(event: e.TaskAssigned, at: str) -> dict[str, Any]:
    candidates = [
        {"agent": each.agent, "score": each.score, "open_attempts": each.open_attempts,
         "live": each.live}
        for each in event.candidates
    ]  # fmt: skip
    return {
        "attempt": event.attempt,
        "agent": event.agent,
        "replica": None,
        "capability": event.capability,
        "reason": text(event.reason),
        "candidates": payload(candidates)[0],
        "parked_reason": None,
        "retry_at": None,
        "assigned_at": at,
    }


def _reported(row: TaskRow, event: e.TaskCompleted | e.TaskFailed) -> dict[str, Any]:
    changes: dict[str, Any] = {
        "replica": None if event.replica is None else text(event.replica),
        "queue_seconds": event.queue_seconds,
        "work_seconds": event.work_seconds,
    }
    if event.usage is not None:
        changes["usd"] = row.usd + event.usage.usd
        changes["tokens"] = bounded(row.tokens + event.usage.tokens)
    return changes


def _output(value: Any) -> dict[str, Any]:
    body, body_bytes = payload(value)
    return {"output": body, "output_bytes": body_bytes}


def _failed(row: TaskRow, error: Failure) -> dict[str, Any]:
    return {
        "failures": row.failures + 1,
        "error_code": text(error.code),
        "error_message": text(error.message),
    }
