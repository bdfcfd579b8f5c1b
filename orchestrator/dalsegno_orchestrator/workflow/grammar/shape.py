"""Turns the model's validation errors into sentences that the author of a workflow understands."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final, TypeAlias, TypeGuard, cast

from pydantic import ValidationError

from dalsegno_bus.messages import Problem

Place: TypeAlias = tuple[str | int, ...]

_CLOSE: Final = 0.7
"""How alike two names must be (0 to 1) for one to be a slip of the other."""

_UNION_TAGS: Final = frozenset({"<word>", "<task>", "<wait>", "[key]"})
"""What pydantic adds to a place that does not stand in the document."""

_MISSING: Final = {
    "workflow": "give the workflow a name: `workflow: my-workflow`",
    "tasks": "add `tasks:` with at least one task",
    "signal": "name the signal to wait for: `wait: {signal: approval}`",
    "fallback": "name the task to run instead: `on_error: {fallback: task}`",
    "until": 'say when it ends: `repeat: {until: "${ output.ok }"}`',
    "capability": "name what an agent is asked for: `capability: finance.analyze`",
    "after": "say after how long: `after: 4h`",
    "cron": "say when: `cron: 0 6 * * 1`",
}


class Unfit(ValueError):
    """A value does not fit. pydantic wants a `ValueError`; the suggestion rides along."""

    def __init__(self, message: str, suggestion: str | None = None) -> None:
        super().__init__(message)
        self.suggestion = suggestion


def dotted(place: Iterable[str | int]) -> str:
    """A place in a document as text: `tasks.analyze.after.0`."""
    return ".".join(str(part) for part in place)


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """A suggestion, if `name` looks like a slip of one of the known names."""
    close = get_close_matches(name.lower(), list(known), n=1, cutoff=_CLOSE)
    return f"did you mean {close[0]!r}?" if close else None


def problems_of(
    error: ValidationError, known_keys: Callable[[Place], Sequence[str]]
) -> list[Problem]:
    """Every fault of a validation, as a problem with path, sentence and suggestion.

    Args:
        error: What pydantic raised for a workflow's document.
        known_keys: The keys that may stand at a place.
    """
    problems: dict[tuple[str, str], Problem] = {}
    for fault in error.errors(include_url=False):
        place = tuple(part for part in fault["loc"] if part not in _UNION_TAGS)
        problem = _problem(fault["type"], place, fault, known_keys)
        problems.setdefault((problem.path, problem.message), problem)
    return list(problems.values())


def _problem(
    kind: str, place: Place, fault: Mapping[str, Any], known_keys: Callable[[Place], Sequence[str]]
) -> Problem:
    path = dotted(place)
    if kind == "missing":
        key = str(place[-1])
        return Problem(
            message=f"{key!r} is missing", path=dotted(place[:-1]), suggestion=_MISSING.get(key)
        )
    if kind == "extra_forbidden":
        known = known_keys(place[:-1])
        suggestion = did_you_mean(str(place[-1]), known)
        listed = f"possible here: {', '.join(known)}" if known else None
        return Problem(
            message=f"unknown key {place[-1]!r}", path=path, suggestion=suggestion or listed
        )
    context = cast("dict[str, Any]", fault.get("ctx", {}))
    cause = context.get("error")
    if isinstance(cause, Unfit):
        return Problem(message=str(cause), path=path, suggestion=cause.suggestion)
    message, suggestion = _sentence(kind, fault["input"], context)
    return Problem(message=message or str(fault["msg"]), path=path, suggestion=suggestion)


def _sentence(kind: str, value: object, context: Mapping[str, Any]) -> tuple[str, str | None]:
    """What is wrong, for the types that the model uses; no message for any other."""
    wanted = _WANTED.get(kind)
    if wanted is not None:
        quote = kind == "string_type" and isinstance(value, (bool, int, float))
        text = str(value).lower() if isinstance(value, bool) else str(value)
        return f"it must be {wanted}, not {_shown(value)}", f'write "{text}"' if quote else None
    match kind:
        case "greater_than_equal":
            return f"it must be {context['ge']:g} or more, not {value!r}", None
        case "greater_than":
            return f"it must be more than {context['gt']:g}, not {value!r}", None
        case "literal_error":
            allowed = str(context["expected"]).replace("'", "")
            near = did_you_mean(value, re.findall(r"\w+", allowed)) if _is_text(value) else None
            return f"it must be {allowed}, not {_shown(value)}", near
        case "less_than_equal":
            return f"it must be {context['le']:g} or less, not {value!r}", None
        case "too_short":
            return "a workflow needs at least one task", "add a task with a capability"
        case _:
            return "", None


_WANTED: Final = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a number",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping (`key: value`)",
    "model_type": "a mapping (`key: value`)",
    "model_attributes_type": "a mapping (`key: value`)",
}


def _is_text(value: object) -> TypeGuard[str]:
    return isinstance(value, str)


def _shown(value: object) -> str:
    match value:
        case None:
            return "empty"
        case Mapping():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case str():
            return f"the text {value[:40]!r}"
        case bool():
            return str(value).lower()
        case _:
            return repr(value)[:40]
