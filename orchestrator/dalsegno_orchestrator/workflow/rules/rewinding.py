"""Trying again: what failed, what could not be undone, or everything from a task on."""

from dalsegno_bus.ids import TaskId
from dalsegno_bus.messages import RetryRun, RewindRun
from dalsegno_orchestrator.workflow.events import Abandoned, RunReopened, RunRewound
from dalsegno_orchestrator.workflow.folding.plans import parts_below, sank_it
from dalsegno_orchestrator.workflow.plan import Step
from dalsegno_orchestrator.workflow.run import FINAL, Run, Task
from dalsegno_orchestrator.workflow.turn import Refused, Turn


def retry(turn: Turn, message: RetryRun) -> None:
    """Have what failed tried again.

    Raises:
        Refused: Nothing has failed, or what failed was undone already.
    """
    run = turn.run
    if run.status == "compensation_failed":
        tasks = _chosen(message, run.uncompensated, "could not be undone")
        turn.record(
            RunReopened(
                tasks=tasks,
                undoing=True,
                reason=message.reason,
                message_id=turn.facts.message_id,
            )
        )
        return
    if run.status != "failed":
        raise Refused.because(
            f"run {run.id} is {run.status}: only a failed run can be retried",
            suggestion="go back with `runs rewind`" if run.status == "completed" else None,
        )
    _refuse_if_told(run)
    if run.compensated:
        raise Refused.because(
            f"run {run.id} was undone: {', '.join(run.compensated)}",
            suggestion="start a new run",
        )
    failed = [task.id for task in run.tasks.values() if sank_it(run, task)]
    tasks = _chosen(message, failed, "failed")
    left = [task for task in failed if task not in tasks]
    if left:
        raise Refused.because(
            f"{', '.join(left)} failed as well, and the run cannot go on without",
            path="tasks",
            suggestion="name no task, and all that failed is tried again",
        )
    turn.record(RunReopened(tasks=tasks, reason=message.reason, message_id=turn.facts.message_id))


def rewind(turn: Turn, message: RewindRun) -> None:
    """Take the run back to before a task.

    Raises:
        Refused: The task has not begun, or the run cannot go back.
    """
    run = turn.run
    task = run.tasks.get(TaskId(message.task_id))
    if task is None or task.role != "step":
        known = ", ".join(one.id for one in run.tasks.values() if one.role == "step")
        raise Refused.because(
            f"the task {message.task_id!r} has not begun in this run",
            path="task_id",
            suggestion=f"these have: {known}",
        )
    if run.status not in FINAL and run.status != "running":
        raise Refused.because(f"run {run.id} is {run.status}: it cannot go back now")
    if run.compensated or run.uncompensated:
        raise Refused.because(f"run {run.id} was undone", suggestion="start a new run")
    if run.status in FINAL:
        _refuse_if_told(run)
    undone = undone_by(run, task.id)
    _refuse_if_referred_to(run, undone)
    gone = [run.tasks[one] for one in undone]
    turn.record(
        RunRewound(
            task_id=task.id,
            undone=undone,
            abandoned=tuple(
                Abandoned(task_id=one.id, attempt=number, agent=agent)
                for one in gone
                for number, agent in one.open_attempts()
            ),
            children=tuple(
                one.child for one in gone if one.child is not None and one.status == "delegated"
            ),
            message_id=turn.facts.message_id,
            reason=message.reason,
        )
    )


def undone_by(run: Run, task_id: str) -> tuple[TaskId, ...]:
    """The tasks that are forgotten if the run goes back to before this one, in their order.

    Everything that needed it, directly or not, with its items, iterations, questions and the like.
    A dynamic task that waits for one of them keeps its plan.
    """
    undone = {run.tasks[TaskId(task_id)].step.id}
    unsettled: set[str] = set()
    while _grow(run, undone, unsettled):
        pass
    return tuple(task.id for task in run.tasks.values() if _root(run, task).step.id in undone)


def _grow(run: Run, undone: set[str], unsettled: set[str]) -> bool:
    """Add what follows at once; False: nothing.

    What is unsettled has no output any more, and yet is not undone: a task that made a plan and
    waits for its parts, or that failed and has a fallback which stands in for it.
    """
    before = len(undone) + len(unsettled)
    for step in run.plan.steps.values():
        part = run.parts.get(step.id)
        if step.fallback_of in undone or (part is not None and part.owner in undone):
            undone.add(step.id)
        elif _waits_for_parts(run, step, gone := undone | unsettled):
            unsettled.add(step.id)
        elif step.needs & gone:
            undone.add(step.id)
        elif step.task.fallback in gone:
            unsettled.add(step.id)
    return len(undone) + len(unsettled) > before


def _waits_for_parts(run: Run, step: Step, gone: set[str]) -> bool:
    """Whether all it needs of what is gone was added by its own plan, or its fallback's."""
    planners = {step.id, step.task.fallback}
    needed = step.needs & gone
    parts = [run.parts.get(need) for need in needed]
    return bool(needed) and all(part is not None and part.owner in planners for part in parts)


def _refuse_if_referred_to(run: Run, undone: tuple[TaskId, ...]) -> None:
    """What a plan added goes with its plan, unless something from elsewhere needs it."""
    dropped = parts_below(run, undone)
    left = [step for step in run.plan.steps.values() if step.id not in dropped]
    needing = [
        step.id
        for step in left
        if any(
            need in dropped and run.parts[need].owner not in {step.id, step.task.fallback}
            for need in step.needs
        )
    ]
    if needing:
        raise Refused.because(
            f"{', '.join(needing)}: these need tasks that would go with the plan they came from",
            path="task_id",
            suggestion="drop or change them first (`runs replan`)",
        )


def _root(run: Run, task: Task) -> Task:
    """The step's own task that this one belongs to."""
    while task.parent is not None:
        task = run.tasks[task.parent]
    return task


def _refuse_if_told(run: Run) -> None:
    if run.parent is not None and run.parent.task_id:
        raise Refused.because(
            f"run {run.id} has told its parent {run.parent.run_id} how it ended",
            suggestion="retry or rewind the parent",
        )


def _chosen(message: RetryRun, failed: list[TaskId] | list[str], what: str) -> tuple[str, ...]:
    unknown = [task for task in message.tasks if task not in failed]
    if unknown:
        raise Refused.because(
            f"{', '.join(unknown)}: not among the tasks that {what}",
            path="tasks",
            suggestion=f"these {what}: {', '.join(failed)}" if failed else None,
        )
    return tuple(message.tasks or failed)
