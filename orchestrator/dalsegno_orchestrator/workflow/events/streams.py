"""The facts of what is no run: workflows, schedules, limits. Each has a stream of its own."""

from datetime import datetime
from typing import Any, ClassVar, Literal

from pydantic import Field

from dalsegno_bus.ids import RunId
from dalsegno_bus.messages import Json
from dalsegno_orchestrator.workflow.events.fact import Fact


class WorkflowRegistered(Fact):
    """A definition was added; a run started under this version stays with it."""

    kind: ClassVar[str] = "workflow-registered.v1"
    workflow: str
    workflow_version: int
    definition_digest: str
    definition: dict[str, Any]


class ScheduleSet(Fact):
    """From now on, runs of a workflow are started at these times."""

    kind: ClassVar[str] = "schedule-set.v1"
    workflow: str
    workflow_version: int
    cron: str
    timezone: str
    overlap: Literal["skip", "queue", "allow"]
    catchup: Literal["none", "one", "all"]
    input: Json = Field(default_factory=dict[str, Json])


class ScheduleRemoved(Fact):
    """A newer version of the workflow has no schedule."""

    kind: ClassVar[str] = "schedule-removed.v1"
    workflow: str
    workflow_version: int


class SchedulePaused(Fact):
    """Ticks pass without a run until the schedule is resumed."""

    kind: ClassVar[str] = "schedule-paused.v1"
    reason: str = ""


class ScheduleResumed(Fact):
    """Ticks start runs again, from now on."""

    kind: ClassVar[str] = "schedule-resumed.v1"


class TickFired(Fact):
    """The run of a tick is started; its id follows from the tick, so it is one run."""

    kind: ClassVar[str] = "tick-fired.v1"
    tick: datetime
    run_id: RunId


class TickQueued(Fact):
    """The run of the tick before goes on: this one is started after it."""

    kind: ClassVar[str] = "tick-queued.v1"
    tick: datetime


class TickSkipped(Fact):
    """No run is started for this tick, and why."""

    kind: ClassVar[str] = "tick-skipped.v1"
    tick: datetime
    count: int = 1
    """How many ticks from this one on."""
    last: datetime | None = None
    """The last of them; None: there is only this one."""
    reason: str


class ScheduledRunEnded(Fact):
    """The run of a tick is over."""

    kind: ClassVar[str] = "scheduled-run-ended.v1"
    run_id: RunId
    status: str


class LimitSet(Fact):
    """So much at the same time, and so much in a time, for everything that takes of this limit."""

    kind: ClassVar[str] = "limit-set.v1"
    limit: str
    """`capability:<name>` or `quota:<name>`."""
    concurrency: float | None = None
    rate: float | None = None
    """How much may begin within `rate_seconds`."""
    rate_seconds: float = 60.0


class LimitRemoved(Fact):
    """The limit is no more."""

    kind: ClassVar[str] = "limit-removed.v1"
    limit: str
