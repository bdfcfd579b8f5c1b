"""Answers what is asked before something is done: what rewinding undoes, who holds a limit.

Played from the history, or read from the permits that lie beside it: exact at the time of the
answer, and only then.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

from dalsegno_bus.errors import UsageError
from dalsegno_bus.ids import TaskId
from dalsegno_orchestrator.storage.permits import PermitRow
from dalsegno_orchestrator.workflow.rules.rewinding import undone_by
from dalsegno_projections import questions as q
from dalsegno_projections.finding import find_run
from dalsegno_projections.replaying import Streams, state_of
from dalsegno_projections.storage.rows import Rows
from dalsegno_projections.told import page
from dalsegno_projections.views.limits import LIMITS
from dalsegno_projections.views.values import instant


class Permits(Protocol):
    """The event store, as far as it knows what is taken of limits."""

    def permits(self, limits: Sequence[str] | None = None) -> list[PermitRow]: ...


def rewind_preview(rows: Rows, streams: Streams, question: q.AskRewindPreview) -> q.RewindPreview:
    """What going back to before a task would undo.

    Raises:
        UsageError: There is no such run, or the task has not begun in it.
        StoreError: Its history or its definition cannot be read.
    """
    row = find_run(rows, streams, question.run_id)
    run = state_of(streams, streams.read(UUID(row.run_id)))
    task = run.tasks.get(TaskId(question.task_id))
    if task is None or task.role != "step":
        begun = ", ".join(one.id for one in run.tasks.values() if one.role == "step")
        raise UsageError(
            f"the task {question.task_id!r} has not begun in run {row.run_id}; these have: {begun}"
        )
    undone = [run.tasks[task_id] for task_id in undone_by(run, task.id)]
    tasks, more = page(
        (
            q.TaskUndone(
                task_id=task.id, status=task.status, attempt=task.attempt, agent=task.agent
            )
            for task in undone
        ),
        len(undone),
    )
    return q.RewindPreview(
        run_id=row.run_id,
        workflow=row.workflow,
        status=run.status,
        task_id=question.task_id,
        undone=tasks,
        more=more,
    )


def limit_use(rows: Rows, store: Permits, question: q.AskLimitUse, *, now: datetime) -> q.LimitUse:
    """What is taken of a limit, and by whom, at `now` (UTC)."""
    permits = store.permits([question.limit])
    standing = [permit for permit in permits if permit.given_back_at is None]
    standing.sort(key=lambda permit: permit.taken_at)
    setting = rows.load(LIMITS, [(question.limit,)]).get((question.limit,))
    begun = 0.0
    if setting is not None and setting.rate is not None:
        since = now.timestamp() - setting.rate_seconds
        begun = sum(permit.amount for permit in permits if permit.taken_at > since)
    holders, more = page(
        (
            q.LimitHolder(
                run_id=str(permit.run_id),
                task_id=permit.task_id,
                attempt=permit.attempt,
                amount=permit.amount,
                taken_at=instant(datetime.fromtimestamp(permit.taken_at, UTC)),
            )
            for permit in standing
        ),
        question.holders,
    )
    return q.LimitUse(
        limit=question.limit,
        amount=sum(permit.amount for permit in standing),
        begun=begun,
        holders=holders,
        more=more,
    )
