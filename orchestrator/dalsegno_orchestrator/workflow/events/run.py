"""The facts of a run as a whole: how it begins, stands still, goes back and ends."""

from datetime import datetime
from typing import Any, ClassVar, Literal

from pydantic import Field

from dalsegno_bus.ids import RunId
from dalsegno_bus.messages import Failure, Json, Labels, Usage
from dalsegno_orchestrator.workflow.events.fact import Abandoned, Fact, Parent


class RunStarted(Fact):
    """A run was accepted; it stays with this definition."""

    kind: ClassVar[str] = "run-started.v1"
    workflow: str
    workflow_version: int
    definition_digest: str
    input: Json = None
    parent: Parent | None = None
    """The task it is the sub-workflow of, or the schedule that it is a tick of."""
    labels: Labels = Field(default_factory=dict[str, str])


class RunPaused(Fact):
    """Nothing more begins, and timers stand still; what is under way goes on."""

    kind: ClassVar[str] = "run-paused.v1"
    reason: str = ""
    message_id: str = ""
    """Of the request: a copy of it changes nothing."""


class RunResumed(Fact):
    """The run goes on; each timer has what was left of it."""

    kind: ClassVar[str] = "run-resumed.v1"
    message_id: str = ""
    """Of the request: a copy of it changes nothing."""


class RunCompleted(Fact):
    """Every task is done, and this is what came of it."""

    kind: ClassVar[str] = "run-completed.v1"
    output: Json = None
    abandoned: tuple[Abandoned, ...] = ()
    """Questions and escalations that nobody waits for any more."""


class RunFailed(Fact):
    """The run cannot go on; `abandoned` lists the attempts that were under way."""

    kind: ClassVar[str] = "run-failed.v1"
    task_id: str | None = None
    error: Failure
    abandoned: tuple[Abandoned, ...] = ()
    compensated: tuple[str, ...] = ()
    """What was undone before, in that order."""


class RunCancelled(Fact):
    """Somebody ended the run; `abandoned` lists the attempts that were under way."""

    kind: ClassVar[str] = "run-cancelled.v1"
    reason: str
    abandoned: tuple[Abandoned, ...] = ()
    compensated: tuple[str, ...] = ()
    """What was undone before, in that order."""


class RunEnding(Fact):
    """The run is going to end: what is under way is told to stop, and then it is undone."""

    kind: ClassVar[str] = "run-ending.v1"
    outcome: Literal["failed", "cancelled"]
    task_id: str | None = None
    """The task that sank it."""
    error: Failure
    stopping: tuple[Abandoned, ...] = ()
    """Attempts that may still report, until `until`."""
    children: tuple[RunId, ...] = ()
    """Runs of sub-workflows, which end first."""
    until: datetime


class CompensationStarted(Fact):
    """Completed tasks are undone one after another; each by its own task, `<task>-undo`."""

    kind: ClassVar[str] = "compensation-started.v1"
    tasks: tuple[str, ...]
    """The last completed first."""
    abandoned: tuple[Abandoned, ...] = ()
    """Attempts that did not stop in time."""


class RunCompensationFailed(Fact):
    """The run ended, and not all of it could be undone: a person has to look."""

    kind: ClassVar[str] = "run-compensation-failed.v1"
    outcome: Literal["failed", "cancelled"]
    error: Failure
    compensated: tuple[str, ...] = ()
    uncompensated: tuple[str, ...] = ()
    """What still stands."""
    abandoned: tuple[Abandoned, ...] = ()


class RunReopened(Fact):
    """Somebody has what failed tried again: these tasks begin anew, or their undoing does."""

    kind: ClassVar[str] = "run-reopened.v1"
    tasks: tuple[str, ...]
    undoing: bool = False
    """It is compensations that are tried again."""
    reason: str = ""
    message_id: str = ""
    """Of the request: a copy of it changes nothing."""


class RunRewound(Fact):
    """The run went back to before a task: it and all that came of it are as if never begun."""

    kind: ClassVar[str] = "run-rewound.v1"
    task_id: str
    undone: tuple[str, ...]
    """Every task that had begun and is forgotten, items and questions among them."""
    abandoned: tuple[Abandoned, ...] = ()
    children: tuple[RunId, ...] = ()
    """Runs of sub-workflows that nobody waits for any more; they are cancelled."""
    reason: str = ""
    message_id: str = ""
    """Of the request: a copy of it changes nothing."""


class BudgetExceeded(Fact):
    """The run has used up what it may cost; `spent_…` is the receipt."""

    kind: ClassVar[str] = "budget-exceeded.v1"
    limit: Literal["usd", "tokens", "tasks", "time"]
    allowed: float
    action: Literal["pause", "ask", "stop"]
    spent_usd: float
    spent_tokens: int
    spent_tasks: int
    spent_seconds: float
    by_task: dict[str, float] = Field(default_factory=dict[str, float])
    """The dearest tasks, in the unit of the limit."""


class BudgetRaised(Fact):
    """Somebody answered that the run may cost more; these are the new limits."""

    kind: ClassVar[str] = "budget-raised.v1"
    usd: float | None = None
    tokens: int | None = None
    tasks: int | None = None
    time_seconds: float | None = None
    message_id: str


# --- the plan it follows -----------------------------------------------------------------------


class PlanProposed(Fact):
    """An attempt of a `dynamic` task returned tasks to add; whether they are taken comes next."""

    kind: ClassVar[str] = "plan-proposed.v1"
    task_id: str
    attempt: int
    agent: str
    replica: str
    capability: str
    tasks: dict[str, Any]
    output: Json = None
    """A template: the task's output when all of them are done; None: their outputs, by name."""
    usage: Usage | None = None
    queue_seconds: float = 0.0
    work_seconds: float = 0.0
    abandoned: tuple[Abandoned, ...] = ()


class PlanAccepted(Fact):
    """The tasks that were proposed are part of the run from now on."""

    kind: ClassVar[str] = "plan-accepted.v1"
    task_id: str
    plan_version: int
    """From 1, which is the definition; every change of the plan counts."""


class PlanRejected(Fact):
    """The tasks that were proposed cannot be added; the task has failed."""

    kind: ClassVar[str] = "plan-rejected.v1"
    task_id: str
    attempt: int
    agent: str
    error: Failure
    """Its detail lists every reason."""
    final: bool


class PlanFinished(Fact):
    """Every task of an accepted plan is done; the output follows from theirs."""

    kind: ClassVar[str] = "plan-finished.v1"
    task_id: str


class RunReplanned(Fact):
    """What had not begun was planned anew."""

    kind: ClassVar[str] = "run-replanned.v1"
    plan_version: int
    add: dict[str, Any] = Field(default_factory=dict[str, Any])
    drop: tuple[str, ...] = ()
    change: dict[str, Any] = Field(default_factory=dict[str, Any])
    """By task, its new definition as a whole."""
    reason: str = ""
    message_id: str = ""
    """Of the request: a copy of it changes nothing."""


class RunMigrated(Fact):
    """The run follows another version of its workflow from now on."""

    kind: ClassVar[str] = "run-migrated.v1"
    plan_version: int
    workflow_version: int
    definition_digest: str
    definition: dict[str, Any]
    message_id: str = ""
    """Of the request: a copy of it changes nothing."""
