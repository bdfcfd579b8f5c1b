"""Whether a run that is under way can follow another version of its workflow. Pure.

Knows which steps have begun and nothing else of a run; what it says is complete.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from dalsegno_bus.messages import Problem
from dalsegno_orchestrator.workflow.grammar.definition import TaskDefinition
from dalsegno_orchestrator.workflow.plan import Plan, Step

_FIXED: Final = (
    ("capability", "capability"),
    ("workflow", "sub-workflow"),
    ("input", "input"),
    ("foreach", "foreach"),
    ("repeat", "repeat"),
    ("dynamic", "dynamic"),
    ("sleep", "sleep"),
    ("agent", "agent"),
    ("requires", "requires"),
)
"""What an open task must keep, and what messages call it."""


def migration_problems(old: Plan, new: Plan, *, begun: Mapping[str, bool]) -> list[Problem]:
    """Every reason why a run cannot follow `new` from now on; empty if it can.

    Args:
        old: What it follows now.
        new: The other version.
        begun: The steps that have begun, True for one that is still open.
    """
    problems: list[Problem] = []
    if old.definition.workflow != new.definition.workflow:
        message = f"it is another workflow: {new.definition.workflow!r}"
        problems.append(Problem(message=message, path="workflow", suggestion="start a new run"))
    for name, is_open in begun.items():
        before, after = old.steps.get(name), new.steps.get(name)
        if before is None:
            continue  # an item, or another task that no definition names
        if after is None:
            problems.append(
                Problem(
                    message=f"{name!r} has begun, and the new version has no such task",
                    path=f"tasks.{name}",
                    suggestion="rewind the run to before it, or keep the task",
                )
            )
            continue
        problems += _incompatible(before, after, begun, is_open=is_open)
    return problems


def _incompatible(
    before: Step, after: Step, begun: Mapping[str, bool], *, is_open: bool
) -> Iterator[Problem]:
    """Why a step that has begun cannot go on, or be counted as done, in the new version."""
    name = before.id
    was, would_be = kind_of(before.task), kind_of(after.task)
    if was != would_be:
        yield _refused(name, "", f"is {was} and has begun; it would become {would_be}")
        return
    if before.fallback_of != after.fallback_of:
        yield _refused(name, "", f"has begun {_role(before)}; it would be there {_role(after)}")
    waits = sorted(need for need in after.needs - before.needs if begun.get(need, True))
    if waits:
        text = f"has begun, and would have to wait for {listed(waits)}, which is not over"
        yield _refused(name, "", text)
    lost = before.needs - after.needs
    if is_open and before.task.dynamic is not None and any(begun.get(need, True) for need in lost):
        yield _refused(name, "", f"goes on with the plan that it made: {listed(lost)}")
    if is_open:
        yield from _changed_while_open(before.task, after.task, name)


def _changed_while_open(
    before: TaskDefinition, after: TaskDefinition, name: str
) -> Iterator[Problem]:
    for key, shown in _FIXED:
        if getattr(before, key) != getattr(after, key):
            yield _refused(name, key, f"is under way, and its {shown} would change")
    if before.wait is not None and after.wait is not None:
        if before.wait.signal != after.wait.signal:
            text = f"waits for the signal {before.wait.signal!r}, and would for "
            yield _refused(name, "wait.signal", f"{text}{after.wait.signal!r}")
        if before.wait.payload != after.wait.payload:
            text = "waits for a signal, and the schema of its payload would change"
            yield _refused(name, "wait.payload", text)
        if before.wait.escalate != after.wait.escalate:
            text = "waits for a signal, and its escalations would change"
            yield _refused(name, "wait.escalate", text)


def kind_of(task: TaskDefinition) -> str:
    """What the task is, in words: how it runs, and who does it."""
    if task.wait is not None:
        return "a wait"
    if task.sleep is not None:
        return "a sleep"
    kind = "a sub-workflow" if task.workflow is not None else "a task for an agent"
    if task.foreach is not None:
        return f"{kind} with foreach"
    if task.repeat is not None:
        return f"{kind} with repeat"
    return f"{kind} that plans" if task.dynamic is not None else kind


def _role(step: Step) -> str:
    return f"as the fallback of {step.fallback_of!r}" if step.is_fallback else "by itself"


def _refused(name: str, key: str, text: str) -> Problem:
    return Problem(
        message=f"{name!r} {text}",
        path=f"tasks.{name}.{key}" if key else f"tasks.{name}",
        suggestion="wait until it is done, or rewind the run to before it",
    )


def listed(names: Iterable[str]) -> str:
    """Names in quotes, in alphabetical order."""
    return ", ".join(repr(name) for name in sorted(names)) or "nothing"
