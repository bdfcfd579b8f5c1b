"""How steps begin, come to an end, and let others begin."""

from collections.abc import Mapping
from datetime import datetime

from dalsegno_bus.ids import TaskId, item_id, undo_id
from dalsegno_bus.messages import Json, Usage
from dalsegno_orchestrator.workflow.events import TaskRepeated, TasksExpanded
from dalsegno_orchestrator.workflow.plan import Step
from dalsegno_orchestrator.workflow.run import UNKNOWN, Role, Run, Spent, Task, TaskStatus


def new_task(
    run: Run,
    task_id: TaskId,
    step: Step,
    at: datetime,
    *,
    role: Role = "step",
    parent: TaskId | None = None,
    index: int | None = None,
) -> Task:
    """A task that is heard of for the first time, or again after it was forgotten."""
    before = run.tasks.get(task_id)  # what begins from the start again goes on counting
    task = Task(
        id=task_id,
        step=step,
        role=role,
        parent=parent,
        index=index,
        attempt=run.attempts_before.get(task_id, 0) if before is None else before.attempt,
        capability=step.task.capability,
        changed_at=at,
    )
    run.tasks[task_id] = task
    return task


def move(run: Run, task_id: str, status: TaskStatus, at: datetime) -> Task:
    """The task, moved to this status and out of the lists of its last one."""
    task = run.tasks[TaskId(task_id)]
    match task.status:
        case "assigned":
            run.assigned.pop(task.id, None)
        case "parked":
            run.parked.pop(task.id, None)
        case "delegated":
            run.delegated.pop(task.id, None)
        case "ready" | "repeating" | "planned":
            if run.ready and run.ready[0] == task.id:
                run.ready.popleft()
            elif task.id in run.ready:
                run.ready.remove(task.id)
        case _:
            pass
    task.status = status
    task.is_new = False
    task.changed_at = at
    task.look_at = None
    return task


def make_ready(run: Run, step: Step, at: datetime) -> None:
    """Everything that the step needs is there; a `dynamic` one may have begun before."""
    if run.ending is not None:
        return
    task_id = TaskId(step.id)
    task = run.tasks.get(task_id)
    if task is None:
        new_task(run, task_id, step, at)
    elif task.status == "planned":
        if task_id in run.ready:
            return
    else:
        _join_fallback(run, task)
        return
    run.ready.append(task_id)


def _join_fallback(run: Run, task: Task) -> None:
    """A step that failed needs what its fallback needs: that one's own plan may be done now."""
    fallback = task.step.task.fallback
    stand_in = None if fallback is None else run.tasks.get(TaskId(fallback))
    if stand_in is not None and stand_in.status == "planned" and stand_in.id not in run.ready:
        run.ready.append(stand_in.id)


def expanded(run: Run, event: TasksExpanded, at: datetime) -> None:
    parent = move(run, event.task_id, "expanded", at)
    parent.count = event.count
    if event.items is not None:
        parent.items = list(event.items)
    if event.count == 0:
        resolve(run, parent, [], at)
        return
    begin_items(run, parent, at)


def begin_items(run: Run, parent: Task, at: datetime) -> None:
    """Make as many items ready as may run side by side."""
    if run.ending is not None:
        return
    limit = parent.step.task.max_parallel or parent.count
    while parent.begun < parent.count and parent.begun - parent.done < limit:
        task_id = item_id(parent.step.id, parent.begun)
        new_task(run, task_id, parent.step, at, role="item", parent=parent.id, index=parent.begun)
        run.ready.append(task_id)
        parent.begun += 1


def repeated(run: Run, event: TaskRepeated, at: datetime) -> None:
    parent = move(run, event.task_id, "repeating", at)
    parent.begun = event.iteration + 1
    task = new_task(
        run,
        item_id(parent.step.id, event.iteration),
        parent.step,
        at,
        role="iteration",
        parent=parent.id,
        index=event.iteration,
    )
    if event.at is None:
        run.ready.append(task.id)
    else:
        task.status = "retrying"
        run.look(task, event.at)


def finished(run: Run, task: Task, output: Json, at: datetime) -> None:
    """The task is over, with this output; it completed, was skipped, or may fail."""
    task.output = output
    task.input = UNKNOWN
    if task.status == "completed" and task.step.undo is not None and not task.is_beside:
        run.completed[task.id] = None
    match task.role:
        case "step":
            resolve(run, task, output, at)
        case "item":
            _item_over(run, task, at)
        case "iteration":
            assert task.parent is not None
            run.ready.append(task.parent)
        case "undo":
            assert task.parent is not None
            run.compensated.append(task.parent)
            run.undoing.popleft()
        case "escalation" | "question":
            pass


def _item_over(run: Run, task: Task, at: datetime) -> None:
    assert task.parent is not None
    parent = run.tasks[task.parent]
    parent.done += 1
    if parent.done < parent.count:
        begin_items(run, parent, at)
        return
    outputs = [run.tasks[item_id(parent.step.id, index)].output for index in range(parent.count)]
    resolve(run, parent, outputs, at)


def resolve(run: Run, task: Task, output: Json, at: datetime) -> None:
    """The step is over: what needed it may begin. A fallback resolves whom it stands in for."""
    if task.status == "expanded":
        task.status = "completed"
        task.changed_at = at
    task.output = output
    step = task.step
    run.outputs[step.id] = output
    if step.fallback_of is not None:
        owner = run.tasks[TaskId(step.fallback_of)]
        resolve(run, owner, output, at)
        return
    run.unresolved -= 1
    for dependent in step.dependents:
        after = run.plan.steps[dependent]
        missing = run.missing.get(dependent, len(after.needs)) - 1
        run.missing[dependent] = missing
        if missing == 0:
            make_ready(run, after, at)


def failed_for_good(run: Run, task: Task, at: datetime) -> None:
    """No attempt follows: what its `on_error` says."""
    if task.is_beside:
        return
    if task.role == "iteration":
        assert task.parent is not None
        error = task.error
        task = move(run, task.parent, "failed", at)
        task.error = error
    match task.step.task.on_error:
        case "continue":
            finished(run, task, None, at)
        case _ if run.ending is not None:
            pass  # who retries the run begins it anew
        case "fail":
            run.failing = run.failing or task.id
        case _:
            make_ready(run, run.plan.steps[task.step.task.fallback or ""], at)


def undo_task(run: Run, task_id: str, at: datetime) -> None:
    """The task that undoes a completed one; it begins when its turn comes."""
    about = run.tasks[TaskId(task_id)]
    assert about.step.undo is not None
    new_task(run, undo_id(task_id), about.step.undo, at, role="undo", parent=about.id)


def spend(run: Run, task: Task, usage: Usage | None) -> None:
    """Add what an attempt cost to the run's account."""
    if usage is None:
        return
    run.spent.usd += usage.usd
    run.spent.tokens += usage.tokens
    by_step = run.spent_by.setdefault(task.step.id, Spent())
    by_step.usd += usage.usd
    by_step.tokens += usage.tokens


def outputs_of(run: Run, names: Mapping[str, object]) -> dict[str, Json]:
    """The outputs of these steps, by name; one that was dropped since has none."""
    return {name: run.outputs.get(name) for name in names if name in run.plan.steps}
