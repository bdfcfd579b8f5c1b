"""How a run ends early: stop what is under way, undo what was done, say what still stands."""

from datetime import timedelta

from dalsegno_bus.ids import TaskId, undo_id
from dalsegno_bus.messages import Failure
from dalsegno_orchestrator.workflow.events import (
    CompensationFailed,
    CompensationStarted,
    RunCancelled,
    RunCompensationFailed,
    RunEnding,
    RunFailed,
)
from dalsegno_orchestrator.workflow.rules import attempts
from dalsegno_orchestrator.workflow.turn import Turn


def fail(turn: Turn, error: Failure, task_id: TaskId | None) -> None:
    """The run cannot go on."""
    run = turn.run
    if _must_wind_down(turn, cancelled=False):
        _begin_to_end(turn, "failed", error, task_id)
    else:
        turn.record(RunFailed(task_id=task_id, error=error, abandoned=run.abandoned()))


def cancel(turn: Turn, reason: str) -> None:
    """Somebody ends the run; one that is ending already goes on to do so."""
    run = turn.run
    if run.ending is not None:
        return
    if _must_wind_down(turn, cancelled=True):
        error = Failure(code="run.cancelled", message=reason)
        _begin_to_end(turn, "cancelled", error, None)
    else:
        turn.record(RunCancelled(reason=reason, abandoned=run.abandoned()))


def _must_wind_down(turn: Turn, *, cancelled: bool) -> bool:
    """Whether something has to be stopped in order, or undone, before the run is over."""
    run = turn.run
    if run.delegated or run.completed:
        return True
    if not run.assigned or run.plan.definition.cancel_grace == 0:
        return False
    return cancelled or any(task.step.undo is not None for task in run.assigned.values())


def _begin_to_end(turn: Turn, outcome: str, error: Failure, task_id: TaskId | None) -> None:
    run = turn.run
    children = [task.child for task in run.delegated.values() if task.child is not None]
    turn.record(
        RunEnding(
            outcome="failed" if outcome == "failed" else "cancelled",
            task_id=task_id,
            error=error,
            stopping=run.abandoned(),
            children=tuple(children),
            until=turn.facts.now + timedelta(seconds=run.plan.definition.cancel_grace),
        )
    )


def wind_down(turn: Turn) -> None:
    """Go on with the end of a run, as far as it can go now."""
    run = turn.run
    assert run.ending is not None
    if run.status in {"failing", "cancelling"}:
        if run.delegated or (run.assigned and turn.facts.now < run.ending.until):
            return
        if not run.completed:
            _finish(turn)
            return
        undone = tuple(reversed(run.completed))
        turn.record(CompensationStarted(tasks=undone, abandoned=run.abandoned()))
    while run.undoing:
        task = run.tasks[undo_id(run.undoing[0])]
        if task.status == "ready":
            attempts.assign(turn, task)
            if task.status == "ready":
                raise AssertionError("an undoing that is ready is assigned, parked or failed")
        elif task.status == "failed":
            assert task.error is not None
            turn.record(CompensationFailed(task_id=run.undoing[0], error=task.error))
        else:
            return
    _finish(turn)


def _finish(turn: Turn) -> None:
    run = turn.run
    ending = run.ending
    assert ending is not None
    compensated = tuple(run.compensated)
    if run.uncompensated:
        turn.record(
            RunCompensationFailed(
                outcome=ending.outcome,
                error=ending.error,
                compensated=compensated,
                uncompensated=tuple(run.uncompensated),
                abandoned=run.abandoned(),
            )
        )
    elif ending.outcome == "failed":
        turn.record(
            RunFailed(
                task_id=ending.task_id,
                error=ending.error,
                abandoned=run.abandoned(),
                compensated=compensated,
            )
        )
    else:
        turn.record(
            RunCancelled(
                reason=ending.error.message, abandoned=run.abandoned(), compensated=compensated
            )
        )
