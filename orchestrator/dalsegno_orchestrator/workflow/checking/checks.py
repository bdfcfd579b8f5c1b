"""Checks a workflow as a whole and lists everything that is wrong with it, at once.

Works on the document as it was written, so that one fault does not hide the others. Pure; where
in a file a fault stands is added by `authoring`.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

from pydantic import ValidationError

from dalsegno_bus.messages import Json, Problem
from dalsegno_orchestrator.workflow.checking.head import (
    BUDGET_SIGNAL,
    asks_for_money,
    head_problems,
)
from dalsegno_orchestrator.workflow.checking.references import References
from dalsegno_orchestrator.workflow.checking.tasks import task_problems
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition, known_keys
from dalsegno_orchestrator.workflow.grammar.shape import Place, dotted, problems_of

DEPTH_MAX: Final = 64
"""How deeply a document may be nested."""


def check(document: Mapping[str, Json]) -> tuple[WorkflowDefinition | None, list[Problem]]:
    """The definition in this document, and every problem with it.

    The definition is None exactly if there are problems. Faults of shape come first.
    """
    if not _is_readable(document, DEPTH_MAX):
        message = f"every key must be text, and nothing may be nested more than {DEPTH_MAX} deep"
        return None, [Problem(message=message, suggestion="put keys in quotes")]
    problems = list(_not_json(document, ()))
    definition = None
    try:
        definition = WorkflowDefinition.model_validate(document)
    except ValidationError as error:
        problems += problems_of(error, known_keys)
    problems += _meaning(document)
    return (None, problems) if problems else (definition, [])


def _is_readable(value: Json, depth: int) -> bool:
    """Whether the other checks can walk through it."""
    if isinstance(value, Mapping):
        fields = cast("Mapping[Any, Json]", value)
        return depth > 0 and all(
            isinstance(key, str) and _is_readable(field, depth - 1) for key, field in fields.items()
        )
    if isinstance(value, (list, tuple)):
        items = cast("Sequence[Json]", value)
        return depth > 0 and all(_is_readable(item, depth - 1) for item in items)
    return True


def _not_json(value: Json, place: Place) -> Iterator[Problem]:
    """What no JSON document can hold: dates and other objects, infinite numbers."""
    if isinstance(value, Mapping):
        for key, field in cast("Mapping[str, Json]", value).items():
            yield from _not_json(field, (*place, key))
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(cast("Sequence[Json]", value)):
            yield from _not_json(item, (*place, index))
    elif isinstance(value, float) and not math.isfinite(value):
        yield Problem(
            message=f"{value} is no number in JSON",
            path=dotted(place),
            suggestion=f'write "{value}"',
        )
    elif value is not None and not isinstance(value, (bool, int, float, str)):
        yield Problem(
            message=f"a {type(value).__name__} cannot be part of a workflow",
            path=dotted(place),
            suggestion="write it as text",
        )


def _meaning(document: Mapping[str, Json]) -> Iterator[Problem]:
    """What is wrong beside the shape."""
    yield from head_problems(document)
    tasks: dict[str, Mapping[str, Json]] = {}
    written = document.get("tasks")
    if not isinstance(written, Mapping):
        return
    for name, task in cast("Mapping[str, Json]", written).items():
        if isinstance(task, Mapping):
            tasks[name] = cast("Mapping[str, Json]", task)
            yield from task_problems(name, tasks[name])
        else:
            tasks[name] = {}  # named as a fault of shape; others may refer to it all the same
    yield from _signal_problems(tasks, reserved=asks_for_money(document))
    yield from References(tasks).problems(document.get("fair_by"), document.get("output"))


def _signal_problems(
    tasks: Mapping[str, Mapping[str, Json]], *, reserved: bool
) -> Iterator[Problem]:
    """Whether it is clear of every signal what it means: a run takes it by its name alone."""
    first: dict[str, tuple[str, Json]] = {}
    for name, task in tasks.items():
        wait = task.get("wait")
        if not isinstance(wait, Mapping):
            continue
        fields = cast("Mapping[str, Json]", wait)
        signal: Json = fields.get("signal")
        payload: Json = fields.get("payload", {})
        if not isinstance(signal, str):
            continue
        place = ("tasks", name, "wait", "signal")
        if reserved and signal == BUDGET_SIGNAL:
            yield Problem(
                message=f"the signal {signal!r} is the answer to a budget that is used up",
                path=dotted(place),
                suggestion="wait for a signal of another name",
            )
        other, expected = first.setdefault(signal, (name, payload))
        if payload != expected:
            yield Problem(
                message=f"{other!r} waits for {signal!r} too, with another payload",
                path=dotted(place),
                suggestion="use the same schema for both, or two signals",
            )
