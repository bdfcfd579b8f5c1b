"""How an attempt begins, ends, and is followed by another one."""

from datetime import datetime, timedelta

from dalsegno_bus.ids import RunId
from dalsegno_orchestrator.workflow.events import (
    ChildEnded,
    ChildStarted,
    LadderClimbed,
    PlanProposed,
    TaskAssigned,
    TaskCompleted,
    TaskFailed,
    TaskHandedOff,
    TaskParked,
    TaskRerouted,
    TaskTimedOut,
)
from dalsegno_orchestrator.workflow.folding.steps import (
    failed_for_good,
    finished,
    move,
    spend,
)
from dalsegno_orchestrator.workflow.run import ATTEMPT_GRACE_SECONDS, Opened, Run, Task


def assigned(run: Run, event: TaskAssigned, at: datetime) -> None:
    task = move(run, event.task_id, "assigned", at)
    task.attempt = event.attempt
    task.agent = event.agent
    task.opened[event.attempt] = Opened(event.agent, at)
    task.hedge_at = event.hedge_at
    task.waits_for = ""
    if event.input is not None:
        task.input = event.input
    if event.hedges is None and (run.context_versions or run.plan.definition.context):
        task.context_seen = dict(run.context_versions)
    run.spent.tasks += 1
    run.assigned[task.id] = task
    run.look(task, first_look(task, at))


def first_look(task: Task, at: datetime) -> datetime:
    """When the attempts under way are looked at, if nothing is heard of them."""
    definition = task.step.task
    seconds = definition.queue_timeout or definition.timeout + ATTEMPT_GRACE_SECONDS
    if definition.heartbeat_timeout is not None:
        seconds = min(seconds, definition.heartbeat_timeout)
    oldest = at
    for opened in task.opened.values():  # the first one is the oldest
        oldest = opened.since
        break
    look = oldest + timedelta(seconds=seconds)
    if task.hedge_at is not None and task.hedge_at < look:
        return max(at, task.hedge_at)
    return look if oldest is at else max(at, look)


def parked(run: Run, event: TaskParked, at: datetime) -> None:
    task = run.tasks[event.task_id]  # pyright: ignore[reportArgumentType] - a task's id
    since, look_at = task.changed_at, task.look_at
    again, is_new = task.status == "parked", task.is_new and not task.attempt
    task = move(run, event.task_id, "parked", at)
    task.is_new = is_new  # nobody was asked for it yet: it may still be planned anew
    run.parked[task.id] = task
    task.waits_for = event.waits_for
    if again:  # it waits for something else now, and has waited since then
        task.changed_at = since
        run.look(task, look_at)
        return
    limit = task.step.task.queue_timeout
    run.look(task, None if limit is None else at + timedelta(seconds=limit))


def completed(run: Run, event: TaskCompleted, at: datetime) -> None:
    task = move(run, event.task_id, "completed", at)
    task.agent = event.agent
    task.opened.clear()
    task.hedge_at = None
    if event.usage is not None:
        spend(run, task, event.usage)
    finished(run, task, event.output, at)


def close(task: Task) -> None:
    """No attempt of it is under way any more."""
    task.opened.clear()
    task.hedge_at = None


def failed(run: Run, event: TaskFailed | TaskTimedOut, at: datetime) -> None:
    task = run.tasks[event.task_id]  # pyright: ignore[reportArgumentType] - a task's id
    if isinstance(event, TaskFailed):
        spend(run, task, event.usage)
    task.error = event.error
    task.failures += 1
    if event.agent is not None and event.agent not in task.avoid:
        task.avoid = (*task.avoid, event.agent)
    task.opened.pop(event.attempt, None)
    if task.opened and not event.final:  # the other attempt of a hedged task goes on
        _other_goes_on(run, task, at)
        return
    task = move(run, event.task_id, "failed" if event.final else "retrying", at)
    close(task)
    if event.final:
        failed_for_good(run, task, at)


def _other_goes_on(run: Run, task: Task, at: datetime) -> None:
    ((_, opened),) = task.opened.items()
    task.agent = opened.agent
    task.hedge_at = None
    if run.ending is None or task.role == "undo":
        run.look(task, first_look(task, at))


def rerouted(run: Run, event: TaskRerouted, at: datetime) -> None:
    task = run.tasks[event.task_id]  # pyright: ignore[reportArgumentType] - a task's id
    if event.agent not in task.avoid:
        task.avoid = (*task.avoid, event.agent)
    task.opened.pop(event.attempt, None)
    if task.opened:
        _other_goes_on(run, task, at)
        return
    task = move(run, event.task_id, "ready", at)
    run.ready.append(task.id)


def climbed(run: Run, event: LadderClimbed, at: datetime) -> None:
    task = move(run, event.task_id, "ready" if event.at is None else "retrying", at)
    task.rungs = event.rung + 1
    task.failures = 0
    task.others_only = event.others_only
    task.barred = task.avoid if event.others_only else ()
    if not event.others_only:
        task.avoid = ()
    task.capability = event.capability
    if event.at is None:
        run.ready.append(task.id)
    else:
        run.look(task, event.at)


def handed_off(run: Run, event: TaskHandedOff, at: datetime) -> None:
    task = move(run, event.task_id, "ready", at)
    spend(run, task, event.usage)
    task.handoffs += 1
    close(task)
    task.given = event.input
    task.capability = event.to_capability
    task.failures, task.avoid = 0, ()
    task.others_only, task.barred = False, ()
    run.ready.append(task.id)


def proposed(run: Run, event: PlanProposed, at: datetime) -> None:
    task = move(run, event.task_id, "proposed", at)
    spend(run, task, event.usage)
    task.agent = event.agent
    close(task)
    task.proposal = (event.tasks, event.output)


def child_started(run: Run, event: ChildStarted, at: datetime) -> None:
    task = move(run, event.task_id, "delegated", at)
    task.attempt = event.attempt
    task.child = RunId(event.run_id)
    if event.input is not None:
        task.input = event.input
    run.delegated[task.id] = task


def child_ended(run: Run, event: ChildEnded, at: datetime) -> None:
    completed_it = event.status == "completed"
    status = "completed" if completed_it else "failed" if event.final else "retrying"
    task = move(run, event.task_id, status, at)
    spend(run, task, event.usage)
    if completed_it:
        finished(run, task, event.output, at)
        return
    task.error = event.error
    task.failures += 1
    if event.final:
        failed_for_good(run, task, at)
