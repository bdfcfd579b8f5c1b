"""What is known of a task: its row, and what each event says of it beside its status."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from dalsegno_bus.messages import Failure, Usage
from dalsegno_orchestrator.workflow import events as e
from dalsegno_orchestrator.workflow.run import Role
from dalsegno_projections.views.progress import Standing
from dalsegno_projections.views.table import Table
from dalsegno_projections.views.values import bounded, instant, payload, text


@dataclass(frozen=True, kw_only=True)
class TaskRow:
    """One task. Times are ISO 8601 (UTC), payloads are JSON."""

    run_id: str
    task_id: str
    step: str
    """The name in the definition that it belongs to."""
    role: Role = "step"
    parent: str | None = None
    """Of an item or iteration its step; of what undoes, tells or answers, whose."""
    index: int | None = None
    """Which item of a `foreach` it does, or which iteration it is, from 0."""
    status: Standing
    attempt: int = 0
    """The newest attempt, from 1; 0: none yet."""
    agent: str | None = None
    """Who got the newest attempt; of a task that is over, whose report counted."""
    replica: str | None = None
    capability: str | None = None
    """What it asks for, or asked for last."""
    beside: int | None = None
    """The older attempt that goes on beside the newest one, of a hedged task."""
    beside_agent: str | None = None
    reason: str | None = None
    """Why this agent was chosen."""
    candidates: str | None = None
    """Who else could have had it, with scores (JSON)."""
    parked_reason: str | None = None
    waits_for: str | None = None
    """The limit of which there is not enough, while it is parked; None: no limit keeps it."""
    retry_at: str | None = None
    signal: str | None = None
    """Which signal it waits or waited for."""
    until: str | None = None
    """Until when it sleeps, or waits at most."""
    child_run: str | None = None
    """The run of a sub-workflow that does it, or did."""
    planned: str | None = None
    """The tasks that it added to the run, or proposed to (a JSON list of names)."""
    progress: str | None = None
    """What its newest attempts told of their progress last (JSON)."""
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
    """Of a `foreach` or `repeat`: how many; their outputs lie with the items."""
    items_over: int = 0
    sunk: int = 0
    """1: an item's failure sank the run, so that it does not end by itself."""


TASKS: Final = Table("tasks", TaskRow, ("run_id", "task_id"))

FORGOTTEN: Final[Mapping[str, Any]] = {
    "beside": None,
    "beside_agent": None,
    "parked_reason": None,
    "waits_for": None,
    "retry_at": None,
    "signal": None,
    "until": None,
    "child_run": None,
    "planned": None,
    "progress": None,
    "failures": 0,
    "error_code": None,
    "error_message": None,
    "output": None,
    "output_bytes": 0,
    "completed_at": None,
    "items": 0,
    "items_over": 0,
    "sunk": 0,
}
"""A task that its run went back to before; who had it and what it cost is still known."""

_Report: TypeAlias = e.TaskCompleted | e.TaskFailed | e.TaskHandedOff | e.PlanProposed


def changes_of(  # noqa: C901 - one case for each kind that says more than a status
    event: e.Event, row: TaskRow, at: str
) -> dict[str, Any]:
    """What the event says of a task, beside its status: the fields that change."""
    match event:
        case e.TaskAssigned():
            return _assigned(row, event, at)
        case e.TaskCompleted():
            return _reported(row, event) | _output(event.output)
        case e.TaskParked():
            return {
                "capability": event.capability,
                "parked_reason": text(event.reason),
                "waits_for": text(event.waits_for) or None,
            }
        case e.TasksExpanded():
            return {"items": event.count}
        case e.TaskFailed():
            return _reported(row, event) | _failed(row, event.error)
        case e.TaskTimedOut():
            return _failed(row, event.error)
        case e.RetryScheduled():
            return {"retry_at": instant(event.at)}
        case e.LadderClimbed():
            later = None if event.at is None else instant(event.at)
            return {"capability": event.capability, "retry_at": later}
        case e.TaskHandedOff():
            return _reported(row, event) | {"capability": event.to_capability}
        case e.AttemptProgressed():
            return {"progress": payload(event.progress)[0]}
        case e.SignalAwaited():
            until = None if event.until is None else instant(event.until)
            return {"signal": event.signal, "until": until}
        case e.SignalReceived():
            return {"signal": event.signal} | _output(event.payload)
        case e.SignalTaken():  # its payload is an earlier event's
            return {"signal": event.signal}
        case e.TimerSet():
            return {"until": instant(event.at)}
        case (
            e.ChildStarted() | e.ChildEnded() | e.PlanProposed() | e.PlanRejected()
            | e.QuestionAsked()
        ):  # fmt: skip
            return _changes_of_parts(event, row, at)
        case _:
            return {}


def _changes_of_parts(
    event: e.ChildStarted | e.ChildEnded | e.PlanProposed | e.PlanRejected | e.QuestionAsked,
    row: TaskRow,
    at: str,
) -> dict[str, Any]:
    """The same, of tasks that others do."""
    match event:
        case e.ChildStarted():
            return {
                "attempt": event.attempt,
                "child_run": str(event.run_id),
                "retry_at": None,
                "assigned_at": at,
            }
        case e.ChildEnded():
            changes = _spent(row, event.usage)
            if event.status == "completed":
                return changes | _output(event.output)
            why = Failure(code=f"run.{event.status}", message=f"its run is {event.status}")
            return changes | _failed(row, event.error or why)
        case e.PlanProposed():
            return _reported(row, event) | {"planned": payload(list(event.tasks))[0]}
        case e.PlanRejected():
            return _failed(row, event.error) | {"planned": None}
        case e.QuestionAsked():
            return {"capability": event.capability}


def _assigned(row: TaskRow, event: e.TaskAssigned, at: str) -> dict[str, Any]:
    candidates = [
        {"agent": each.agent, "score": each.score, "open_attempts": each.open_attempts,
         "live": each.live}
        if each.parts is None else each.model_dump(mode="json")
        for each in event.candidates
    ]  # fmt: skip
    changes: dict[str, Any] = {
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
    if event.hedges is not None or row.beside is not None:
        changes["beside"] = event.hedges
        changes["beside_agent"] = None if event.hedges is None else row.agent
    return changes


def _reported(row: TaskRow, event: _Report) -> dict[str, Any]:
    changes: dict[str, Any] = {
        "replica": None if event.replica is None else text(event.replica),
        "queue_seconds": event.queue_seconds,
        "work_seconds": event.work_seconds,
    }
    if not isinstance(event, e.TaskFailed):
        changes["agent"] = event.agent
    if event.usage is not None:
        changes |= _spent(row, event.usage)
    return changes


def _spent(row: TaskRow, usage: Usage | None) -> dict[str, Any]:
    if usage is None:
        return {}
    return {"usd": row.usd + usage.usd, "tokens": bounded(row.tokens + usage.tokens)}


def _output(value: Any) -> dict[str, Any]:
    body, body_bytes = payload(value)
    return {"output": body, "output_bytes": body_bytes}


def _failed(row: TaskRow, error: Failure) -> dict[str, Any]:
    return {
        "failures": row.failures + 1,
        "error_code": text(error.code),
        "error_message": text(error.message),
    }
