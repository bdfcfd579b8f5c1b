"""The facts of one task: who has it, how its attempts end, what is tried next."""

from datetime import datetime
from typing import ClassVar, Literal

from dalsegno_bus.ids import RunId
from dalsegno_bus.messages import Failure, Json, Usage
from dalsegno_orchestrator.workflow.events.fact import Abandoned, Candidate, Fact, Permit


class TaskAssigned(Fact):
    """An agent has to do this attempt: the history is the outbox."""

    kind: ClassVar[str] = "task-assigned.v1"
    task_id: str
    attempt: int
    agent: str
    capability: str
    candidates: tuple[Candidate, ...] = ()
    reason: str = ""
    hedges: int | None = None
    """The attempt that goes on beside this one; None: there is none."""
    hedge_at: datetime | None = None
    """When another attempt begins elsewhere, if this one is not done by then."""
    permits: tuple[Permit, ...] = ()
    """What it takes of limits, until it is over."""
    context_read: dict[str, int] | None = None
    """Which keys of the shared context its input was made from, with their versions."""
    input: Json = None
    """Set only where it cannot be derived again: when it was read from the shared context."""


class TaskParked(Fact):
    """No agent can do this task now; it goes out as soon as one can."""

    kind: ClassVar[str] = "task-parked.v1"
    task_id: str
    capability: str
    reason: str
    waits_for: str = ""
    """The limit that is used up (`quota:tokens`); empty: an agent."""
    until: datetime | None = None
    """When a rate leaves room again, at the earliest."""


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
    abandoned: tuple[Abandoned, ...] = ()
    """The other attempt of a hedged task: nobody waits for it any more."""
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
    waited_for: Literal["attempt", "queue", "signal", "heartbeat"]
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


class LadderClimbed(Fact):
    """The attempts were used up; the next rung of the task's `reroute` gives it new ones."""

    kind: ClassVar[str] = "ladder-climbed.v1"
    task_id: str
    rung: int
    """From 0, in the order of the definition."""
    capability: str
    """What is asked for from now on."""
    others_only: bool = False
    """Agents that failed it are not asked again."""
    at: datetime | None = None
    """Not before; None: at once."""
    reason: str


class TaskHandedOff(Fact):
    """An attempt ended by handing its task on: an agent with another capability continues."""

    kind: ClassVar[str] = "task-handed-off.v1"
    task_id: str
    attempt: int
    agent: str
    replica: str
    capability: str
    to_capability: str
    input: Json = None
    reason: str = ""
    usage: Usage | None = None
    queue_seconds: float = 0.0
    work_seconds: float = 0.0
    abandoned: tuple[Abandoned, ...] = ()


class AttemptProgressed(Fact):
    """A sign of life of a task with a `heartbeat_timeout`; the next attempt begins from it."""

    kind: ClassVar[str] = "attempt-progressed.v1"
    task_id: str
    attempt: int
    agent: str
    progress: Json = None


class TaskRepeated(Fact):
    """The task runs once more: the task `<task>-<iteration>`, not before `at`."""

    kind: ClassVar[str] = "task-repeated.v1"
    task_id: str
    iteration: int
    """From 0."""
    at: datetime | None = None


class RepeatEnded(Fact):
    """The condition holds: the output of the last time is the task's."""

    kind: ClassVar[str] = "repeat-ended.v1"
    task_id: str
    iterations: int


class ChildStarted(Fact):
    """A run of a sub-workflow does this task."""

    kind: ClassVar[str] = "child-started.v1"
    task_id: str
    attempt: int
    run_id: RunId
    workflow: str
    workflow_version: int | None = None
    input: Json = None
    """Set only where it cannot be derived again: when it was read from the shared context."""


class ChildEnded(Fact):
    """The run of a sub-workflow is over."""

    kind: ClassVar[str] = "child-ended.v1"
    task_id: str
    attempt: int
    run_id: RunId
    status: Literal["completed", "failed", "cancelled", "compensation_failed", "rejected"]
    output: Json = None
    error: Failure | None = None
    final: bool = True
    """No further run of it follows."""
    usage: Usage | None = None
    """What it and its own children cost."""


class QuestionAsked(Fact):
    """An attempt asked another agent: the task `question_id` has the answer as its output."""

    kind: ClassVar[str] = "question-asked.v1"
    task_id: str
    attempt: int
    agent: str
    question_id: str
    capability: str
    input: Json = None
    timeout_seconds: float


class CompensationFailed(Fact):
    """A completed task could not be undone."""

    kind: ClassVar[str] = "compensation-failed.v1"
    task_id: str
    """The task that still stands."""
    error: Failure


class ContextShared(Fact):
    """An attempt set a key of the run's shared context; `key_version` counts from 1."""

    kind: ClassVar[str] = "context-shared.v1"
    task_id: str
    attempt: int
    agent: str
    key: str
    key_version: int
    value: Json = None
    merged: bool = False
    """The value is what the key's rule made of this one and one that the writer had not seen."""


class ContextConflicted(Fact):
    """An attempt wrote a key that somebody else had written since it read it: it has failed."""

    kind: ClassVar[str] = "context-conflicted.v1"
    task_id: str
    attempt: int
    agent: str
    key: str
    base_version: int
    """What it had seen."""
    key_version: int
    """What was there."""
