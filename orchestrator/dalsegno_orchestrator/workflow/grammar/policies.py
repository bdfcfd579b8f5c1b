"""What a task or a workflow may say beside what it does: how to retry, undo, limit, plan, ask.

Each model is one key of the grammar. Frozen; durations are `float` seconds.
"""

from typing import Annotated, Any, Final, Literal, TypeAlias, cast

from pydantic import BeforeValidator, Discriminator, Field, Tag

from dalsegno_bus.messages import Json
from dalsegno_orchestrator.workflow.grammar.shape import Unfit
from dalsegno_orchestrator.workflow.grammar.terms import (
    CapabilityName,
    Duration,
    Expression,
    Frozen,
    LabelMap,
    Number,
    PositiveDuration,
    RateText,
    Share,
    SignalName,
    TaskName,
    Whole,
)

TASK_TIMEOUT_SECONDS: Final = 600.0
"""How long one attempt may take where its task does not say."""
CANCEL_GRACE_SECONDS: Final = 10.0
"""How long attempts may take to stop where the workflow does not say."""
PRIORITY_DEFAULT: Final = 5


# --- when an attempt fails ---------------------------------------------------------------------


class RetryOf(Frozen):
    """What a retry policy says otherwise for one error code; None: as for every error."""

    max_attempts: Annotated[Whole, Field(ge=1, le=100)] | None = None
    delay: Duration | None = None
    factor: Annotated[Number, Field(ge=1.0, le=100.0)] | None = None
    max_delay: Duration | None = None


class Retry(Frozen):
    """When a failed attempt is followed by another one."""

    max_attempts: Annotated[Whole, Field(ge=1, le=100)] = 3
    """The first one counts: 1 means no retry."""
    delay: Duration = 1.0
    """Before the second attempt."""
    factor: Annotated[Number, Field(ge=1.0, le=100.0)] = 2.0
    """By how much each delay is longer than the one before."""
    max_delay: Duration = 60.0
    jitter: Share = 0.2
    """A delay is spread by this share of itself, up and down."""
    never: tuple[str, ...] = ()
    """Error codes after which no attempt follows; `model.*` stands for all that begin so."""
    by_code: dict[str, RetryOf] = Field(default_factory=dict[str, RetryOf])
    """Another policy for some error codes; a longer pattern goes before a shorter one."""


class OtherCapability(Frozen):
    """A rung of a ladder: ask for another capability, with the same input."""

    capability: CapabilityName


class WaitBefore(Frozen):
    """A rung of a ladder: leave the task alone for a while, then begin with all agents anew."""

    wait: PositiveDuration


def _tag_of_rung(value: object) -> str:
    if isinstance(value, str):
        return "<word>"
    is_wait = isinstance(value, WaitBefore) or (isinstance(value, dict) and "wait" in value)
    return "<wait>" if is_wait else "<task>"


def _rung(value: Any) -> Any:
    if isinstance(value, str) and value != "other_agent":
        raise Unfit(f"{value!r} is no way to reroute", _RUNGS)
    if type(value) not in {str, dict, OtherCapability, WaitBefore}:
        raise Unfit("it is no way to reroute", _RUNGS)
    if type(value) is dict and set(cast("dict[str, Any]", value)) not in _KEYS_OF_RUNGS:
        raise Unfit("one way to reroute is exactly one of the three", _RUNGS)
    return cast("Any", value)


_KEYS_OF_RUNGS: Final = ({"capability"}, {"wait"})
_RUNGS: Final = "use other_agent, {capability: …} or {wait: 5m}"

Rung: TypeAlias = Annotated[
    Annotated[Literal["other_agent"], Tag("<word>")]
    | Annotated[OtherCapability, Tag("<task>")]
    | Annotated[WaitBefore, Tag("<wait>")],
    Discriminator(_tag_of_rung),
    BeforeValidator(_rung),
]
"""One step of a ladder, taken when the attempts that the retry policy allows are used up."""


class Fallback(Frozen):
    """Another task, which runs instead of one that failed for good."""

    fallback: TaskName


def _on_error(value: Any) -> Any:
    if isinstance(value, str) and value not in {"fail", "continue"}:
        suggestion = "use fail, continue or {fallback: task}"
        raise Unfit(f"{value!r} is not a way to handle errors", suggestion)
    if type(value) not in {str, dict, Fallback}:
        raise Unfit("it must be fail, continue or {fallback: task}")
    return value


def _tag_of(value: object) -> str:
    return "<word>" if isinstance(value, str) else "<task>"


