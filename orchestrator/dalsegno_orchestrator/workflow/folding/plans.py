"""How the plan of a run changes while it runs, and how a run goes back."""

from datetime import datetime, timedelta

from dalsegno_bus.ids import TaskId, item_id
from dalsegno_bus.messages import Json
from dalsegno_orchestrator.workflow.cel.expressions import Template
from dalsegno_orchestrator.workflow.events import (
    PlanAccepted,
    PlanFinished,
    PlanRejected,
    RunMigrated,
    RunReopened,
    RunReplanned,
    RunRewound,
)
from dalsegno_orchestrator.workflow.folding.steps import (
    begin_items,
    failed_for_good,
    finished,
    make_ready,
    move,
    outputs_of,
)
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition
from dalsegno_orchestrator.workflow.grammar.policies import Budget
from dalsegno_orchestrator.workflow.plan import Plan, Step, compile_plan
from dalsegno_orchestrator.workflow.replanning import adopt_tasks, replan_tasks
from dalsegno_orchestrator.workflow.run import FINAL, UNKNOWN, Part, Run, Task


def accepted(run: Run, event: PlanAccepted, at: datetime) -> None:
    task = move(run, event.task_id, "planned", at)
    assert task.proposal is not None
    tasks, _ = task.proposal
    owner = run.parts.get(task.step.id)
    depth = 1 if owner is None else owner.depth + 1
    root = task.step.id if owner is None else owner.root
    for name in tasks:
        run.parts[name] = Part(task.step.id, root, depth)
    run.plan_version = event.plan_version
    adopt(run, compile_plan(adopt_tasks(run.plan.definition, task.step.id, tasks)), at)


def rejected(run: Run, event: PlanRejected, at: datetime) -> None:
    task = move(run, event.task_id, "failed" if event.final else "retrying", at)
    task.proposal = None
    task.error = event.error
    task.failures += 1
    if event.final:
        failed_for_good(run, task, at)


def plan_finished(run: Run, event: PlanFinished, at: datetime) -> None:
    task = move(run, event.task_id, "completed", at)
    finished(run, task, gathered(run, task), at)


def gathered(run: Run, task: Task) -> Json:
    """The output of a dynamic task whose own tasks are done.

    Raises:
        ExpressionFailed: Its plan asks for something that is not there.
    """
    assert task.proposal is not None
    tasks, output = task.proposal
    if output is None:
        return outputs_of(run, tasks)
    return Template.compile(output).evaluate(run.scope())


def replanned(run: Run, event: RunReplanned, at: datetime) -> None:
    definition = replan_tasks(
        run.plan.definition, add=event.add, drop=event.drop, change=event.change
    )
    for name in event.drop:
        run.parts.pop(name, None)
    run.plan_version = event.plan_version
    adopt(run, compile_plan(definition), at)


def migrated(run: Run, event: RunMigrated, at: datetime) -> None:
    run.plan_version = event.plan_version
    run.follows = event.definition_digest
    before = run.plan.definition
    after = WorkflowDefinition.parse(event.definition)
    run.deadline_at = _moved(run.deadline_at, before.deadline, after.deadline, at)
    if after.budget != before.budget:
        spent, granted = _time_of(run.budget), _time_of(after.budget)
        run.budget_at = _moved(run.budget_at, spent, granted, at)
        run.budget = after.budget
        run.exceeded.clear()
    adopt(run, compile_plan(after), at)


def _moved(
    due: datetime | None, before: float | None, after: float | None, at: datetime
) -> datetime | None:
    """When a limit on time is reached that was `before` seconds and is `after` seconds now."""
    if after is None:
        return None
    if due is None or before is None:
        return at + timedelta(seconds=after)
    return due + timedelta(seconds=after - before)


def _time_of(budget: Budget | None) -> float | None:
    return None if budget is None else budget.time


