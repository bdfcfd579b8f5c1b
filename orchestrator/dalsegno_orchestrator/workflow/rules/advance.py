"""Going on: begin whatever is ready, and end the run when nothing is left."""

from datetime import timedelta
from typing import Final, cast

from dalsegno_bus.ids import TaskId, item_id
from dalsegno_bus.messages import Failure, Json
from dalsegno_orchestrator.workflow.cel.expressions import ExpressionFailed
from dalsegno_orchestrator.workflow.events import (
    PlanFinished,
    RepeatEnded,
    RunCompleted,
    TaskRepeated,
    TasksExpanded,
    TaskSkipped,
    TimerSet,
)
from dalsegno_orchestrator.workflow.folding.plans import gathered
from dalsegno_orchestrator.workflow.rules import attempts, budget, children, ending, waiting
from dalsegno_orchestrator.workflow.run import ENDING, Task
from dalsegno_orchestrator.workflow.turn import Turn

ITEMS_MAX: Final = 100_000
"""How many items one `foreach` may have."""


def go_on(turn: Turn) -> None:
    """Begin whatever is ready, and end the run when nothing is left."""
    run = turn.run
    while run.status == "running":
        if run.failing is not None:
            task = run.tasks[run.failing]
            assert task.error is not None
            ending.fail(turn, task.error, task.id)
        elif run.exceeded and budget.is_to_stop(run):
            error = Failure(code="run.budget", message=budget.why_stopped(run))
            ending.fail(turn, error, None)
        elif run.ready:
            _begin(turn, run.tasks[run.ready[0]])
        elif run.unresolved == 0:
            _complete(turn)
        else:
            return
    if run.status in ENDING:
        ending.wind_down(turn)


def _complete(turn: Turn) -> None:
    template = turn.run.plan.output
    try:
        output: Json = None if template is None else template.evaluate(turn.run.scope())
    except ExpressionFailed as error:
        ending.fail(turn, Failure(code="expression", message=f"output: {error}"), None)
        return
    turn.record(RunCompleted(output=output, abandoned=turn.run.abandoned()))


def _begin(turn: Turn, task: Task) -> None:
    step, definition = task.step, task.step.task
    try:
        if task.status == "planned":
            gathered(turn.run, task)  # it must not fail later
            turn.record(PlanFinished(task_id=task.id))
        elif task.status == "repeating":
            _repeat(turn, task)
        elif step.when is not None and task.is_new and _is_left_out(turn, task):
            turn.record(TaskSkipped(task_id=task.id, reason=f"not {definition.when}"))
        elif task.role == "step" and step.foreach is not None:
            _expand(turn, task)
        elif task.role == "step" and definition.repeat is not None:
            turn.record(TaskRepeated(task_id=task.id, iteration=0))
        elif definition.wait is not None:
            waiting.wait(turn, task)
        elif definition.sleep is not None:
            until = turn.facts.now + timedelta(seconds=definition.sleep)
            turn.record(TimerSet(task_id=task.id, at=until))
        elif definition.workflow is not None:
            children.begin(turn, task)
        else:
            attempts.assign(turn, task)
    except ExpressionFailed as error:
        attempts.cannot_begin(turn, task, str(error))


def _is_left_out(turn: Turn, task: Task) -> bool:
    when = task.step.when
    return task.role == "step" and when is not None and not when.evaluate(turn.run.scope())


def _expand(turn: Turn, task: Task) -> None:
    template = task.step.foreach
    assert template is not None
    items: Json = template.evaluate(turn.run.scope())
    if not isinstance(items, list):
        text = f"foreach needs a list, and {task.step.task.foreach!r} gave another value"
        attempts.cannot_begin(turn, task, text)
        return
    listed = cast("list[Json]", items)
    if len(listed) > ITEMS_MAX:
        text = f"foreach has {len(listed)} items; at most {ITEMS_MAX} are possible"
        attempts.cannot_begin(turn, task, text)
        return
    kept = tuple(listed) if "context" in template.roots else None
    turn.record(TasksExpanded(task_id=task.id, count=len(listed), items=kept))


def _repeat(turn: Turn, task: Task) -> None:
    """An iteration is over: one more, or was it the last?"""
    repeat, until = task.step.task.repeat, task.step.until
    assert repeat is not None
    assert until is not None
    last = turn.run.tasks[item_id(task.step.id, task.begun - 1)]
    scope = turn.run.scope() | {"iteration": task.begun - 1, "output": last.output}
    if until.evaluate(scope):
        turn.record(RepeatEnded(task_id=task.id, iterations=task.begun))
    elif task.begun >= repeat.max:
        text = f"{repeat.until} did not hold after {task.begun} times, which is the most allowed"
        attempts.fail_for_good(turn, task, Failure(code="task.repeat_exhausted", message=text))
    else:
        at = turn.facts.now + timedelta(seconds=repeat.delay) if repeat.delay else None
        turn.record(TaskRepeated(task_id=TaskId(task.id), iteration=task.begun, at=at))