OnError: TypeAlias = Annotated[
    Annotated[Literal["fail", "continue"], Tag("<word>")] | Annotated[Fallback, Tag("<task>")],
    Discriminator(_tag_of),
    BeforeValidator(_on_error),
]


class Compensation(Frozen):
    """What undoes a completed task when its run fails or is cancelled later.

    `input` sees what the task saw, and its output as `tasks.<its own name>`.
    """

    capability: CapabilityName
    input: Json = Field(default_factory=dict[str, Json])
    requires: LabelMap = Field(default_factory=dict[str, str])
    retry: Retry = Retry()
    timeout: PositiveDuration = TASK_TIMEOUT_SECONDS


# --- what a task does, beside asking an agent once ---------------------------------------------


class Escalation(Frozen):
    """Whom to tell when a signal has not come for so long; nobody waits for the answer."""

    after: PositiveDuration
    capability: CapabilityName
    input: Json = Field(default_factory=dict[str, Json])


class Wait(Frozen):
    """A task that waits for a signal to its run; the signal's payload is its output."""

    signal: SignalName
    timeout: PositiveDuration | None = None
    """None: for as long as the run lives."""
    payload: dict[str, Json] = Field(default_factory=dict[str, Json])
    """JSON Schema (2020-12) of the payload; what does not fit is refused."""
    escalate: tuple[Escalation, ...] = ()
    """In the order of their times."""


class Repeat(Frozen):
    """The task runs again and again, until a condition holds; its output is that of the last time.

    `input` sees `iteration` (from 0) and `previous` (the output of the last time; null at first);
    `until` sees `iteration` and `output`.
    """

    until: Expression
    max: Annotated[Whole, Field(ge=1, le=10_000)] = 10
    """So many times at most; then the task has failed."""
    delay: Duration = 0.0
    """Between two times."""


class Dynamic(Frozen):
    """The task's agent returns a plan: tasks to add to the run."""

    max_tasks: Annotated[Whole, Field(ge=1, le=1_000)] = 50
    """With those that its tasks add in turn."""
    max_depth: Annotated[Whole, Field(ge=1, le=10)] = 3
    """How deeply plans may add plans; 1: its tasks may not."""


# --- who gets it, and when ---------------------------------------------------------------------


class Weights(Frozen):
    """How much each part of an agent's score counts (see `assignment`); only ratios matter."""

    success: Share = 0.30
    idle: Share = 0.25
    speed: Share = 0.10
    steadiness: Share = 0.05
    preferred: Share = 0.10
    thrift: Share = 0.10
    affinity: Share = 0.10


class Limits(Frozen):
    """For all runs of a workflow together."""

    concurrency: Annotated[Whole, Field(ge=1)] | None = None
    """Attempts under way at the same time."""
    rate: RateText | None = None
    """Attempts begun in a time."""


class Budget(Frozen):
    """What one run may cost. At least one of the four is set."""

    usd: Annotated[Number, Field(gt=0.0)] | None = None
    tokens: Annotated[Whole, Field(gt=0)] | None = None
    tasks: Annotated[Whole, Field(gt=0)] | None = None
    """Attempts that agents are asked for."""
    time: PositiveDuration | None = None
    """From the run's start."""
    on_exceeded: Literal["pause", "ask", "stop"] = "pause"
    """`ask` waits for the signal `budget`; `stop` fails the run, with compensation."""


MergeRule: TypeAlias = Literal["last", "reject", "append", "union", "sum", "min", "max", "merge"]
"""What happens to a value that is written over one the writer has not seen (see `sharing`)."""


class SharedKey(Frozen):
    """How one key of a run's shared context is written by several."""

    on_conflict: MergeRule = "last"


def shared_key(value: Any) -> Any:
    """Passes on what the model can judge; a rule without its key is a slip that is easily made."""
    if isinstance(value, str):
        raise Unfit("it must be a mapping", f"write {{on_conflict: {value}}}")
    return value


class Schedule(Frozen):
    """Starts a run at each tick. Exactly one, however many orchestrators there are."""

    cron: str
    """Five fields: minute, hour, day of month, month, day of week."""
    timezone: str = "UTC"
    """An IANA name, such as `Europe/Berlin`."""
    overlap: Literal["skip", "queue", "allow"] = "skip"
    """What a tick does while the run of the tick before goes on."""
    catchup: Literal["none", "one", "all"] = "none"
    """Which of the ticks that were missed are made up for."""
    input: Json = Field(default_factory=dict[str, Json])
    """A run's input, taken as it stands."""
