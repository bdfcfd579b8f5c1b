"""What the tasks of a workflow have to do with each other, checked: names, expressions, cycles.

Works on the document as it was written and lists every fault; parts whose shape is wrong are
passed over, because `checks` names them anyway.
"""

from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Final, cast

from dalsegno_bus.messages import Json, Problem
from dalsegno_orchestrator.workflow.cel.expressions import Template
from dalsegno_orchestrator.workflow.checking.sight import NOTHING, UNTIL, Sight, sight_of, unseen
from dalsegno_orchestrator.workflow.grammar.shape import Place, did_you_mean, dotted

_RUN_FIELDS: Final = ("id", "workflow", "version")
_RUN_ROOTS: Final = frozenset({"tasks", "context", "run"})
_WITHOUT_AGENT: Final = ("workflow", "wait", "sleep")
_A_CONDITION: Final = "a condition is exactly one expression"
_A_LIST: Final = "foreach needs a list, or exactly one expression that gives one"
_AN_AMOUNT: Final = "what is taken of a quota is a number, or exactly one expression that gives one"
_NAMES_SHOWN_MAX: Final = 12


class References:
    """The tasks of one document and what they refer to.

    Args:
        tasks: By name, the task as it was written.
    """

    def __init__(self, tasks: Mapping[str, Mapping[str, Json]]) -> None:
        self._tasks = tasks
        self._problems: list[Problem] = []
        self._needs: dict[str, dict[str, None]] = {name: {} for name in tasks}
        """By task, the tasks that it waits for, in order of appearance."""
        self._owners: dict[str, str] = {}
        """By fallback, the first task that it stands in for."""
        for name, task in tasks.items():
            fallback = _fallback_of(task)
            if fallback is not None and fallback != name:
                self._owners.setdefault(fallback, name)

    def problems(self, fair_by: Json, output: Json) -> list[Problem]:
        """Everything that is wrong: task by task, then the workflow's own keys, then cycles."""
        for name, task in self._tasks.items():
            self._check_task(name, task)
        if isinstance(fair_by, str):
            self._check_fair_by(fair_by)
        self._check_template("", ("output",), output, NOTHING)
        self._check_cycles()
        return self._problems

    def _found(self, place: Place, message: str, suggestion: str | None = None) -> None:
        self._problems.append(Problem(message=message, path=dotted(place), suggestion=suggestion))

    def _check_task(self, name: str, task: Mapping[str, Json]) -> None:
        place = ("tasks", name)
        sight = sight_of(task)
        self._check_template(name, (*place, "input"), task.get("input"), sight.inside)
        self._check_begin(name, task, sight.before)
        until = _mapping(task.get("repeat")).get("until")
        if isinstance(until, str):
            self._check_expression(name, (*place, "repeat", "until"), until, UNTIL, _A_CONDITION)
        self._check_beside(name, task, sight.inside)
        same = task.get("same_agent_as")
        if isinstance(same, str):
            self._check_same_agent(name, same)
        fallback = _fallback_of(task)
        if fallback is not None:
            self._check_fallback(name, fallback)

    def _check_begin(self, name: str, task: Mapping[str, Json], before: Sight) -> None:
        """What decides that the task begins, and for which items."""
        place = ("tasks", name)
        when, foreach = task.get("when"), task.get("foreach")
        if isinstance(when, str):
            self._check_expression(name, (*place, "when"), when, before, _A_CONDITION)
        if isinstance(foreach, str):
            self._check_expression(name, (*place, "foreach"), foreach, before, _A_LIST)
        elif isinstance(foreach, list):
            listed = cast("list[Json]", foreach)
            self._check_template(name, (*place, "foreach"), listed, before)
        for index, target in enumerate(_sequence(task.get("after"))):
            if isinstance(target, str):
                self._check_target(name, target, (*place, "after", index))

    def _check_beside(self, name: str, task: Mapping[str, Json], inside: Sight) -> None:
        """What is asked for beside the task itself: quotas, its undoing, its escalations."""
        place = ("tasks", name)
        for quota, amount in _mapping(task.get("quota")).items():
            if isinstance(amount, str):
                self._check_expression(name, (*place, "quota", quota), amount, inside, _AN_AMOUNT)
        undoing = _mapping(task.get("compensate")).get("input")
        self._check_template(name, (*place, "compensate", "input"), undoing, inside, own=True)
        for index, escalation in enumerate(_sequence(_mapping(task.get("wait")).get("escalate"))):
            at = (*place, "wait", "escalate", index, "input")
            self._check_template(name, at, _mapping(escalation).get("input"), NOTHING)

    # --- expressions --------------------------------------------------------------------------

    def _check_expression(
        self, owner: str, place: Place, text: str, sight: Sight, wanted: str
    ) -> Template | None:
        """Check a text that has to be exactly one expression; None if it cannot be used."""
        template = self._check_template(owner, place, text.strip(), sight)
        if template is not None and not template.is_expression:
            self._found(place, wanted, _wrapped(text))
            return None
        return template

    def _check_fair_by(self, text: str) -> None:
        wanted = "fair_by is exactly one expression over input"
        template = self._check_expression("", ("fair_by",), text, NOTHING, wanted)
        roots = template.roots if template is not None else frozenset[str]()
        for root in sorted(roots & _RUN_ROOTS):
            message = f"fair_by sees only input, not {root!r}"
            self._found(("fair_by",), message, "use a field of input: ${ input.tenant }")

    def _check_template(
        self, owner: str, place: Place, value: Json, sight: Sight, *, own: bool = False
    ) -> Template | None:
        """Check every expression in `value`; None if one of them cannot be read.

        Args:
            owner: The task that it belongs to, or empty.
            place: Where it stands in the document.
            value: A template.
            sight: What it sees beside input, tasks, context and run.
            own: Whether it sees the output of `owner` itself.
        """
        template, faults = Template.parse(value)
        for fault in faults:
            suggestion = did_you_mean(fault.name, fault.known) if fault.name else None
            if fault.name in self._tasks:
                suggestion = f"did you mean 'tasks.{fault.name}'?"
            elif suggestion is None and fault.known:
                suggestion = f"known are {', '.join(fault.known)}"
            self._found((*place, *fault.path), fault.message, suggestion)
        targets: dict[tuple[Place, str], None] = {}
        for at, path in template.references:
            where = (*place, *at)
            root, field = str(path[0]), str(path[1]) if len(path) > 1 else ""
            if root == "tasks" and field:
                targets[where, field] = None
            elif root == "run" and field and field not in _RUN_FIELDS:
                listed = f"it has {', '.join(_RUN_FIELDS)}"
                suggestion = did_you_mean(field, _RUN_FIELDS) or listed
                self._found(where, f"run has no field {field!r}", suggestion)
            elif not sight.sees(root):
                self._found(where, *unseen(root, sight))
        for where, target in targets:
            if not (own and target == owner):
                self._check_target(owner, target, where)
        return None if faults else template

    # --- tasks that refer to tasks ------------------------------------------------------------

    def _check_target(self, owner: str, target: str, place: Place) -> None:
        """Whether `owner` may wait for `target`; if so, it does."""
        stands_for = self._owners.get(target)
        if target not in self._tasks:
            self._found(place, f"there is no task {target!r}", self._similar(target))
        elif target == owner:
            self._found(
                place,
                "a task cannot wait for itself, nor use its own output",
                "refer to another task",
            )
        elif stands_for is not None:
            instead = f"refer to {stands_for!r}: it gives the output of {target!r} when it fails"
            self._found(
                place,
                f"{target!r} runs only as the fallback of {stands_for!r}",
                "remove the reference" if owner == stands_for else instead,
            )
        elif owner and self._owners.get(owner) == target:
            self._found(
                place,
                f"{owner!r} is the fallback of {target!r}, which has no output when it fails",
                "use what the failed task used",
            )
        elif owner:
            self._needs[owner][target] = None

    def _check_same_agent(self, name: str, target: str) -> None:
        place = ("tasks", name, "same_agent_as")
        if target == name:
            message = "a task always has the same agent as itself"
            self._found(place, message, "name another task with a capability")
            return
        self._check_target(name, target, place)
        other = self._tasks.get(target)
        if other is not None and any(other.get(kind) is not None for kind in _WITHOUT_AGENT):
            message = f"{target!r} has no capability, so no agent does it"
            self._found(place, message, "name a task with a capability")

    def _check_fallback(self, name: str, fallback: str) -> None:
        place = ("tasks", name, "on_error", "fallback")
        if fallback not in self._tasks:
            self._found(place, f"there is no task {fallback!r}", self._similar(fallback))
        elif fallback == name:
            self._found(
                place,
                "a task cannot be its own fallback",
                "use retry to try again, or name another task",
            )
        elif self._tasks[name].get("foreach") is not None:
            self._found(
                place,
                "one fallback cannot stand in for the items of a foreach",
                "use on_error: continue, which makes the output of a failed item null",
            )
        elif self._owners[fallback] != name:
            other = self._owners[fallback]
            message = f"{fallback!r} is the fallback of {other!r} already"
            self._found(place, message, "give each of the two a fallback of its own")
        elif _fallback_of(self._tasks[fallback]) is not None:
            self._found(
                ("tasks", fallback, "on_error"),
                f"{fallback!r} is the fallback of {name!r} and cannot have a fallback itself",
                "use fail or continue here",
            )

    def _check_cycles(self) -> None:
        waits = {name: dict(needs) for name, needs in self._needs.items()}
        for fallback, owner in self._owners.items():
            if fallback in waits:
                waits[owner][fallback] = None
        for circle in _circles(waits):
            self._found(
                ("tasks", circle[0]),
                f"these tasks wait for each other in a circle: {' -> '.join(circle)}",
                "remove one of these references",
            )

    def _similar(self, name: str) -> str:
        known = list(self._tasks)
        more = ", …" if len(known) > _NAMES_SHOWN_MAX else ""
        listed = f"the tasks are {', '.join(known[:_NAMES_SHOWN_MAX])}{more}"
        return did_you_mean(name, known) or listed


