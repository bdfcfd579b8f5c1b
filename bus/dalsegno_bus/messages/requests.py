"""What clients ask of the orchestrator, and what it answers."""

from typing import Literal

from pydantic import Field

from dalsegno_bus.ids import RunId
from dalsegno_bus.messages.base import (
    Failure,
    Json,
    Labels,
    Message,
    ParentRun,
    Problem,
    Usage,
)


class StartRun(Message):
    """Begin this workflow under this id. Sent twice, it begins once."""

    kind: Literal["start-run.v1"] = "start-run.v1"
    run_id: RunId
    workflow: str
    version: int | None = None
    """None: the newest version at the time of acceptance."""
    input: Json = None
    labels: Labels = Field(default_factory=dict[str, str])
    requested_by: str = "unknown"
    parent: ParentRun | None = None
    """Who is told when it ends; set by orchestrators only."""


class SignalRun(Message):
    """Hand a named payload to a run that waits for it, or soon will."""

    kind: Literal["signal-run.v1"] = "signal-run.v1"
    run_id: RunId
    signal: str
    payload: Json = None
    requested_by: str = "unknown"


class CancelRun(Message):
    """End a run early; its running attempts are told."""

    kind: Literal["cancel-run.v1"] = "cancel-run.v1"
    run_id: RunId
    reason: str = ""
    requested_by: str = "unknown"
    parent: ParentRun | None = None
    """Who is told that it has ended, even if it never began; set by orchestrators only."""


class PauseRun(Message):
    """Begin nothing more in this run, and freeze its timers; what is under way goes on."""

    kind: Literal["pause-run.v1"] = "pause-run.v1"
    run_id: RunId
    reason: str = ""
    requested_by: str = "unknown"


class ResumeRun(Message):
    """Go on with a run that was paused; its timers have what was left of them."""

    kind: Literal["resume-run.v1"] = "resume-run.v1"
    run_id: RunId
    requested_by: str = "unknown"


class RetryRun(Message):
    """Have what failed tried again: in a failed run its tasks, else what could not be undone."""

    kind: Literal["retry-run.v1"] = "retry-run.v1"
    run_id: RunId
    tasks: tuple[str, ...] = ()
    """Only these; empty: everything that failed."""
    reason: str = ""
    requested_by: str = "unknown"


class RewindRun(Message):
    """Take a run back to before a task, as if it and all that came of it had never begun."""

    kind: Literal["rewind-run.v1"] = "rewind-run.v1"
    run_id: RunId
    task_id: str
    reason: str = ""
    requested_by: str = "unknown"


class ReplanRun(Message):
    """Change what has not begun in a run: add, drop and change tasks, all of it or nothing."""

    kind: Literal["replan-run.v1"] = "replan-run.v1"
    run_id: RunId
    plan_version: int | None = Field(default=None, ge=1)
    """The plan that this is a change of; None: whatever it is now."""
    add: dict[str, Json] = Field(default_factory=dict[str, Json])
    drop: tuple[str, ...] = ()
    change: dict[str, Json] = Field(default_factory=dict[str, Json])
    """By task, its new definition as a whole."""
    reason: str = ""
    requested_by: str = "unknown"


class MigrateRun(Message):
    """Have a run follow another version of its workflow from now on."""

    kind: Literal["migrate-run.v1"] = "migrate-run.v1"
    run_id: RunId
    version: int | None = None
    """None: the newest."""
    requested_by: str = "unknown"


class ChildOver(Message):
    """A run tells its parent (`run_id`) how it ended. Sent by orchestrators, perhaps twice."""

    kind: Literal["child-over.v1"] = "child-over.v1"
    run_id: RunId
    task_id: str = ""
    attempt: int = 0
    child: RunId
    status: Literal["completed", "failed", "cancelled", "compensation_failed", "rejected"]
    output: Json = None
    error: Failure | None = None
    usage: Usage | None = None


class RegisterWorkflow(Message):
    """Add a definition; the same one again is the same version."""

    kind: Literal["register-workflow.v1"] = "register-workflow.v1"
    definition: dict[str, Json]
    requested_by: str = "unknown"


class PauseSchedule(Message):
    """Let ticks pass without a run until the schedule is resumed."""

    kind: Literal["pause-schedule.v1"] = "pause-schedule.v1"
    workflow: str
    reason: str = ""
    requested_by: str = "unknown"


class ResumeSchedule(Message):
    """Have ticks start runs again."""

    kind: Literal["resume-schedule.v1"] = "resume-schedule.v1"
    workflow: str
    requested_by: str = "unknown"


class SetLimit(Message):
    """Set what may be under way at the same time, and begun in a time; both None: no limit."""

    kind: Literal["set-limit.v1"] = "set-limit.v1"
    limit: str
    """`capability:<name>` or `quota:<name>`."""
    concurrency: float | None = Field(default=None, gt=0.0)
    rate: float | None = Field(default=None, gt=0.0)
    rate_seconds: float = Field(default=60.0, gt=0.0)
    requested_by: str = "unknown"


class Accepted(Message):
    """It is in the event store. A request sent again is answered again."""

    kind: Literal["accepted.v1"] = "accepted.v1"
    run_id: RunId
    workflow: str
    version: int
    status: str
    """How the run stands now; `registered` for a workflow."""


class Rejected(Message):
    """It is not in the event store, and will not be; every reason is listed."""

    kind: Literal["rejected.v1"] = "rejected.v1"
    reasons: tuple[Problem, ...]
