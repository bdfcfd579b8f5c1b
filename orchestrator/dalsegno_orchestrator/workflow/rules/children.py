"""Sub-workflows: runs of their own that do a task, linked both ways."""

from typing import Final

from dalsegno_bus.ids import child_run_id
from dalsegno_bus.messages import ChildOver, Failure
from dalsegno_orchestrator.workflow.events import ChildEnded, ChildStarted
from dalsegno_orchestrator.workflow.grammar.policies import Retry
from dalsegno_orchestrator.workflow.rules import attempts, budget
from dalsegno_orchestrator.workflow.run import UNKNOWN, Task
from dalsegno_orchestrator.workflow.turn import Turn

DEPTH_MAX: Final = 16
"""How many runs may be above one: a workflow that starts itself for ever ends here."""
_DEFAULT: Final = Retry()


def begin(turn: Turn, task: Task) -> None:
    """Have a run do the task; its id follows from the attempt, so it is one run.

    Raises:
        ExpressionFailed: The run's input asks for something that is not there.
    """
    if budget.is_used_up(turn):
        return
    run, definition = turn.run, task.step.task
    assert definition.workflow is not None
    above = 0 if run.parent is None else run.parent.depth
    if above >= DEPTH_MAX:
        text = f"{DEPTH_MAX} runs are above this one, and no more are possible"
        attempts.fail_for_good(turn, task, Failure(code="child.depth", message=text))
        return
    if task.attempt and task.input is not UNKNOWN:
        task.input = UNKNOWN  # the context may have changed since the attempt before
    task_input = run.input_of(task)
    attempt = task.attempt + 1
    turn.record(
        ChildStarted(
            task_id=task.id,
            attempt=attempt,
            run_id=child_run_id(run.id, task.id, attempt),
            workflow=definition.workflow,
            workflow_version=definition.workflow_version,
            input=task_input if "context" in task.step.input.roots else None,
        )
    )


def over(turn: Turn, message: ChildOver) -> None:
    """The run that does a task has ended; a failed one is followed by another only if asked."""
    task = turn.run.delegated.get(message.task_id)  # pyright: ignore[reportArgumentType] - a task's id
    if task is None or (task.attempt, task.child) != (message.attempt, message.child):
        return
    error = message.error
    if message.status != "completed" and error is None:
        error = Failure(code=f"child.{message.status}", message=f"its run was {message.status}")
    final = True
    if message.status == "failed" and error is not None:
        asked_for = task.step.task.retry != _DEFAULT or bool(task.step.task.reroute)
        final = not (asked_for and attempts.may_go_on(turn, task, error))
    turn.record(
        ChildEnded(
            task_id=task.id,
            attempt=message.attempt,
            run_id=message.child,
            status=message.status,
            output=message.output,
            error=error,
            final=final,
            usage=message.usage,
        )
    )
    if not final:
        attempts.try_again(turn, task)
