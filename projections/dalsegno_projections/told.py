"""Rows and events as they are told: what is kept in the views, as the models of answers have it."""

from collections.abc import Iterable
from typing import Any, Final, TypeVar

import orjson
from pydantic import BaseModel

from dalsegno_bus.codec import encode
from dalsegno_bus.messages import Json
from dalsegno_orchestrator.history import Recorded
from dalsegno_orchestrator.workflow.run import Run, Task
from dalsegno_projections import questions as q
from dalsegno_projections.sentences import sentence_of
from dalsegno_projections.views.agents import AgentRow, reports_of
from dalsegno_projections.views.runs import RunRow
from dalsegno_projections.views.spread import percentile
from dalsegno_projections.views.tasks import TaskRow
from dalsegno_projections.views.values import JSON_BYTES_MAX, instant, text

LIST_BYTES_MAX: Final = q.ANSWER_BYTES_MAX - 5 * JSON_BYTES_MAX
"""How large a list in an answer may be: beside it there may be an input, an output, children."""

WAITERS_SHOWN_MAX: Final = 20
"""How many of the runs that wait for one limit are named."""

ModelT = TypeVar("ModelT", bound=BaseModel)


def page(items: Iterable[ModelT], limit: int) -> tuple[list[ModelT], bool]:
    """As many as are wanted and fit, and whether there are more. At least one, if there is one."""
    taken: list[ModelT] = []
    room_bytes = LIST_BYTES_MAX
    for item in items:
        room_bytes -= len(encode(item)) + 1
        if len(taken) == limit or (taken and room_bytes < 0):
            return taken, True
        taken.append(item)
    return taken, False


def run_told(row: RunRow) -> q.RunSummary:
    """A run as lists show it."""
    return copied(
        q.RunSummary,
        row,
        labels=orjson.loads(row.labels),
        uncompensated=orjson.loads(row.uncompensated),
    )


def child_told(row: RunRow) -> q.ChildSummary:
    """A run as its parent shows it."""
    return copied(q.ChildSummary, row)


def task_told(row: TaskRow) -> q.TaskSummary:
    """A task as its run shows it."""
    return copied(
        q.TaskSummary,
        row,
        candidates=loaded(row.candidates) or [],
        planned=loaded(row.planned) or [],
        progress=loaded(row.progress),
        output=loaded(row.output),
    )


def waiters_told(rows: Iterable[RunRow]) -> list[q.LimitWaiters]:
    """Who waits for which limit, by its name."""
    by_limit: dict[str, list[q.LimitWaiter]] = {}
    for row in rows:
        for what, tasks in row.waiting_for.items():
            kind, _, limit = what.partition(" ")
            if kind == "limit":
                waiter = q.LimitWaiter(run_id=row.run_id, workflow=row.workflow, tasks=tasks)
                by_limit.setdefault(limit, []).append(waiter)
    return [
        q.LimitWaiters(
            limit=limit,
            tasks=sum(waiter.tasks for waiter in waiters),
            runs=waiters[:WAITERS_SHOWN_MAX],
            runs_total=len(waiters),
        )
        for limit, waiters in sorted(by_limit.items())
    ]


def agent_told(row: AgentRow) -> q.AgentSummary:
    """An agent with its means."""
    reports = reports_of(row)
    return copied(
        q.AgentSummary,
        row,
        queue_seconds_mean=row.queue_seconds / reports if reports else None,
        work_seconds_mean=row.work_seconds / reports if reports else None,
        work_seconds_p50=percentile(row.work_times, 50),
        work_seconds_p95=percentile(row.work_times, 95),
    )


def entry_told(recorded: Recorded) -> q.HistoryEntry:
    """An event with its sentence; without its payload where that is too large."""
    event: dict[str, Json] | None = recorded.event.model_dump(mode="json")
    if len(orjson.dumps(event)) > 4 * JSON_BYTES_MAX:
        event = None
    return q.HistoryEntry(
        version=recorded.version,
        at=instant(recorded.at),
        by=recorded.by,
        cause=recorded.cause,
        kind=recorded.event.kind,
        task_id=getattr(recorded.event, "task_id", None),
        digest=recorded.digest.hex(),
        sentence=sentence_of(recorded.event),
        event=event,
    )


def unreadable_told(version: int, reason: str) -> q.HistoryEntry:
    """What stands in the place of an event that cannot be read."""
    return q.HistoryEntry(
        version=version,
        at="",
        by="",
        cause="",
        kind="",
        task_id=None,
        digest="",
        sentence=text(f"This event cannot be read: {reason}"),
        event=None,
    )


def state_told(run: Run, newest: Recorded) -> q.StateThen:
    """A run that was played again up to this event."""
    tasks, more = page(map(_task_then, run.tasks.values()), len(run.tasks))
    context, context_bytes = _small(run.context)
    output, output_bytes = _small(run.output)
    definition = run.plan.definition
    return q.StateThen(
        run_id=str(run.id),
        workflow=definition.workflow,
        workflow_version=definition.version,
        version=run.version,
        at=instant(newest.at),
        plan_version=run.plan_version,
        status=run.status,
        tasks=tasks,
        context=context or {},
        context_bytes=context_bytes,
        output=output,
        output_bytes=output_bytes,
        error_code=None if run.error is None else run.error.code,
        error_message=None if run.error is None else text(run.error.message),
        more=more,
    )


def _task_then(task: Task) -> q.TaskThen:
    output, output_bytes = _small(task.output)
    return q.TaskThen(
        task_id=task.id,
        step=task.step.id,
        role=task.role,
        index=task.index,
        status=task.status,
        attempt=task.attempt,
        agent=task.agent,
        failures=task.failures,
        changed_at=instant(task.changed_at),
        output=output,
        output_bytes=output_bytes,
        error_code=None if task.error is None else task.error.code,
        error_message=None if task.error is None else text(task.error.message),
    )


def _small(value: Json) -> tuple[Json, int]:
    """The value, or None where it is too large for an answer among others; and its size."""
    size = len(orjson.dumps(value))
    return (value if size <= JSON_BYTES_MAX else None), size


def loaded(body: str | None) -> Json:
    """The JSON that a row keeps."""
    return None if body is None else orjson.loads(body)


def dumped(words: str) -> str:
    """A text as JSON has it."""
    return orjson.dumps(words).decode()


def copied(model: type[ModelT], row: Any, **more: Any) -> ModelT:
    """A model with the fields of a row; those that it does not have are left out."""
    return model.model_validate({**vars(row), **more})
