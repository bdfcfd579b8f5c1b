"""What clients, parents and agents are told of a run: made from its state, sent by others."""

from collections.abc import Sequence
from typing import Literal

from dalsegno_bus.ids import RunId, TaskId
from dalsegno_bus.messages import (
    Accepted,
    CancelRun,
    ChildOver,
    Failure,
    ParentRun,
    Problem,
    Rejected,
    Reply,
    Report,
    StartRun,
    TaskReport,
)
from dalsegno_orchestrator.kin import waits_for
from dalsegno_orchestrator.workflow.run import Run
from dalsegno_orchestrator.workflow.turn import is_awaited


def accepted(run: Run) -> Accepted:
    """The answer to a request that the history holds."""
    definition = run.plan.definition
    return Accepted(
        run_id=run.id,
        workflow=definition.workflow,
        version=definition.version,
        status=run.status,
    )


def same_run(run: Run, message: StartRun) -> Reply:
    """The answer to a start of a run that is there already."""
    if run.plan.definition.workflow == message.workflow:
        return accepted(run)
    text = f"run {run.id} is there already, of workflow {run.plan.definition.workflow!r}"
    return Rejected(reasons=(Problem(message=text, path="run_id"),))


def is_waited_for(run: Run, message: TaskReport | ChildOver) -> bool:
    """Whether a report, or the end of a run, is about what is under way."""
    if isinstance(message, ChildOver):
        return waits_for(run, message.task_id, message.child)
    return is_awaited(run, message)


def forgery(run: Run, report: Report) -> str | None:
    """Why nobody can believe a report: the attempt that it is about is with another agent."""
    task = run.assigned.get(TaskId(report.task_id))
    opened = None if task is None else task.opened.get(report.attempt)
    if opened is None or opened.agent == report.agent:
        return None
    return (
        f"agent {report.agent!r} reports on attempt {report.attempt} of {report.task_id}, "
        f"which is with {opened.agent!r}"
    )


def never_begun(message: CancelRun) -> ChildOver | None:
    """What tells a parent that the run it cancels never began; None: nobody is told."""
    if message.parent is None:
        return None
    error = Failure(code="child.cancelled", message="it was cancelled before it began")
    return _over_before(message.parent, message.run_id, "cancelled", error)


def never_started(message: StartRun, reasons: Sequence[Problem]) -> ChildOver | None:
    """What tells a parent that the run it asks for was refused; None: nobody is told."""
    if message.parent is None:
        return None
    text = "; ".join(str(reason) for reason in reasons)
    error = Failure(code="child.rejected", message=text)
    return _over_before(message.parent, message.run_id, "rejected", error)


def _over_before(
    parent: ParentRun, child: RunId, status: Literal["cancelled", "rejected"], error: Failure
) -> ChildOver:
    return ChildOver(
        run_id=parent.run_id,
        task_id=parent.task_id,
        attempt=parent.attempt,
        child=child,
        status=status,
        error=error,
    )