def _fallback_of(task: Mapping[str, Json]) -> str | None:
    fallback = _mapping(task.get("on_error")).get("fallback")
    return fallback if isinstance(fallback, str) else None


def _mapping(value: Json) -> Mapping[str, Json]:
    return cast("Mapping[str, Json]", value) if isinstance(value, Mapping) else {}


def _sequence(value: Json) -> Sequence[Json]:
    return cast("Sequence[Json]", value) if isinstance(value, (list, tuple)) else ()


def _wrapped(text: str) -> str | None:
    """The same text as an expression, if there is none in it yet."""
    return f'write "${{ {text.strip()} }}"' if text.strip() and "${" not in text else None


def _circles(waits: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Circles among tasks, no task in two of them; each begins and ends with its first task."""
    rest = {name: list(needs) for name, needs in waits.items()}
    order = {name: position for position, name in enumerate(waits)}
    found: list[list[str]] = []
    while True:
        try:
            TopologicalSorter(rest).prepare()
        except CycleError as error:
            circle = cast("list[str]", error.args[1])[:0:-1]  # it lists who is waited for first
            start = circle.index(min(circle, key=lambda name: order[name]))
            found.append([*circle[start:], *circle[:start], circle[start]])
            rest = {
                name: [need for need in needs if need not in circle]
                for name, needs in rest.items()
                if name not in circle
            }
        else:
            return sorted(found, key=lambda circle: order[circle[0]])
