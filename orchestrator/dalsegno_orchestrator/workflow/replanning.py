"""A plan that changes while its run goes on: tasks added by an agent, changes made by a person.

Says what the definition becomes, or every reason why it may not. Knows which steps have begun and
nothing else of a run; how many tasks may be added, and whether any agent can do them, is decided
by its rules. Pure.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, cast

from dalsegno_bus.messages import Json, Problem
from dalsegno_orchestrator.workflow.cel.expressions import Template
from dalsegno_orchestrator.workflow.checking.checks import check
from dalsegno_orchestrator.workflow.grammar.definition import TaskDefinition, WorkflowDefinition
from dalsegno_orchestrator.workflow.migration import listed, migration_problems
from dalsegno_orchestrator.workflow.plan import Plan, Step, compile_plan

__all__ = ["adopt_tasks", "migration_problems", "replan_tasks", "replanned", "with_plan"]

# --- a plan made by an agent --------------------------------------------------------------------


def with_plan(
    definition: WorkflowDefinition, owner: str, tasks: Mapping[str, Json], output: Json
) -> tuple[WorkflowDefinition | None, list[Problem]]:
    """The definition after the plan of the `dynamic` task `owner` was accepted.

    Args:
        definition: What the run follows now.
        owner: The task that the plan is the output of; it becomes the join of the added tasks.
        tasks: What is added, by name, in the grammar of a workflow's `tasks`; may be empty.
        output: A template for the owner's output, or None.

    Returns:
        The definition, or None and every reason; paths are those of the plan (`tasks.x.after.0`).
    """
    problems = [_taken(name, owner) for name in tasks if name in definition.tasks]
    if problems:
        return None, problems
    added = dict(tasks)
    document = _joined(definition.to_json(), owner, added)
    grown, found = check(document)
    problems = [
        *_of_plan(found, definition, owner, added),
        *_strange_fallbacks(added, definition.tasks, owner),
    ]
    if problems:
        return None, problems
    grown = grown or adopt_tasks(definition, owner, added)  # some of what is in use is wrong
    problems = list(_output_problems(output, owner, added, compile_plan(grown)))
    return (None, problems) if problems else (grown, [])


def adopt_tasks(
    definition: WorkflowDefinition, owner: str, tasks: Mapping[str, Json]
) -> WorkflowDefinition:
    """What `with_plan` gives, for a plan that it has accepted before; checks nothing."""
    document = _joined(definition.to_json(), owner, tasks)
    return WorkflowDefinition.model_validate(document)


def _joined(document: dict[str, Any], owner: str, added: Mapping[str, Json]) -> dict[str, Any]:
    """The document with these tasks, and `owner` waiting for them.

    It does not wait for a fallback by name: that is done when the task it stands in for is.
    """
    fallbacks = {_fallback_of(task) for task in added.values()}
    join = dict(document["tasks"][owner])
    join["after"] = [*join.get("after", ()), *(name for name in added if name not in fallbacks)]
    return {**document, "tasks": {**document["tasks"], **added, owner: join}}


def _taken(name: str, owner: str) -> Problem:
    return Problem(
        message=f"the workflow has a task {name!r} already",
        path=f"tasks.{name}",
        suggestion=f"call it {owner + '_' + name!r}, for example",
    )


def _of_plan(
    found: Iterable[Problem],
    definition: WorkflowDefinition,
    owner: str,
    added: Mapping[str, Json],
) -> Iterator[Problem]:
    """The problems that the plan brought; what was wrong before is not held against it."""
    problems = list(found)
    before = _problems_of(definition) if problems else set[tuple[str, str]]()
    for problem in problems:
        if (problem.path, problem.message) in before or problem.path.startswith(
            f"tasks.{owner}.after."
        ):
            continue
        if "in a circle: " in problem.message and owner in problem.message.split():
            yield from _circle(problem, owner, added)
        else:
            yield problem


def _circle(problem: Problem, owner: str, added: Mapping[str, Json]) -> Iterator[Problem]:
    """A circle through the owner, told as the mistake that it is."""
    circle = problem.message.partition("in a circle: ")[2].split(" -> ")
    name = next((step for step in circle if step in added), owner)
    yield Problem(
        message=f"{name!r} waits for {owner!r}, which is done only when its plan is: "
        f"{' -> '.join(circle)}",
        path=f"tasks.{name}",
        suggestion=f"put what {owner!r} found out into the input of {name!r}",
    )


def _strange_fallbacks(
    added: Mapping[str, Json], known: Mapping[str, TaskDefinition], owner: str
) -> Iterator[Problem]:
    for name, task in added.items():
        fallback = _fallback_of(task)
        if fallback is not None and fallback in known:
            yield Problem(
                message=f"{fallback!r} is no task of the plan, so it cannot become a fallback",
                path=f"tasks.{name}.on_error.fallback",
                suggestion=f"add a task to the plan of {owner!r} for it",
            )


def _output_problems(
    output: Json, owner: str, added: Mapping[str, Json], grown: Plan
) -> Iterator[Problem]:
    if output is None:
        return
    document = grown.definition.to_json()
    written = {**document, "output": output}
    found = [problem for problem in check(written)[1] if problem.path.startswith("output")]
    yield from found
    if found:
        return
    done = _before(grown.steps, owner)
    for name in sorted(Template.compile(output).tasks - done):
        yield Problem(
            message=f"{name!r} may not be done when the plan of {owner!r} is",
            path="output",
            suggestion=f"refer to tasks of the plan: {', '.join(added) or 'it has none'}",
        )


def _before(steps: Mapping[str, Step], name: str) -> set[str]:
    """All that is done before this step is."""
    found: set[str] = set()
    todo = [name]
    while todo:
        for need in steps[todo.pop()].needs - found:
            found.add(need)
            todo.append(need)
    return found


# --- a plan changed by somebody -----------------------------------------------------------------


def replanned(
    definition: WorkflowDefinition,
    *,
    add: Mapping[str, Json],
    drop: Collection[str],
    change: Mapping[str, Json],
    begun: Collection[str],
) -> tuple[WorkflowDefinition | None, list[Problem]]:
    """The definition after tasks that have not begun were added, dropped and changed.

    Args:
        definition: What the run follows now.
        add: New tasks, by name.
        drop: Names of tasks that go; nothing may refer to them any more.
        change: By name, the whole new definition of a task.
        begun: The steps that have begun; all that they are, and wait for, stays.

    Returns:
        The definition, or None and every reason; paths are those of a workflow (`tasks.x.after`).
    """
    problems = list(_misnamed(definition, add, drop, change, begun))
    if problems:
        return None, problems
    document = _redone(definition.to_json(), add, drop, change)
    if not document["tasks"]:
        return None, [Problem(message="no task would be left", path="tasks")]
    changed, found = check(document)
    problems = list(_of_change(found, definition, drop))
    problems += _lost_joins(definition, drop, change, begun)
    if problems:
        return None, problems
    if changed is None:  # some of what is in use is wrong, and stays so
        changed = replan_tasks(definition, add=add, drop=drop, change=change)
    problems += _disturbed(compile_plan(definition), compile_plan(changed), begun)
    return (None, problems) if problems else (changed, [])


def replan_tasks(
    definition: WorkflowDefinition,
    *,
    add: Mapping[str, Json],
    drop: Collection[str],
    change: Mapping[str, Json],
) -> WorkflowDefinition:
    """What `replanned` gives, for a change that it has accepted before; checks nothing."""
    return WorkflowDefinition.model_validate(_redone(definition.to_json(), add, drop, change))


def _redone(
    document: dict[str, Any],
    add: Mapping[str, Json],
    drop: Collection[str],
    change: Mapping[str, Json],
) -> dict[str, Any]:
    """The document after the change; a `dynamic` task no longer waits for what is dropped."""
    tasks: dict[str, Any] = {}
    for name, task in document["tasks"].items():
        if name in drop:
            continue
        tasks[name] = change.get(name, task)
        if name not in change and task.get("dynamic") is not None and "after" in task:
            tasks[name] = {**task, "after": [need for need in task["after"] if need not in drop]}
    return {**document, "tasks": {**tasks, **add}}


def _misnamed(
    definition: WorkflowDefinition,
    add: Mapping[str, Json],
    drop: Collection[str],
    change: Mapping[str, Json],
    begun: Collection[str],
) -> Iterator[Problem]:
    if not add and not drop and not change:
        yield Problem(message="nothing is added, dropped or changed", suggestion="name a task")
    for name in add:
        if name in definition.tasks:
            yield Problem(
                message=f"there is a task {name!r} already",
                path=f"tasks.{name}",
                suggestion="change it, or give the new one another name",
            )
    for verb, names in (("dropped", drop), ("changed", change)):
        for name in names:
            if name not in definition.tasks:
                yield Problem(
                    message=f"there is no task {name!r} that could be {verb}",
                    path=f"tasks.{name}",
                    suggestion=f"the tasks are {', '.join(definition.tasks)}",
                )
            elif name in begun:
                yield Problem(
                    message=f"{name!r} has begun, so it cannot be {verb}",
                    path=f"tasks.{name}",
                    suggestion="rewind the run to before it, or add another task",
                )
    for name in change:
        if name in drop:
            yield Problem(
                message=f"{name!r} is both dropped and changed",
                path=f"tasks.{name}",
                suggestion="do one of the two",
            )


def _of_change(
    found: Iterable[Problem], definition: WorkflowDefinition, drop: Collection[str]
) -> Iterator[Problem]:
    problems = list(found)
    before = _problems_of(definition) if problems else set[tuple[str, str]]()
    dropped = {f"there is no task {name!r}": name for name in drop}
    for problem in problems:
        name = dropped.get(problem.message)
        if name is not None:
            message = f"this refers to {name!r}, which is dropped"
            yield Problem(
                message=message, path=problem.path, suggestion="change or drop this as well"
            )
        elif (problem.path, problem.message) not in before:
            yield problem


def _lost_joins(
    definition: WorkflowDefinition,
    drop: Collection[str],
    change: Mapping[str, Json],
    begun: Collection[str],
) -> Iterator[Problem]:
    """Where a `dynamic` task that has not begun waits for what is dropped: it was written so."""
    for name, task in definition.tasks.items():
        if task.dynamic is None or name in begun or name in drop or name in change:
            continue
        for index, need in enumerate(task.after):
            if need in drop:
                yield Problem(
                    message=f"this refers to {need!r}, which is dropped",
                    path=f"tasks.{name}.after.{index}",
                    suggestion="change or drop this as well",
                )


def _disturbed(old: Plan, new: Plan, begun: Collection[str]) -> Iterator[Problem]:
    """Steps that have begun and would be something else afterwards."""
    for name in begun:
        before, after = old.steps.get(name), new.steps.get(name)
        if before is None or after is None:
            continue  # an item, or another task that the definition does not name
        if before.fallback_of != after.fallback_of:
            yield Problem(
                message=f"{name!r} has begun, so it cannot become the fallback of "
                f"{after.fallback_of!r}",
                path=f"tasks.{after.fallback_of}.on_error.fallback",
                suggestion="add another task as the fallback",
            )
        more = after.needs - before.needs
        if more:
            fallback = after.task.fallback
            yield Problem(
                message=f"{name!r} has begun, so its fallback {fallback!r} cannot wait for "
                f"{listed(more)}",
                path=f"tasks.{fallback}",
                suggestion=f"let it use only what {name!r} waited for: {listed(before.needs)}",
            )


def _problems_of(definition: WorkflowDefinition) -> set[tuple[str, str]]:
    """What `check` says of a definition that is in use: older versions knew fewer rules."""
    return {(problem.path, problem.message) for problem in check(definition.to_json())[1]}


def _fallback_of(task: Json) -> str | None:
    if not isinstance(task, Mapping):
        return None
    on_error = cast("Mapping[str, Json]", task).get("on_error")
    if not isinstance(on_error, Mapping):
        return None
    fallback = cast("Mapping[str, Json]", on_error).get("fallback")
    return fallback if isinstance(fallback, str) else None
