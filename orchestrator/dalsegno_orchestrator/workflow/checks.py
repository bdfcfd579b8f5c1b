"""Checks a workflow as a whole and lists everything that is wrong with it, at once.

Works on the document as it was written, so that one fault does not hide the others. Pure; where
in a file a fault stands is added by `authoring`.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

from pydantic import ValidationError

from dalsegno_bus.errors import UsageError
from dalsegno_bus.messages import Json, Problem
from dalsegno_orchestrator.workflow.definition import Retry, WorkflowDefinition, known_keys
from dalsegno_orchestrator.workflow.durations import format_duration, parse_duration
from dalsegno_orchestrator.workflow.references import References
from dalsegno_orchestrator.workflow.schema import InputSchema, SchemaInvalid
from dalsegno_orchestrator.workflow.shape import Place, did_you_mean, dotted, problems_of

DEPTH_MAX: Final = 64
"""How deeply a document may be nested."""

_KINDS: Final = ("capability", "wait", "sleep")
_OF_CAPABILITY: Final = (
    "input",
    "foreach",
    "max_parallel",
    "requires",
    "prefer",
    "retry",
    "timeout",
    "queue_timeout",
    "agent",
)
"""What says how an agent is asked, and means nothing where none is."""


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
    schema = document.get("input")
    if isinstance(schema, Mapping):
        yield from _schema_problems(cast("Mapping[str, Json]", schema))
    tasks: dict[str, Mapping[str, Json]] = {}
    written = document.get("tasks")
    if not isinstance(written, Mapping):
        return
    for name, task in cast("Mapping[str, Json]", written).items():
        if isinstance(task, Mapping):
            tasks[name] = cast("Mapping[str, Json]", task)
            yield from _kind_problems(("tasks", name), tasks[name])
            yield from _retry_problems(("tasks", name, "retry"), tasks[name].get("retry"))
        else:
            tasks[name] = {}  # named as a fault of shape; others may refer to it all the same
    yield from References(tasks).problems(document.get("output"))


def _schema_problems(schema: Mapping[str, Json]) -> Iterator[Problem]:
    try:
        InputSchema(schema)
    except SchemaInvalid as error:
        yield Problem(
            message=f"this is not a JSON Schema: {error.reason}",
            path=error.path,
            suggestion=error.suggestion,
        )


def _kind_problems(place: Place, task: Mapping[str, Json]) -> Iterator[Problem]:
    """Whether the task is exactly one thing, and has only keys that mean something for it."""
    kinds = [kind for kind in _KINDS if task.get(kind) is not None]
    if len(kinds) > 1:
        yield Problem(
            message=f"a task does one thing, and this one has {' and '.join(kinds)}",
            path=dotted(place),
            suggestion="keep one, and make another task for the other",
        )
    elif not kinds and not any(did_you_mean(key, _KINDS) for key in task):
        yield Problem(
            message="nothing says what this task does",
            path=dotted(place),
            suggestion=f"give it exactly one of {', '.join(_KINDS)}",
        )
    elif kinds and kinds[0] != "capability":
        yield from _keys_without_agent(place, task, kinds[0])
    elif task.get("max_parallel") is not None and task.get("foreach") is None:
        yield Problem(
            message="max_parallel limits the items of a foreach, and there is none",
            path=dotted((*place, "max_parallel")),
            suggestion="add foreach, or remove max_parallel",
        )


def _keys_without_agent(place: Place, task: Mapping[str, Json], kind: str) -> Iterator[Problem]:
    for key in _OF_CAPABILITY:
        if task.get(key) is None:
            continue
        into_wait = kind == "wait" and key == "timeout"
        yield Problem(
            message=f"{key!r} is for tasks with a capability, and this one has {kind!r}",
            path=dotted((*place, key)),
            suggestion="write wait: {signal: …, timeout: …}" if into_wait else f"remove {key!r}",
        )


def _retry_problems(place: Place, retry: Json) -> Iterator[Problem]:
    if not isinstance(retry, Mapping):
        return
    written, default = cast("Mapping[str, Json]", retry), Retry()
    try:
        delay = parse_duration(written.get("delay", default.delay))
        longest = parse_duration(written.get("max_delay", default.max_delay))
    except UsageError:
        return  # named as a fault of shape
    if delay > longest:
        yield Problem(
            message=f"delay ({format_duration(delay)}) is longer than "
            f"max_delay ({format_duration(longest)})",
            path=dotted((*place, "delay")),
            suggestion=f"set max_delay to {format_duration(delay)} or more",
        )
