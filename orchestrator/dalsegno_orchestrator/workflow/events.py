"""The history's vocabulary: every fact that a run, or a workflow, can have in its past.

Frozen, closed to unknown fields, past tense. `kind` is the stored name: it never changes its
meaning, and moving or renaming a class does not touch it. An event holds what cannot be derived:
an attempt's input follows from the definition and the outputs before it, so it is not stored again.
"""

from datetime import datetime
from typing import Any, ClassVar, Literal, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict, Field

from dalsegno_bus.messages import Failure, Json, Labels, Usage


class Fact(BaseModel):
    """Base of what is stored."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    kind: ClassVar[str]


class Candidate(Fact):
    """An agent that could have had a task, as it stood when the choice was made."""

    kind: ClassVar[str] = "candidate"
    agent: str
    score: float
    """0 to 1; the highest wins (see `assignment`)."""
    open_attempts: int = 0
    live: bool = True


class Abandoned(Fact):
    """An attempt that nobody waits for any more."""

    kind: ClassVar[str] = "abandoned"
    task_id: str
    attempt: int
    agent: str


# --- a run -------------------------------------------------------------------------------------


class RunStarted(Fact):
    """A run was accepted; it stays with this definition."""

    kind: ClassVar[str] = "run-started.v1"
    workflow: str
    workflow_version: int
    definition_digest: str
    input: Json = None
    labels: Labels = Field(default_factory=dict[str, str])


class TaskAssigned(Fact):
    """An agent has to do this attempt: the history is the outbox."""

    kind: ClassVar[str] = "task-assigned.v1"
    task_id: str
    attempt: int
    agent: str
    capability: str
    candidates: tuple[Candidate, ...] = ()
    reason: str = ""
    input: Json = None
    """Set only where it cannot be derived again: when it was read from the shared context."""


class TaskParked(Fact):
    """No agent can do this task now; it goes out as soon as one can."""

    kind: ClassVar[str] = "task-parked.v1"
    task_id: str
    capability: str
    reason: str


class TasksExpanded(Fact):
    """A `foreach` became `count` tasks, `task_id-0` to `task_id-(count-1)`."""

    kind: ClassVar[str] = "tasks-expanded.v1"
    task_id: str
    count: int
    items: tuple[Json, ...] | None = None
    """Set only where they cannot be derived again: when read from the shared context."""


class TaskCompleted(Fact):
    """An attempt's report was the first that counts."""

    kind: ClassVar[str] = "task-completed.v1"
    task_id: str
    attempt: int
    agent: str
    replica: str
    capability: str
    output: Json = None
    usage: Usage | None = None
    queue_seconds: float = 0.0
    work_seconds: float = 0.0


class TaskFailed(Fact):
    """An attempt failed, or the task could not even be asked for (attempt 0)."""

    kind: ClassVar[str] = "task-failed.v1"
    task_id: str
    attempt: int
    agent: str | None = None
    replica: str | None = None
    capability: str = ""
    error: Failure
    retryable: bool
    final: bool
    """No attempt follows: the task's `on_error` decides how the run goes on."""
    usage: Usage | None = None
    queue_seconds: float = 0.0
    work_seconds: float = 0.0


class TaskTimedOut(Fact):
    """Nobody reported in time."""

    kind: ClassVar[str] = "task-timed-out.v1"
    task_id: str
    attempt: int
    agent: str | None = None
    capability: str = ""
    waited_for: Literal["attempt", "queue", "signal"]
    error: Failure
    final: bool


class RetryScheduled(Fact):
    """The task is asked for again, not before `at`."""

    kind: ClassVar[str] = "retry-scheduled.v1"
    task_id: str
    at: datetime
    delay_seconds: float


class TaskRerouted(Fact):
    """An attempt is given up because another agent can do the task and this one cannot."""

    kind: ClassVar[str] = "task-rerouted.v1"
    task_id: str
    attempt: int
    agent: str
    reason: str


class TaskSkipped(Fact):
    """The task's condition did not hold; its output is null."""

    kind: ClassVar[str] = "task-skipped.v1"
    task_id: str
    reason: str


class ContextShared(Fact):
    """An attempt set a key of the run's shared context; `key_version` counts from 1."""

    kind: ClassVar[str] = "context-shared.v1"
    task_id: str
    attempt: int
    agent: str
    key: str
    key_version: int
    value: Json = None


class SignalAwaited(Fact):
    """The run waits for a named signal, until `until` if that is set."""

    kind: ClassVar[str] = "signal-awaited.v1"
    task_id: str
    signal: str
    until: datetime | None = None


class SignalReceived(Fact):
    """A payload came in; the oldest task that waits for this signal takes it, or it is kept."""

    kind: ClassVar[str] = "signal-received.v1"
    signal: str
    payload: Json = None
    message_id: str
    """A copy of the message changes nothing."""
    task_id: str | None = None
    """Who took it; None: kept for whoever waits next."""


class SignalTaken(Fact):
    """A task took a signal that had come before it waited."""

    kind: ClassVar[str] = "signal-taken.v1"
    task_id: str
    signal: str


class TimerSet(Fact):
    """A task sleeps until `at`."""

    kind: ClassVar[str] = "timer-set.v1"
    task_id: str
    at: datetime


class TimerFired(Fact):
    """A task has slept enough."""

    kind: ClassVar[str] = "timer-fired.v1"
    task_id: str


class RunPaused(Fact):
    """Nothing more begins, and timers stand still; what is under way goes on."""

    kind: ClassVar[str] = "run-paused.v1"
    reason: str = ""


class RunResumed(Fact):
    """The run goes on; each timer has what was left of it."""

    kind: ClassVar[str] = "run-resumed.v1"


class RunCompleted(Fact):
    """Every task is done, and this is what came of it."""

    kind: ClassVar[str] = "run-completed.v1"
    output: Json = None


class RunFailed(Fact):
    """The run cannot go on; `abandoned` lists the attempts that were under way."""

    kind: ClassVar[str] = "run-failed.v1"
    task_id: str | None = None
    error: Failure
    abandoned: tuple[Abandoned, ...] = ()


class RunCancelled(Fact):
    """Somebody ended the run; `abandoned` lists the attempts that were under way."""

    kind: ClassVar[str] = "run-cancelled.v1"
    reason: str
    abandoned: tuple[Abandoned, ...] = ()


# --- a workflow --------------------------------------------------------------------------------


class WorkflowRegistered(Fact):
    """A definition was added; a run started under this version stays with it."""

    kind: ClassVar[str] = "workflow-registered.v1"
    workflow: str
    workflow_version: int
    definition_digest: str
    definition: dict[str, Any]


RunEvent: TypeAlias = (
    RunStarted
    | TaskAssigned
    | TaskParked
    | TasksExpanded
    | TaskCompleted
    | TaskFailed
    | TaskTimedOut
    | RetryScheduled
    | TaskRerouted
    | TaskSkipped
    | ContextShared
    | SignalAwaited
    | SignalReceived
    | SignalTaken
    | TimerSet
    | TimerFired
    | RunPaused
    | RunResumed
    | RunCompleted
    | RunFailed
    | RunCancelled
)
Event: TypeAlias = RunEvent | WorkflowRegistered

EVENT_TYPES: dict[str, type[Event]] = {event.kind: event for event in get_args(Event)}
"""Every kind that may be read back."""
