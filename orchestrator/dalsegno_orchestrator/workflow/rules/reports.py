"""What agents say of their attempts: done, failed, alive, handed on."""

from typing import Final

from dalsegno_bus.messages import (
    CompletedReport,
    FailedReport,
    Failure,
    HandoffReport,
    HeartbeatReport,
)
from dalsegno_orchestrator.workflow.events import (
    Abandoned,
    AttemptProgressed,
    TaskCompleted,
    TaskFailed,
    TaskHandedOff,
)
from dalsegno_orchestrator.workflow.rules import attempts, planning
from dalsegno_orchestrator.workflow.run import Task
from dalsegno_orchestrator.workflow.turn import Turn, awaited_task

HANDOFFS_MAX: Final = 10
"""How often a task may be handed on."""


def completed(turn: Turn, report: CompletedReport) -> None:
    """The first report of a task counts; a plan is looked at before it is taken."""
    task = awaited_task(turn.run, report)
    if task is None:
        return
    if task.step.task.dynamic is not None and not task.is_beside:
        planning.propose(turn, task, report, others(task, report.attempt))
        return
    turn.record(
        TaskCompleted(
            task_id=report.task_id,
            attempt=report.attempt,
            agent=report.agent,
            replica=report.replica,
            capability=task.capability or "",
            output=report.output,
            abandoned=() if len(task.opened) == 1 else others(task, report.attempt),
            usage=report.usage,
            queue_seconds=report.queue_seconds,
            work_seconds=report.work_seconds,
        )
    )


def failed(turn: Turn, report: FailedReport) -> None:
    """Final, or followed by another attempt."""
    task = awaited_task(turn.run, report)
    if task is None:
        return
    may_retry = report.retryable or len(task.opened) > 1
    final = not (may_retry and attempts.may_go_on(turn, task, report.error))
    turn.record(
        TaskFailed(
            task_id=report.task_id,
            attempt=report.attempt,
            agent=report.agent,
            replica=report.replica,
            capability=task.capability or "",
            error=report.error,
            retryable=report.retryable,
            final=final,
            usage=report.usage,
            queue_seconds=report.queue_seconds,
            work_seconds=report.work_seconds,
        )
    )
    if not final:
        attempts.try_again(turn, task, report.retry_after_seconds)


def alive(turn: Turn, report: HeartbeatReport) -> None:
    """Only of a task that has to tell: everything else is told live, and not recorded."""
    task = awaited_task(turn.run, report)
    if task is None or task.step.task.heartbeat_timeout is None:
        return
    turn.record(
        AttemptProgressed(
            task_id=report.task_id,
            attempt=report.attempt,
            agent=report.agent,
            progress=report.progress,
        )
    )
    if turn.run.status == "running" or task.role == "undo":
        attempts.look_at(turn, task)


def handed_off(turn: Turn, report: HandoffReport) -> None:
    """The task goes on with another agent, but not for ever."""
    task = awaited_task(turn.run, report)
    if task is None:
        return
    is_ending = turn.run.ending is not None and task.role != "undo"
    if task.handoffs >= HANDOFFS_MAX or is_ending:
        text = f"it was handed on {task.handoffs} times, and {HANDOFFS_MAX} are possible"
        if is_ending:
            text = "it was handed on while its run was ending"
        turn.record(
            TaskFailed(
                task_id=report.task_id,
                attempt=report.attempt,
                agent=report.agent,
                replica=report.replica,
                capability=task.capability or "",
                error=Failure(code="task.handoff_limit", message=text),
                retryable=False,
                final=len(task.opened) == 1,
                usage=report.usage,
                queue_seconds=report.queue_seconds,
                work_seconds=report.work_seconds,
            )
        )
        return
    turn.record(
        TaskHandedOff(
            task_id=report.task_id,
            attempt=report.attempt,
            agent=report.agent,
            replica=report.replica,
            capability=task.capability or "",
            to_capability=report.capability,
            input=report.input,
            reason=report.reason,
            usage=report.usage,
            queue_seconds=report.queue_seconds,
            work_seconds=report.work_seconds,
            abandoned=others(task, report.attempt),
        )
    )


def others(task: Task, attempt: int) -> tuple[Abandoned, ...]:
    """The attempts of a hedged task that nobody waits for any more."""
    if len(task.opened) == 1:
        return ()
    return tuple(
        Abandoned(task_id=task.id, attempt=number, agent=agent)
        for number, agent in task.open_attempts()
        if number != attempt
    )