def adopt(run: Run, plan: Plan, at: datetime) -> None:
    """Follow this plan from now on: what has begun goes on as what it is called there."""
    _plan_anew(run)
    run.plan = plan
    run.about = {}
    for task in run.tasks.values():
        _rebind(run, plan, task)
    over = run.outputs.keys()
    steps = plan.steps.values()
    run.unresolved = sum(not step.is_fallback and step.id not in over for step in steps)
    run.missing.clear()
    for step in steps:
        if step.is_fallback or not _is_to_come(run, step):
            continue
        missing = sum(need not in over for need in step.needs)
        run.missing[step.id] = missing
        if missing == 0:
            make_ready(run, step, at)


def _plan_anew(run: Run) -> None:
    """Forget the steps that could have begun and have not: the new plan says when they do."""
    for task in list(run.tasks.values()):
        if task.role == "step" and task.is_new and not task.step.is_fallback:
            del run.tasks[task.id]
            run.parked.pop(task.id, None)
            if task.id in run.ready:
                run.ready.remove(task.id)


def _is_to_come(run: Run, step: Step) -> bool:
    """Whether a step has yet to begin, or waits for what a plan added to it or its fallback."""
    task = run.tasks.get(TaskId(step.id))
    if task is None or task.status == "planned":
        return True
    fallback = step.task.fallback
    stand_in = None if fallback is None else run.tasks.get(TaskId(fallback))
    return stand_in is not None and stand_in.status == "planned"


def _rebind(run: Run, plan: Plan, task: Task) -> None:
    if task.role == "question":
        return
    about = task if task.parent is None or not task.is_beside else run.tasks[task.parent]
    step = plan.steps[about.step.id]
    if task.role == "undo":
        task.step = step.undo or task.step
    elif task.role == "escalation":
        level = int(task.id.rpartition("-")[2])
        task.step = step.escalations[level] if level < len(step.escalations) else task.step
    else:
        task.step = step
        if not task.rungs and not task.handoffs:
            task.capability = step.task.capability


def rewound(run: Run, event: RunRewound, at: datetime) -> None:
    for task_id in event.undone:
        _forget(run, TaskId(task_id))
    definition = without_parts(run, event.undone)
    for part in parts_below(run, event.undone):
        del run.parts[part]
    _rejoin(run, at)
    run.ending = None
    for task_id in event.undone:
        if task_id in definition.tasks:
            _stand_in_again(run, run.plan.steps[task_id], at)
    _back_to_work(run, at)
    adopt(run, compile_plan(definition), at)


def _stand_in_again(run: Run, step: Step, at: datetime) -> None:
    """A fallback that was undone, but not what it stands in for, begins again."""
    owner = None if step.fallback_of is None else run.tasks.get(TaskId(step.fallback_of))
    if owner is not None and owner.status == "failed":
        make_ready(run, step, at)


def _forget(run: Run, task_id: TaskId) -> None:
    task = run.tasks.pop(task_id)
    task.status = "ready"  # for whoever holds it still
    task.opened.clear()
    run.attempts_before[task_id] = task.attempt
    for listed in (run.assigned, run.parked, run.delegated):
        listed.pop(task_id, None)
    if task_id in run.ready:
        run.ready.remove(task_id)
    run.completed.pop(task_id, None)
    if task.role == "step":
        _without_output(run, task.step)


def _without_output(run: Run, step: Step) -> None:
    run.outputs.pop(step.id, None)
    if step.fallback_of is not None:
        run.outputs.pop(step.fallback_of, None)


def without_parts(run: Run, undone: tuple[str, ...]) -> WorkflowDefinition:
    """The definition without what undone dynamic tasks had added to it."""
    dropped = parts_below(run, undone)
    if not dropped:
        return run.plan.definition
    document = run.plan.definition.to_json()
    tasks: dict[str, Json] = {}
    for name, task in document["tasks"].items():
        if name not in dropped:
            after = [need for need in task.get("after", ()) if need not in dropped]
            tasks[name] = {**task, "after": after}
    return WorkflowDefinition.parse({**document, "tasks": tasks})


