"""Questions about agents, workflows, schedules, limits, and the views themselves."""

from dalsegno_bus.messages import Json
from dalsegno_projections.questions.base import (
    ROWS_MAX,
    Answer,
    Offset,
    PageLimit,
    Question,
    RunRef,
)


class AskAgents(Question):
    """What has each agent done?"""

    limit: PageLimit = ROWS_MAX
    offset: Offset = 0


class AgentSummary(Answer):
    """One agent, as the history knows it; who is alive now is not in the history."""

    agent: str
    assigned: int
    completed: int
    failed: int
    timed_out: int
    rerouted: int
    handed_off: int = 0
    abandoned: int = 0
    """Attempts that nobody waited for any more; they are no failures."""
    queue_seconds_mean: float | None
    """Over all attempts that it reported on; None: none."""
    work_seconds_mean: float | None
    work_seconds_p50: float | None = None
    """Of all that it ever did well, to about 6 %; None: nothing."""
    work_seconds_p95: float | None = None
    usd: float
    tokens: int
    last_seen_at: str | None


class AgentList(Answer):
    """Every agent that was ever given a task."""

    agents: list[AgentSummary]
    more: bool


class AskWorkflows(Question):
    """Which definitions are registered?"""

    workflow: str | None = None
    """Only this one, and with the definition of `version`."""
    version: int | None = None
    """None: the newest."""
    limit: PageLimit = ROWS_MAX
    offset: Offset = 0


class WorkflowSummary(Answer):
    """One version of one workflow."""

    workflow: str
    version: int
    digest: str
    registered_at: str
    registered_by: str
    steps: int


class WorkflowList(Answer):
    """Every version that was ever registered."""

    workflows: list[WorkflowSummary]
    more: bool
    definition: dict[str, Json] | None
    """Only where one workflow was asked for."""


class AskSchedules(Question):
    """Which schedules are there, and what have they done?"""

    workflow: str | None = None
    """Only this one's."""
    limit: PageLimit = ROWS_MAX
    offset: Offset = 0


class ScheduleSummary(Answer):
    """One schedule. Its next tick follows from the clock, and is not in here."""

    schedule_id: str
    """`AskRuns(parent=…)` with it lists its runs."""
    workflow: str
    workflow_version: int
    cron: str
    timezone: str
    overlap: str
    catchup: str
    state: str
    """`active`, `paused` or `removed`."""
    paused_reason: str | None
    last_tick: str | None
    last_run: str | None
    last_run_status: str | None
    """None: it goes on, or there was none."""
    fired: int
    skipped: int
    queued: int
    set_at: str
    set_by: str
    changed_at: str


class ScheduleList(Answer):
    """Every schedule that was ever set."""

    schedules: list[ScheduleSummary]
    more: bool


class AskLimits(Question):
    """Which limits are set, and who waits for them?"""

    limit: PageLimit = ROWS_MAX
    offset: Offset = 0


class LimitWaiter(Answer):
    """A run with tasks that wait for a limit."""

    run_id: str
    workflow: str
    tasks: int


class LimitSummary(Answer):
    """One limit, as it is set."""

    limit: str
    concurrency: float | None
    rate: float | None
    """How much may begin within `rate_seconds`."""
    rate_seconds: float
    set_at: str
    set_by: str


class LimitWaiters(Answer):
    """Who waits for one limit."""

    limit: str
    """May be one that is not set (a quota nobody set), or that a workflow declares."""
    tasks: int
    runs: list[LimitWaiter]
    """The first ones, by time of their start."""
    runs_total: int


class LimitList(Answer):
    """A page of the limits that are set, and everybody who waits for any."""

    limits: list[LimitSummary]
    more: bool
    waiting: list[LimitWaiters]
    waiting_more: bool = False
    """Whether more runs wait than were looked at."""


class AskLag(Question):
    """How far are the views behind the history?"""


class ViewLag(Answer):
    """One view."""

    view: str
    position: int
    events_max: int
    """How many events it is behind at most: positions may skip numbers."""
    seconds: float | None = None
    """How long ago the oldest event was recorded that it has not taken; 0: it has all. None: that
    event cannot be read."""
    parked: int
    """How many events it could not take, and went on without."""


class ParkedEvent(Answer):
    """An event that a view could not take."""

    view: str
    position: int
    stream_id: str
    version: int
    kind: str
    reason: str
    parked_by: str = ""
    """The version that could not take it."""


class AskParked(Question):
    """Which events could a view, or any view, not take?"""

    view: str | None = None
    limit: PageLimit = 100
    offset: Offset = 0


class ParkedList(Answer):
    """A page of the parked events, by view and position."""

    parked: list[ParkedEvent]
    total: int
    more: bool


class Lag(Answer):
    """Every view, and the first of the parked events."""

    newest_position: int
    views: list[ViewLag]
    parked: list[ParkedEvent]


class AskTrace(Question):
    """Send the trace of this run again, which has ended."""

    run_id: RunRef


class TraceSent(Answer):
    """It was sent."""

    run_id: str
    trace_id: str
    spans: int
