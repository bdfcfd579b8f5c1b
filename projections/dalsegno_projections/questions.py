"""What can be asked of the projections: the questions and answers, as client and server see them.

Each travels as JSON (`asking` has the names on the wire). An answer fits into one message: long
lists come in pages, and say whether there is `more`. What cannot be answered is
`{"error": {"code": …, "message": …}}`. Wherever a run is named, the first 8 or more digits of its
id do, as long as only one run has them.
"""

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from dalsegno_bus.messages import Json, Message

ROWS_MAX: Final = 1_000
"""How many rows one answer has at most."""
ANSWER_BYTES_MAX: Final = 900_000
"""How large an answer may be, to fit into one message with its headers."""

RunRef: TypeAlias = Annotated[str, Field(pattern=r"^[0-9a-fA-F-]{8,36}$")]
"""A run's id, or 8 or more of its first hexadecimal digits."""
PageLimit: TypeAlias = Annotated[int, Field(ge=1, le=ROWS_MAX)]
Offset: TypeAlias = Annotated[int, Field(ge=0, le=2**31)]
Position: TypeAlias = Annotated[int, Field(ge=0, lt=2**63)]


class Question(Message):
    """Base of what is asked."""


class Answer(BaseModel):
    """Base of what is answered; a newer server may add fields."""

    model_config = ConfigDict(frozen=True, extra="ignore")


# --- one run -----------------------------------------------------------------------------------


class AskRun(Question):
    """How does this run stand? Answered with `RunChanged`."""

    run_id: RunRef


class AskRunDetail(Question):
    """All that the views hold of a run, with a page of its tasks."""

    run_id: RunRef
    limit: PageLimit = ROWS_MAX
    offset: Offset = 0


class RunSummary(Answer):
    """One line of a list of runs. Times are ISO 8601 (UTC)."""

    run_id: str
    workflow: str
    workflow_version: int
    status: str
    started_at: str
    changed_at: str
    ended_at: str | None
    started_by: str
    version: int
    """How many events it has."""
    tasks: dict[str, int]
    """How many tasks, by status."""
    waiting_for: dict[str, int]
    """What tasks wait for, and how many."""
    labels: dict[str, str]
    error_code: str | None
    error_message: str | None
    failed_task: str | None
    usd: float
    tokens: int


class TaskSummary(Answer):
    """One task of a run."""

    task_id: str
    step: str
    index: int | None
    status: str
    attempt: int
    agent: str | None
    replica: str | None
    capability: str | None
    reason: str | None
    candidates: list[dict[str, Json]]
    parked_reason: str | None
    retry_at: str | None
    signal: str | None
    until: str | None
    failures: int
    error_code: str | None
    error_message: str | None
    output: Json
    output_bytes: int
    began_at: str
    began_version: int
    assigned_at: str | None
    completed_at: str | None
    changed_at: str
    queue_seconds: float
    work_seconds: float
    usd: float
    tokens: int
    items: int
    items_over: int


class RunDetail(Answer):
    """A run with its tasks, in the order in which they began."""

    run: RunSummary
    input: Json
    """None where it is null, or larger than the views keep."""
    input_bytes: int
    output: Json
    output_bytes: int
    tasks: list[TaskSummary]
    more: bool
    """Whether tasks follow after these."""


# --- many runs ---------------------------------------------------------------------------------


class AskRuns(Question):
    """Which runs are there? The newest first."""

    workflow: str | None = None
    status: Literal["running", "paused", "completed", "failed", "cancelled"] | None = None
    labels: dict[str, str] = Field(default_factory=dict[str, str], max_length=20)
    """Every one of these has to be there."""
    limit: PageLimit = 50
    offset: Offset = 0


class RunList(Answer):
    """A page of runs."""

    runs: list[RunSummary]
    total: int
    """How many fit, on all pages."""
    more: bool


# --- the history -------------------------------------------------------------------------------


class AskHistory(Question):
    """What happened in this run, event by event?"""

    run_id: RunRef
    after: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Only events with a version above this."""
    limit: PageLimit = 200


class HistoryEntry(Answer):
    """One event of a run."""

    version: int
    at: str
    by: str
    cause: str
    kind: str
    task_id: str | None
    digest: str
    sentence: str
    event: dict[str, Json] | None
    """None where it is too large for an answer."""


class History(Answer):
    """A page of a run's events, oldest first."""

    run_id: str
    entries: list[HistoryEntry]
    more: bool
    """Whether events follow: ask again with `after` the last version here."""


class AskState(Question):
    """How did this run stand then? Played again from its history."""

    run_id: RunRef
    at: Annotated[str, Field(max_length=64)]
    """After the event of this number (from 1), or at this time (ISO 8601; UTC unless it says)."""


class TaskThen(Answer):
    """A task as it stood."""

    task_id: str
    step: str
    index: int | None
    status: str
    attempt: int
    agent: str | None
    failures: int
    changed_at: str
    output: Json
    """None where it is null, or too large: `output_bytes` tells."""
    output_bytes: int
    error_code: str | None
    error_message: str | None


class StateThen(Answer):
    """A run as it stood after one of its events, played again from its history."""

    run_id: str
    workflow: str
    workflow_version: int
    version: int
    """After this event."""
    at: str
    """When that was recorded."""
    status: str
    tasks: list[TaskThen]
    context: dict[str, Json]
    """What its tasks shared; empty where it is too large: `context_bytes` tells."""
    context_bytes: int
    output: Json
    output_bytes: int
    error_code: str | None
    error_message: str | None
    more: bool
    """Whether tasks had to be left out to fit into an answer."""


# --- the rest ----------------------------------------------------------------------------------


class AskAudit(Question):
    """Who did what, over all runs; oldest first."""

    run_id: RunRef | None = None
    kind: str | None = None
    after: Position = 0
    """Only events with a position above this."""
    limit: PageLimit = 200


class AuditEntry(Answer):
    """One event of the audit trail."""

    position: int
    stream_id: str
    version: int
    at: str
    by: str
    cause: str
    kind: str
    task_id: str | None
    digest: str
    sentence: str


class Audit(Answer):
    """A page of the audit trail."""

    entries: list[AuditEntry]
    more: bool


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
    queue_seconds_mean: float | None
    """Over all attempts that it reported on; None: none."""
    work_seconds_mean: float | None
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


class AskLag(Question):
    """How far are the views behind the history?"""


class ViewLag(Answer):
    """One view."""

    view: str
    position: int
    events_max: int
    """How many events it is behind at most: positions may skip numbers."""
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


# --- no answer ---------------------------------------------------------------------------------


class Refusal(Message):
    """Why there is no answer: a stable code, and a sentence."""

    code: str
    message: str


class Refused(Message):
    """What comes in place of an answer."""

    error: Refusal
