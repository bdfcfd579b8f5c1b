"""What travels: every message of the wire, frozen, closed to unknown fields, told apart by `kind`.

Commands are imperative, reports say what an agent did, replies answer a client. A message is JSON;
its CloudEvents attributes and trace context travel beside it as headers (see `codec`).
A kind never changes its meaning: a new shape is a new `.vN`.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from dalsegno_bus.ids import RunId

Json: TypeAlias = Any
"""A value as JSON has it: the payload of a user, which only that user's models check."""

Labels: TypeAlias = Mapping[str, str]


class Message(BaseModel):
    """Base of what travels: never changed, closed to unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Artifact(Message):
    """A large value outside the history: content-addressed, so equal bytes are one artifact."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size_bytes: int = Field(ge=0)
    media_type: str = "application/octet-stream"
    name: str | None = None
    """A file name for people; not part of the identity."""


class Problem(Message):
    """One thing that is wrong with what a person wrote, where, and what to do about it."""

    message: str
    path: str = ""
    """Where in the document, dotted: `tasks.analyze.timeout`."""
    line: int | None = None
    column: int | None = None
    suggestion: str | None = None

    def __str__(self) -> str:
        place = f"{self.line}:{self.column}: " if self.line is not None else ""
        path = f"{self.path}: " if self.path else ""
        hint = f" ({self.suggestion})" if self.suggestion else ""
        return f"{place}{path}{self.message}{hint}"


# --- requests: clients → orchestrator ---------------------------------------------------------


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


class RegisterWorkflow(Message):
    """Add a definition; the same one again is the same version."""

    kind: Literal["register-workflow.v1"] = "register-workflow.v1"
    definition: dict[str, Json]
    requested_by: str = "unknown"


# --- replies: orchestrator → clients ----------------------------------------------------------


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


# --- commands: orchestrator → agents ----------------------------------------------------------


class TaskCommand(Message):
    """Do one attempt of one task. The same attempt may arrive twice; it is worked once."""

    kind: Literal["task-command.v1"] = "task-command.v1"
    run_id: RunId
    task_id: str
    attempt: int = Field(ge=1)
    agent: str
    capability: str
    workflow: str
    input: Json = None
    timeout_seconds: float | None = None
    """How long the handler may work, from when it starts."""


class CancelAttempt(Message):
    """Stop working on this attempt; nobody waits for its report any more."""

    kind: Literal["cancel-attempt.v1"] = "cancel-attempt.v1"
    run_id: RunId
    task_id: str
    attempt: int
    reason: str = ""


# --- reports: agents → orchestrator -----------------------------------------------------------


class Usage(Message):
    """What an attempt cost, as its agent counts it."""

    usd: float = Field(default=0.0, ge=0.0)
    tokens: int = Field(default=0, ge=0)


class Failure(Message):
    """Why something failed: a stable code for programs, a sentence for people."""

    code: str
    message: str
    detail: Json = None


class Report(Message):
    """What every report names: the attempt, and who says so."""

    run_id: RunId
    task_id: str
    attempt: int = Field(ge=1)
    agent: str
    replica: str


class CompletedReport(Report):
    """The attempt is done."""

    kind: Literal["task-completed.v1"] = "task-completed.v1"
    output: Json = None
    usage: Usage | None = None
    queue_seconds: float = Field(default=0.0, ge=0.0)
    """From the command's publication to the start of the handler."""
    work_seconds: float = Field(default=0.0, ge=0.0)
    """From the start of the handler to its end."""


class FailedReport(Report):
    """The attempt failed."""

    kind: Literal["task-failed.v1"] = "task-failed.v1"
    error: Failure
    retryable: bool
    retry_after_seconds: float | None = Field(default=None, ge=0.0)
    usage: Usage | None = None
    queue_seconds: float = Field(default=0.0, ge=0.0)
    work_seconds: float = Field(default=0.0, ge=0.0)


class ContextReport(Report):
    """The attempt shares a value with every later task of its run."""

    kind: Literal["context-shared.v1"] = "context-shared.v1"
    key: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)
    value: Json = None


# --- asked by an agent, answered by an orchestrator -------------------------------------------


class AskWanted(Report):
    """Does anybody still wait for this attempt? Asked of one that came again."""

    kind: Literal["ask-wanted.v1"] = "ask-wanted.v1"


class Wanted(Message):
    """Whether the attempt is open and with the agent that asks."""

    kind: Literal["wanted.v1"] = "wanted.v1"
    wanted: bool


# --- live: heard by whoever watches, kept by nobody -------------------------------------------


class AttemptStarted(Report):
    """A replica has begun to work on an attempt."""

    kind: Literal["attempt-started.v1"] = "attempt-started.v1"
    at: datetime


class Progress(Report):
    """How far an attempt is; `fraction` from 0 to 1, None where nobody can say."""

    kind: Literal["progress.v1"] = "progress.v1"
    fraction: float | None = Field(default=None, ge=0.0, le=1.0)
    message: str = ""
    at: datetime


class RunChanged(Message):
    """Events were recorded for this run; `version` counts its events."""

    kind: Literal["run-changed.v1"] = "run-changed.v1"
    run_id: RunId
    version: int
    status: str
    output: Json = None
    """Set when the run has completed."""
    error: Failure | None = None


# --- agents tell what they are ----------------------------------------------------------------


class CapabilityCard(Message):
    """One thing an agent can do, with the JSON Schemas of what goes in and comes out."""

    name: str
    description: str = ""
    input_schema: dict[str, Json] = Field(default_factory=dict[str, Json])
    output_schema: dict[str, Json] = Field(default_factory=dict[str, Json])
    cost_usd: float = Field(default=0.0, ge=0.0)
    """A hint: what one task costs, as the agent's author expects."""


class AgentCard(Message):
    """What an agent is; kept while no replica runs."""

    kind: Literal["agent-card.v1"] = "agent-card.v1"
    agent: str
    version: str = "0"
    description: str = ""
    capabilities: tuple[CapabilityCard, ...]
    labels: Labels = Field(default_factory=dict[str, str])
    concurrency: int = Field(default=1, ge=1)


class Presence(Message):
    """One replica is alive, and works on these attempts (`run/task/attempt`).

    It says so again and again; once it has been silent for `ttl_seconds`, it counts as gone.
    """

    kind: Literal["presence.v1"] = "presence.v1"
    agent: str
    replica: str
    started_at: datetime
    ttl_seconds: int = Field(default=10, ge=1)
    concurrency: int = Field(ge=1)
    working: tuple[str, ...] = ()
    draining: bool = False


# --- what could not be understood -------------------------------------------------------------


class DeadLetter(Message):
    """A message that nobody could use, with the reason and its first bytes."""

    kind: Literal["dead-letter.v1"] = "dead-letter.v1"
    subject: str
    reason: str
    body_base64: str
    body_bytes: int
    headers: dict[str, str]
    at: datetime


Request: TypeAlias = StartRun | SignalRun | CancelRun | PauseRun | ResumeRun | RegisterWorkflow
Reply: TypeAlias = Accepted | Rejected
TaskReport: TypeAlias = CompletedReport | FailedReport | ContextReport
Live: TypeAlias = AttemptStarted | Progress | RunChanged
Inbox: TypeAlias = Annotated[Request | TaskReport, Field(discriminator="kind")]
"""Everything the orchestrator hears."""
