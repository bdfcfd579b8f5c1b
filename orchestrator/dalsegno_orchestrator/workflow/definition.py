"""What a workflow is: the model that YAML files and Python builders both make.

The model holds the shape: names, types, ranges. What several keys mean together (references,
cycles, expressions) is the matter of `checks`. Frozen; durations are `float` seconds.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Strict,
    Tag,
    ValidationError,
)

from dalsegno_bus.errors import UsageError
from dalsegno_bus.ids import is_token
from dalsegno_bus.messages import Json
from dalsegno_orchestrator.workflow.durations import parse_duration
from dalsegno_orchestrator.workflow.shape import Unfit, problems_of

NAME_CHARACTERS_MAX: Final = 64
LABEL_CHARACTERS_MAX: Final = 256
TASK_TIMEOUT_SECONDS: Final = 600.0
"""How long one attempt may take where its task does not say."""

_TASK_ID: Final = re.compile(r"[a-z][a-z0-9_]*")
_CAPABILITY: Final = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_LABEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]*")
_SIGNAL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def _workflow_name(text: str) -> str:
    better = re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-_")
    return _name(
        text, "a workflow's name", "[a-z0-9][a-z0-9_-]*", fits=is_token(text), better=better
    )


def _task_id(text: str) -> str:
    better = re.sub(r"[^a-z0-9_]+", "_", text.lower()).strip("_0123456789")
    fits = _TASK_ID.fullmatch(text) is not None
    return _name(text, "a task's name", "[a-z][a-z0-9_]*", fits=fits, better=better)


def _agent_name(text: str) -> str:
    better = re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-_")
    return _name(text, "an agent's name", "[a-z0-9][a-z0-9_-]*", fits=is_token(text), better=better)


def _capability(text: str) -> str:
    fits = _CAPABILITY.fullmatch(text) is not None
    pattern = "a dotted name such as finance.analyze"
    return _name(text, "a capability", pattern, fits=fits)


def _signal_name(text: str) -> str:
    fits = _SIGNAL.fullmatch(text) is not None
    return _name(text, "a signal's name", "[A-Za-z0-9][A-Za-z0-9_.-]*", fits=fits)


def _label_name(text: str) -> str:
    fits = _LABEL.fullmatch(text) is not None
    return _name(text, "a label's name", "[A-Za-z0-9][A-Za-z0-9_./-]*", fits=fits)


def _label_value(text: str) -> str:
    if len(text) > LABEL_CHARACTERS_MAX:
        raise Unfit(f"a label has at most {LABEL_CHARACTERS_MAX} characters, not {len(text)}")
    return text


def _name(text: str, what: str, pattern: str, *, fits: bool, better: str = "") -> str:
    if fits and len(text) <= NAME_CHARACTERS_MAX:
        return text
    if fits:
        raise Unfit(f"{what} has at most {NAME_CHARACTERS_MAX} characters, not {len(text)}")
    suggestion = f"for example {better[:NAME_CHARACTERS_MAX]!r}" if better else None
    raise Unfit(f"{text!r} does not fit: {what} must match {pattern}", suggestion)


def _duration(value: object) -> float:
    if value is None:
        raise Unfit("it is empty; write a duration such as 10s, or leave the key out")
    try:
        return parse_duration(value)
    except UsageError as error:
        raise Unfit(str(error)) from None


def _positive_duration(value: object) -> float:
    seconds = _duration(value)
    if seconds == 0:
        raise Unfit("it must be longer than 0; leave the key out if there is no limit")
    return seconds


def _on_error(value: Any) -> Any:
    if isinstance(value, str) and value not in {"fail", "continue"}:
        suggestion = "use fail, continue or {fallback: task}"
        raise Unfit(f"{value!r} is not a way to handle errors", suggestion)
    if type(value) not in {str, dict, Fallback}:
        raise Unfit("it must be fail, continue or {fallback: task}")
    return value


def _foreach(value: Any) -> Any:
    if value is not None and type(value) not in {str, list}:
        raise Unfit("it must be a list, or an expression that gives one", "as ${ input.items }")
    return value


def _when(value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    raise Unfit("it must be an expression", "as ${ size(input.items) > 0 }")


Duration: TypeAlias = Annotated[float, BeforeValidator(_duration)]
"""Seconds, 0 or more; written as text with units or as a number."""

PositiveDuration: TypeAlias = Annotated[float, BeforeValidator(_positive_duration)]
"""Seconds, more than 0."""

Whole: TypeAlias = Annotated[int, Strict()]
Number: TypeAlias = Annotated[float, Strict()]
TaskName: TypeAlias = Annotated[str, AfterValidator(_task_id)]
LabelMap: TypeAlias = dict[
    Annotated[str, AfterValidator(_label_name)], Annotated[str, AfterValidator(_label_value)]
]


class Frozen(BaseModel):
    """Base of what a definition is made of: never changed, closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Retry(Frozen):
    """When a failed attempt is followed by another one."""

    max_attempts: Annotated[Whole, Field(ge=1, le=100)] = 3
    """The first one counts: 1 means no retry."""
    delay: Duration = 1.0
    """Before the second attempt."""
    factor: Annotated[Number, Field(ge=1.0, le=100.0)] = 2.0
    """By how much each delay is longer than the one before."""
    max_delay: Duration = 60.0
    jitter: Annotated[Number, Field(ge=0.0, le=1.0)] = 0.2
    """A delay is spread by this share of itself, up and down."""


