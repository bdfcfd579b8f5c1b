"""What a workflow is: the model that YAML files and Python builders both make.

The model holds the shape: names, types, ranges; `terms` has its words and `policies` the keys with
keys of their own. What several keys mean together (references, cycles, expressions) is the matter
of `checks`. Frozen; durations are `float` seconds.
"""

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, ValidationError

from dalsegno_bus.errors import UsageError
from dalsegno_bus.messages import Json
from dalsegno_orchestrator.workflow.grammar.policies import (
    CANCEL_GRACE_SECONDS,
    PRIORITY_DEFAULT,
    TASK_TIMEOUT_SECONDS,
    Budget,
    Compensation,
    Dynamic,
    Escalation,
    Fallback,
    Limits,
    OnError,
    Repeat,
    Retry,
    RetryOf,
    Rung,
    Schedule,
    SharedKey,
    Wait,
    Weights,
    shared_key,
)
from dalsegno_orchestrator.workflow.grammar.shape import Unfit, problems_of
from dalsegno_orchestrator.workflow.grammar.terms import (
    AgentName,
    CapabilityName,
    ContextKey,
    Duration,
    Expression,
    Frozen,
    LabelMap,
    PositiveDuration,
    QuotaName,
    TaskName,
    Whole,
    WorkflowName,
    positive_duration,
)


def _foreach(value: Any) -> Any:
    if value is not None and type(value) not in {str, list}:
        raise Unfit("it must be a list, or an expression that gives one", "as ${ input.items }")
    return value


def _hedge(value: Any) -> Any:
    if isinstance(value, str) and value != "p95" and value.lower().startswith("p"):
        raise Unfit(f"{value!r} is no time after which to hedge", "write p95, or a duration as 30s")
    return value if value is None or value == "p95" else positive_duration(value)


class TaskDefinition(Frozen):
    """One step: exactly one of `capability`, `workflow`, `wait` and `sleep` is set."""

    capability: CapabilityName | None = None
    workflow: WorkflowName | None = None
    """A run of its own, whose output is the task's."""
    workflow_version: Annotated[Whole, Field(ge=1, le=2**31 - 1)] | None = None
    """None: the newest when the task begins."""
    wait: Wait | None = None
    sleep: Duration | None = None
    input: Json = Field(default_factory=dict[str, Json])
    """What the agent gets; a template."""
    after: tuple[TaskName, ...] = ()
    """Tasks to wait for beside those that are referred to."""
    when: Expression | None = None
    """A condition: where it does not hold, the task is skipped and its output is null."""
    foreach: Annotated[Json, BeforeValidator(_foreach)] = None
    """A list, or a template that gives one: the task runs once for each item."""
    max_parallel: Annotated[Whole, Field(ge=1, le=100_000)] | None = None
    """How many items at the same time; None: all."""
    repeat: Repeat | None = None
    dynamic: Dynamic | None = None
    requires: LabelMap = Field(default_factory=dict[str, str])
    """Labels that an agent must have."""
    prefer: LabelMap = Field(default_factory=dict[str, str])
    """Labels that make an agent the better choice."""
    retry: Retry = Retry()
    timeout: PositiveDuration = TASK_TIMEOUT_SECONDS
    """For one attempt, from start to end."""
    queue_timeout: PositiveDuration | None = None
    """For an attempt that nobody has begun; None: no limit."""
    heartbeat_timeout: PositiveDuration | None = None
    """Between two signs of progress from the handler; None: none are asked for."""
    agent: AgentName | None = None
    """The only agent that may do it."""
    same_agent_as: TaskName | None = None
    """A task whose agent is the better choice for this one; it is waited for."""
    reroute: tuple[Rung, ...] = ()
    """What is tried when the retry policy allows no further attempt, in this order."""
    hedge_after: Annotated[float | Literal["p95"] | None, BeforeValidator(_hedge)] = None
    """A second attempt begins elsewhere after this time, or when all but 5 % would be done."""
    priority: Annotated[Whole, Field(ge=0, le=9)] = PRIORITY_DEFAULT
    """Of tasks that wait, 9 goes before 0; the longer one waits, the higher it counts."""
    quota: dict[QuotaName, Json] = Field(default_factory=dict[str, Json])
    """What it takes of shared quotas: numbers, or expressions that give them."""
    compensate: Compensation | None = None
    on_error: OnError = "fail"
    """What a failure for good means: the run fails, the output is null, or another task runs."""

    @property
    def fallback(self) -> str | None:
        """The task that runs instead of this one, if there is such a task."""
        return self.on_error.fallback if isinstance(self.on_error, Fallback) else None


class WorkflowDefinition(Frozen):
    """A named, versioned workflow. Two with the same digest mean the same."""

    workflow: WorkflowName
    """Its name."""
    version: Annotated[Whole, Field(ge=1, le=2**31 - 1)] = 1
    input: dict[str, Json] = Field(default_factory=dict[str, Json])
    """JSON Schema (2020-12) of a run's input."""
    deadline: PositiveDuration | None = None
    """For a whole run."""
    cancel_grace: Duration = CANCEL_GRACE_SECONDS
    """How long attempts may take to stop when their run is cancelled, or fails and is undone."""
    budget: Budget | None = None
    assignment: Weights = Weights()
    limits: Limits = Limits()
    fair_by: Expression | None = None
    """Over `input`: runs with the same value share their turn among those that wait."""
    context: dict[ContextKey, Annotated[SharedKey, BeforeValidator(shared_key)]] = Field(
        default_factory=dict[str, SharedKey]
    )
    schedule: Schedule | None = None
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


_MODELS: Final[Mapping[str, type[Frozen]]] = {
    "retry": Retry,
    "wait": Wait,
    "on_error": Fallback,
    "repeat": Repeat,
    "dynamic": Dynamic,
    "compensate": Compensation,
    "budget": Budget,
    "assignment": Weights,
    "limits": Limits,
    "schedule": Schedule,
    "escalate": Escalation,
    "by_code": RetryOf,
    "context": SharedKey,
}
"""The keys of the grammar that have keys of their own."""


def known_keys(path: tuple[str | int, ...]) -> tuple[str, ...]:
    """The keys that a definition may have at this place; empty where any key may stand."""
    match path:
        case ():
            model: type[Frozen] | None = WorkflowDefinition
        case ("tasks", _):
            model = TaskDefinition
        case ("budget" | "assignment" | "limits" | "schedule",) | ("context", _):
            model = _MODELS[str(path[0])]
        case ("tasks", _, "wait", "escalate", _) | ("tasks", _, *_, "by_code", _):
            model = _MODELS[str(path[-2])]
        case ("tasks", _, "compensate", "retry"):
            model = Retry
        case ("tasks", _, str(key)):
            model = _MODELS.get(key)
        case _:
            model = None
    return () if model is None else tuple(model.model_fields)
