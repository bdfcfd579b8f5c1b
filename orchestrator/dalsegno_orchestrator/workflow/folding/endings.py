"""How a run stands still, goes on, and comes to an end."""

from datetime import datetime, timedelta
from typing import Final

from dalsegno_bus.ids import TaskId
from dalsegno_bus.messages import Failure
from dalsegno_orchestrator.workflow.events import (
    BudgetExceeded,
    BudgetRaised,
    CompensationFailed,
    CompensationStarted,
    RunCancelled,
    RunCompensationFailed,
    RunCompleted,
    RunEnding,
    RunFailed,
)
from dalsegno_orchestrator.workflow.folding.steps import undo_task
from dalsegno_orchestrator.workflow.grammar.policies import Budget
from dalsegno_orchestrator.workflow.run import Opened, Run

_SECOND: Final = timedelta(seconds=1)


def resumed(run: Run, at: datetime) -> None:
    """Move every time that lies ahead by as long as it stood still."""
    assert run.paused_at is not None
    still = at - run.paused_at
    if run.deadline_at is not None:
        run.deadline_at += still
    if run.budget_at is not None:
        run.budget_at += still
    for task in run.tasks.values():
        if task.look_at is None:
            continue
        stood_still = at - max(run.paused_at, task.changed_at)
        task.changed_at += stood_still
        task.opened = {number: shift(one, run.paused_at, at) for number, one in task.opened.items()}
        if task.hedge_at is not None:
            task.hedge_at += stood_still
        if task.until is not None:
            task.until += stood_still
        run.look(task, task.look_at + stood_still)
    run.status, run.paused_at = "running", None


def shift(opened: Opened, paused_at: datetime, at: datetime) -> Opened:
    """The same attempt, as if the time in which the run stood still had not been."""
    since = opened.since + (at - max(paused_at, opened.since))
    heard_at = opened.heard_at
    if heard_at is not None:
        heard_at += at - max(paused_at, heard_at)
    return Opened(opened.agent, since, heard_at)


def exceeded(run: Run, event: BudgetExceeded) -> None:
    run.exceeded[event.limit] = event.action


def raised(run: Run, event: BudgetRaised, at: datetime) -> None:
    """Take the new limits; what was exceeded may be exceeded again."""
    before = run.budget or Budget()
    run.budget = Budget(
        usd=event.usd or before.usd,
        tokens=event.tokens or before.tokens,
        tasks=event.tasks or before.tasks,
        time=event.time_seconds or before.time,
        on_exceeded=before.on_exceeded,
    )
    if event.time_seconds and before.time and run.budget_at is not None:
        run.budget_at += (event.time_seconds - before.time) * _SECOND
    elif event.time_seconds:
        began = run.paused_at or at  # what it has stood still is added when it goes on
        run.budget_at = began + event.time_seconds * _SECOND
    run.heard.add(event.message_id)
    run.exceeded.clear()


def ending(run: Run, event: RunEnding) -> None:
    run.status = "failing" if event.outcome == "failed" else "cancelling"
    run.ending = event
    run.paused_at = None
    run.error = event.error
    run.ready.clear()
    run.parked.clear()
    _look_at_nothing(run)


def compensating(run: Run, event: CompensationStarted, at: datetime) -> None:
    run.status = "compensating"
    for task in run.assigned.values():
        task.opened.clear()
    run.assigned.clear()
    for task_id in event.tasks:
        undo_task(run, task_id, at)
        run.undoing.append(TaskId(task_id))


def not_compensated(run: Run, event: CompensationFailed) -> None:
    run.undoing.popleft()
    run.uncompensated.append(event.task_id)


def ended(run: Run, event: RunCompleted | RunFailed | RunCancelled | RunCompensationFailed) -> None:
    match event:
        case RunCompleted():
            run.status, run.output = "completed", event.output
        case RunFailed():
            run.status, run.error = "failed", event.error
        case RunCancelled():
            run.status = "cancelled"
            run.error = Failure(code="run.cancelled", message=event.reason or "cancelled")
        case RunCompensationFailed():
            run.status, run.error = "compensation_failed", event.error
    for task in run.assigned.values():
        task.opened.clear()
    run.ready.clear()
    run.assigned.clear()
    run.parked.clear()
    run.delegated.clear()
    _look_at_nothing(run)


def _look_at_nothing(run: Run) -> None:
    for _, task_id, _ in run.looks:
        task = run.tasks.get(task_id)
        if task is not None:
            task.look_at = None
    run.looks.clear()