class Wait(Frozen):
    """A task that waits for a signal to its run; the signal's payload is its output."""

    signal: Annotated[str, AfterValidator(_signal_name)]
    timeout: PositiveDuration | None = None
    """None: for as long as the run lives."""


class Fallback(Frozen):
    """Another task, which runs instead of one that failed for good."""

    fallback: TaskName


def _tag_of(value: object) -> str:
    return "<word>" if isinstance(value, str) else "<task>"


OnError: TypeAlias = Annotated[
    Annotated[Literal["fail", "continue"], Tag("<word>")] | Annotated[Fallback, Tag("<task>")],
    Discriminator(_tag_of),
    BeforeValidator(_on_error),
]


class TaskDefinition(Frozen):
    """One step: exactly one of `capability`, `wait` and `sleep` is set."""

    capability: Annotated[str, AfterValidator(_capability)] | None = None
    wait: Wait | None = None
    sleep: Duration | None = None
    input: Json = Field(default_factory=dict[str, Json])
    """What the agent gets; a template."""
    after: tuple[TaskName, ...] = ()
    """Tasks to wait for beside those that are referred to."""
    when: Annotated[str | None, BeforeValidator(_when)] = None
    """A condition: where it does not hold, the task is skipped and its output is null."""
    foreach: Annotated[Json, BeforeValidator(_foreach)] = None
    """A list, or a template that gives one: the task runs once for each item."""
    max_parallel: Annotated[Whole, Field(ge=1, le=100_000)] | None = None
    """How many items at the same time; None: all."""
    requires: LabelMap = Field(default_factory=dict[str, str])
    """Labels that an agent must have."""
    prefer: LabelMap = Field(default_factory=dict[str, str])
    """Labels that make an agent the better choice."""
    retry: Retry = Retry()
    timeout: PositiveDuration = TASK_TIMEOUT_SECONDS
    """For one attempt, from start to end."""
    queue_timeout: PositiveDuration | None = None
    """For an attempt that nobody has begun; None: no limit."""
    agent: Annotated[str, AfterValidator(_agent_name)] | None = None
    """The only agent that may do it."""
    on_error: OnError = "fail"
    """What a failure for good means: the run fails, the output is null, or another task runs."""

    @property
    def fallback(self) -> str | None:
        """The task that runs instead of this one, if there is such a task."""
        return self.on_error.fallback if isinstance(self.on_error, Fallback) else None


class WorkflowDefinition(Frozen):
    """A named, versioned workflow. Two with the same digest mean the same."""

    workflow: Annotated[str, AfterValidator(_workflow_name)]
    """Its name."""
    version: Annotated[Whole, Field(ge=1, le=2**31 - 1)] = 1
    input: dict[str, Json] = Field(default_factory=dict[str, Json])
    """JSON Schema (2020-12) of a run's input."""
    deadline: PositiveDuration | None = None
    """For a whole run."""
    tasks: dict[TaskName, TaskDefinition] = Field(min_length=1)
    """In the order in which they were written."""
    output: Json = None
    """A template; the output of a run."""
    labels: LabelMap = Field(default_factory=dict[str, str])
    """Every run carries these."""
    description: str = ""

    @classmethod
    def parse(cls, document: Mapping[str, Json]) -> "WorkflowDefinition":
        """The definition in this document. Only shapes are looked at: `checks.check` finds more.

        Raises:
            UsageError: A key is unknown, missing, or has a value that does not fit; all are named.
        """
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            problems = problems_of(error, known_keys)
            raise UsageError("; ".join(str(problem) for problem in problems)) from None

    def to_json(self) -> dict[str, Any]:
        """The canonical document: no defaults, durations in seconds, tasks in their order."""
        return self.model_dump(mode="json", exclude_defaults=True)

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hexadecimal) of the canonical document with sorted keys."""
        text = json.dumps(self.to_json(), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def known_keys(path: tuple[str | int, ...]) -> tuple[str, ...]:
    """The keys that a definition may have at this place; empty where any key may stand."""
    model: type[Frozen] | None = None
    if not path:
        model = WorkflowDefinition
    elif path[0] == "tasks" and len(path) == 2:
        model = TaskDefinition
    elif path[0] == "tasks" and len(path) == 3:
        model = {"retry": Retry, "wait": Wait, "on_error": Fallback}.get(str(path[2]))
    return () if model is None else tuple(model.model_fields)