def parts_below(run: Run, undone: tuple[str, ...]) -> set[str]:
    """The steps that these tasks had added, and those that were added by them in turn."""
    return {name for name, part in run.parts.items() if _is_below(run, part, undone)}


def _is_below(run: Run, part: Part, undone: tuple[str, ...]) -> bool:
    """Whether the dynamic task that added it was undone, or one above that."""
    above = run.parts.get(part.owner)
    return part.owner in undone or (above is not None and _is_below(run, above, undone))


def _rejoin(run: Run, at: datetime) -> None:
    """A dynamic task that was done waits again for those of its parts that were undone."""
    for name, part in reversed(run.parts.items()):  # what parts added in turn comes before them
        owner = run.tasks.get(TaskId(part.owner))
        if owner is None or owner.proposal is None:
            continue
        if name in run.outputs or run.plan.steps[name].is_fallback:
            continue
        if owner.status in {"completed", "failed"}:
            owner.status, owner.changed_at = "planned", at
            _without_output(run, owner.step)
            run.completed.pop(owner.id, None)


def reopened(run: Run, event: RunReopened, at: datetime) -> None:
    if event.undoing:
        _undo_again(run, event, at)
        return
    _back_to_work(run, at)
    adopt(run, run.plan, at)


def _undo_again(run: Run, event: RunReopened, at: datetime) -> None:
    run.status = "compensating"
    run.error = None
    for task_id in event.tasks:
        run.uncompensated.remove(task_id)
        run.undoing.append(TaskId(task_id))
        _begin_anew(run, run.tasks[TaskId(f"{task_id}-undo")], at, queue=False)


def _back_to_work(run: Run, at: datetime) -> None:
    """The run goes on: what sank it, and what was under way when it ended, begins anew."""
    was_over = run.status in FINAL
    run.error, run.output, run.failing, run.ending = None, None, None, None
    if not was_over:
        return
    run.status, run.paused_at = "running", None
    deadline = run.plan.definition.deadline
    run.deadline_at = None if deadline is None else at + timedelta(seconds=deadline)
    queued = set(run.ready)
    for task in list(run.tasks.values()):
        if sank_it(run, task):
            _retry(run, task, at)
            continue
        if not task.is_open or task.role == "undo" or task.id in queued:
            continue
        if task.status == "expanded":
            begin_items(run, task, at)
        elif task.status == "repeating":
            last = run.tasks[item_id(task.step.id, task.begun - 1)]
            if not last.is_open:
                run.ready.append(task.id)
        elif task.status != "planned":
            _begin_anew(run, task, at)


def sank_it(run: Run, task: Task) -> bool:
    """Whether this failed task is one that nothing made up for."""
    if task.status != "failed" or task.is_beside or task.step.id in run.outputs:
        return False
    if task.role == "item":
        return task.step.task.on_error == "fail"
    if task.role == "step" and task.step.task.repeat is not None and task.begun:
        last = run.tasks[item_id(task.step.id, task.begun - 1)]
        if last.status == "failed":
            return False  # its iteration is what failed
    fallback = task.step.task.fallback
    return fallback is None or TaskId(fallback) not in run.tasks


def _retry(run: Run, task: Task, at: datetime) -> None:
    if task.proposal is not None:  # its plan was taken: what came of it is put together again
        task.status, task.changed_at = "planned", at
    else:
        _begin_anew(run, task, at)


def _begin_anew(run: Run, task: Task, at: datetime, *, queue: bool = True) -> None:
    task.status, task.changed_at, task.look_at = "ready", at, None
    task.failures, task.rungs, task.handoffs = 0, 0, 0
    task.avoid, task.others_only, task.barred = (), False, ()
    task.capability = task.step.task.capability
    task.opened.clear()
    task.input = UNKNOWN
    if task.role != "question":
        task.given = UNKNOWN
    if queue:
        run.ready.append(task.id)
    if task.role == "iteration" and task.parent is not None:
        parent = run.tasks[task.parent]
        parent.status, parent.error = "repeating", None
