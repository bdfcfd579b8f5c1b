"""How a run stands: its row, and what each event says of the run itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import orjson

from dalsegno_bus.messages import Failure, Usage
from dalsegno_orchestrator.workflow import events as e
from dalsegno_orchestrator.workflow.run import FINAL, RunStatus
from dalsegno_projections.sentences import budget_note
from dalsegno_projections.views.progress import Standing
from dalsegno_projections.views.table import Entry, Table
from dalsegno_projections.views.values import bounded, payload, text

UNCOMPENSATED_MAX: Final = 200
"""How many tasks that could not be undone a row lists."""
_CHILD: Final = "run "
"""How it is told that a task waits for a run of a sub-workflow."""


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
    plan_version: int = 1
    """1: its definition; every change of the plan counts."""
    parent_run: str | None = None
    """The run that it does a task of, or the stream of the schedule that it is a tick of."""
    parent_task: str | None = None
    """Empty: it was started by a schedule."""
    tasks: Mapping[str, int]
    """How many tasks, by status."""
    waiting_for: Mapping[str, int]
    """What tasks wait for (`signal approval`, `capability finance.gather`, `limit quota:tokens`,
    `run payment`, `timer`), and how many."""
    waiting_before: Mapping[str, int]
    """What tasks waited for when the run began to end: they wait again if it is taken up again."""
    paused_reason: str | None = None
    """Why it was paused last; None: it is not paused."""
    budget: str | None = None
    """What of its budget is used up, in a sentence; None: nothing, or the run went on after all."""
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
    uncompensated: str = "[]"
    """Tasks that still stand though they had to be undone: a person has to look (JSON)."""
    uncompensated_total: int = 0
    """How many there are, when not all are listed."""
    usd: float = 0.0
    tokens: int = 0


@dataclass(frozen=True, kw_only=True)
class RunTaskRow:
    """What the run's row has to know of one task to keep its counts."""

    run_id: str
    task_id: str
    status: Standing
    waits_for: str | None = None
    beside: int | None = None
    items: int = 0
    items_over: int = 0
    sunk: int = 0


RUNS: Final = Table(
    "runs", RunRow, ("run_id",), (("started_at", "run_id"), ("parent_run", "started_at"))
)
RUN_TASKS: Final = Table("run_tasks", RunTaskRow, ("run_id", "task_id"))

_Ending: TypeAlias = (
    e.RunCompleted | e.RunFailed | e.RunCancelled | e.RunEnding | e.RunCompensationFailed
)


def changes_of(row: RunRow, entry: Entry) -> dict[str, Any]:  # noqa: C901 - one case for each kind
    """What the event says of the run itself, beside its tasks: the fields that change."""
    event = entry.event
    match event:
        case e.TaskAssigned():  # every second event: found out first
            return {}
        case (
            e.TaskCompleted() | e.TaskFailed() | e.TaskHandedOff() | e.PlanProposed()
            | e.ChildEnded()
        ):  # fmt: skip
            return {} if event.usage is None else _spent(row, event.usage)
        case e.RunPaused():
            return {"status": "paused", "paused_reason": text(event.reason)}
        case e.RunResumed():
            return {"status": "running", "paused_reason": None, "budget": None}
        case (
            e.RunCompleted() | e.RunFailed() | e.RunCancelled() | e.RunEnding()
            | e.RunCompensationFailed()
        ):  # fmt: skip
            return _ended(row, event, entry.at)
        case e.CompensationStarted():
            return {"status": "compensating", **_set_aside(row)}
        case e.RunReopened():
            return _again("compensating" if event.undoing else "running", row)
        case e.RunRewound():
            return _again("running" if row.status in FINAL else row.status, row)
        case e.BudgetExceeded():
            return {"budget": text(budget_note(event))}
        case e.BudgetRaised():
            return {"budget": None}
        case e.PlanAccepted() | e.RunReplanned():
            return {"plan_version": event.plan_version}
        case e.RunMigrated():
            return {
                "plan_version": event.plan_version,
                "workflow_version": event.workflow_version,
            }
        case _:
            return {}


def _spent(row: RunRow, usage: Usage) -> dict[str, Any]:
    return {"usd": row.usd + usage.usd, "tokens": bounded(row.tokens + usage.tokens)}


def _ended(row: RunRow, event: _Ending, at: str) -> dict[str, Any]:
    """The run came to its end, or is on the way to it."""
    match event:
        case e.RunEnding():
            return {
                "status": "failing" if event.outcome == "failed" else "cancelling",
                **_set_aside(row, but_children=True),
                **_failed(event.error),
                "failed_task": event.task_id,
            }
        case e.RunCompleted():
            body, body_bytes = payload(event.output)
            more: dict[str, Any] = {"output": body, "output_bytes": body_bytes}
            status: RunStatus = "completed"
        case e.RunFailed():
            more = {**_failed(event.error), "failed_task": event.task_id}
            status = "failed"
        case e.RunCancelled():
            more = {
                "error_code": "run.cancelled",
                "error_message": text(event.reason or "cancelled"),
            }
            status = "cancelled"
        case e.RunCompensationFailed():
            listed = event.uncompensated[:UNCOMPENSATED_MAX]
            more = {
                **_failed(event.error),
                "uncompensated": orjson.dumps(listed).decode(),
                "uncompensated_total": len(event.uncompensated),
            }
            status = "compensation_failed"
    return {"status": status, "ended_at": at, "paused_reason": None, **_set_aside(row), **more}


def _failed(error: Failure) -> dict[str, Any]:
    return {"error_code": text(error.code), "error_message": text(error.message)}


def _again(status: RunStatus, row: RunRow) -> dict[str, Any]:
    """The run is taken up again, and what came of it before is no more."""
    return {
        "status": status,
        "ended_at": None,
        "output": None,
        "output_bytes": 0,
        "error_code": None,
        "error_message": None,
        "failed_task": None,
        "uncompensated": "[]",
        "uncompensated_total": 0,
        **({} if status == "compensating" else _taken_up(row)),
    }


def _set_aside(row: RunRow, *, but_children: bool = False) -> dict[str, Any]:
    """Nothing is waited for any more, except runs of sub-workflows that have to end first."""
    stays = {
        what: count
        for what, count in row.waiting_for.items()
        if but_children and what.startswith(_CHILD)
    }
    aside = {what: count for what, count in row.waiting_for.items() if what not in stays}
    return {"waiting_for": stays, "waiting_before": _sum(row.waiting_before, aside)}


def _taken_up(row: RunRow) -> dict[str, Any]:
    return {"waiting_for": _sum(row.waiting_for, row.waiting_before), "waiting_before": {}}


def _sum(one: Mapping[str, int], two: Mapping[str, int]) -> dict[str, int]:
    return {what: one.get(what, 0) + two.get(what, 0) for what in sorted({*one, *two})}
