"""A run's history as lines for people: one fact per line, without times and ids.

A line is the kind, whom it is about (task, #attempt, @agent), and what matters of the rest:

    task-completed            two #1 @ada  output={"value": 3}

Left out is what differs from run to run (times, ids, replicas), and what another line says already.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

import orjson

from dalsegno_bus.messages import Failure, Usage
from dalsegno_orchestrator.workflow.events import Abandoned, Event, Parent, Permit

KIND_CHARACTERS: Final = 26
_SUBJECT: Final = ("task_id", "attempt", "agent")
_LEFT_OUT: Final = frozenset({
    *_SUBJECT, "run_id", "message_id", "replica", "candidates", "definition_digest", "definition",
    "workflow_version", "queue_seconds", "work_seconds", "spent_seconds", "retryable",
    "context_read",
})  # fmt: skip
_PLANNED: Final = frozenset({"tasks", "add", "change"})
"""Tasks by name: what they do is enough."""
_WHAT: Final = ("capability", "workflow", "wait", "sleep")
_TICKS: Final = frozenset({"tick", "last"})
"""Moments that follow from a schedule, and not from when something was done."""
_OBVIOUS: Final = "only candidate"
_SAID_BEFORE: Final = frozenset({"task-completed", "task-failed", "task-timed-out"})
"""Their attempt was assigned in a line above, with its capability."""


def history_of(events: Iterable[Event]) -> list[str]:
    """The lines of a history, the oldest fact first."""
    return [line_of(event) for event in events]


def line_of(event: Event) -> str:
    """One fact as one line."""
    kind = kind_of(event)
    words = " ".join(_subject(event))
    details = " ".join(_details(event, kind))
    return f"{kind:<{KIND_CHARACTERS}}{words}{'  ' if words and details else ''}{details}".rstrip()


def kind_of(event: Event) -> str:
    """The kind without its version."""
    return event.kind.partition(".")[0]


def outline_of(events: Iterable[Event]) -> dict[str, list[str]]:
    """By task (empty: the run itself), what happened to it: kinds and outcomes, in their order.

    What two runs of the same story have in common, even if their tasks took turns otherwise or
    went to other agents.
    """
    outline: dict[str, list[str]] = {}
    for event in events:
        words = [kind_of(event)]
        attempt = getattr(event, "attempt", 0)
        if attempt:
            words.append(f"#{attempt}")
        output = getattr(event, "output", None)
        if output is not None:
            words.append(_json(output))
        error = getattr(event, "error", None)
        if isinstance(error, Failure):
            words.append(error.code)
        outline.setdefault(getattr(event, "task_id", None) or "", []).append(" ".join(words))
    return outline


def _subject(event: Event) -> Iterator[str]:
    for name, sign in zip(_SUBJECT, ("", "#", "@"), strict=True):
        value = getattr(event, name, None)
        if value:
            yield f"{sign}{value}"


def _details(event: Event, kind: str) -> Iterator[str]:
    for name, field in type(event).model_fields.items():
        value = getattr(event, name)
        if name in _LEFT_OUT or (name == "capability" and kind in _SAID_BEFORE):
            continue
        if isinstance(value, datetime) and name not in _TICKS:
            continue
        if (
            value == _OBVIOUS
            or value is None
            or value == field.get_default(call_default_factory=True)
        ):
            continue
        if isinstance(value, bool):
            if value:
                yield name.replace("_", " ")
        else:
            yield f"{name}={_value(name, value)}"


def _value(name: str, value: Any) -> str:
    match value:
        case Failure():
            return f'{value.code} "{value.message}"'
        case Usage():
            return _json(value.model_dump(exclude_defaults=True))
        case Parent():
            return value.task_id or "its schedule"
        case dict() if name in _PLANNED:
            return _planned(value)  # pyright: ignore[reportUnknownArgumentType] - a part of a plan
        case tuple():
            return _listed(name, value)  # pyright: ignore[reportUnknownArgumentType] - any tuple
        case datetime():
            return f"{value:%Y-%m-%dT%H:%M}Z"
        case str() if name == "reason" or " " in value:
            return f'"{value}"'
        case str():
            return value
        case float():
            return f"{value:g}"
        case _:
            return _json(value)


def _planned(tasks: Mapping[str, Mapping[str, Any]]) -> str:
    words = (
        f"{name}: {next((task[key] for key in _WHAT if key in task), None)}"
        for name, task in tasks.items()
    )
    return f"{{{', '.join(words)}}}"


def _listed(name: str, values: tuple[Any, ...]) -> str:
    if name == "children":
        return str(len(values))
    words: list[str] = []
    for value in values:
        match value:
            case Abandoned():
                words.append(f"{value.task_id} #{value.attempt} @{value.agent}")
            case Permit():
                words.append(f"{value.limit} {value.amount:g}")
            case str():
                words.append(value)
            case _:
                words.append(_json(value))
    return f"[{', '.join(words)}]"


def _json(value: Any) -> str:
    if isinstance(value, Mapping):
        fields = ", ".join(f'"{key}": {_json(field)}' for key, field in value.items())  # pyright: ignore[reportUnknownVariableType]  # any JSON
        return f"{{{fields}}}"
    if isinstance(value, list):
        return f"[{', '.join(_json(part) for part in value)}]"  # pyright: ignore[reportUnknownVariableType]  # any JSON
    return orjson.dumps(value).decode()
