"""What the orchestrator has agents do, and what they report."""

from typing import Literal

from pydantic import Field

from dalsegno_bus.ids import RunId
from dalsegno_bus.messages.base import Failure, Json, Message, Usage


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
    heartbeat_seconds: float | None = None
    """The handler has to tell its progress at least so often; None: it need not."""
    last_progress: Json = None
    """What an earlier attempt of the task told last: `{fraction, message, state}`."""
    last_failure: Failure | None = None
    """Why the attempt before this one failed."""
    context_versions: dict[str, int] | None = None
    """The keys of the shared context as they stood when the attempt was assigned."""


class CancelAttempt(Message):
    """Stop working on this attempt; nobody waits for its report any more."""

    kind: Literal["cancel-attempt.v1"] = "cancel-attempt.v1"
    run_id: RunId
    task_id: str
    attempt: int = Field(ge=1)
    reason: str = ""
    grace_seconds: float = 0.0
    """So long a report still counts: the handler may put things in order."""


class DrainAgent(Message):
    """Take no new task, finish those in hand, then leave."""

    kind: Literal["drain-agent.v1"] = "drain-agent.v1"
    agent: str
    reason: str = ""
    requested_by: str = "unknown"


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
    base_version: int | None = None
    """The version that the writer had seen; None: it does not say."""


class HandoffReport(Report):
    """The attempt ended by handing its task on to an agent with another capability."""

    kind: Literal["task-handed-off.v1"] = "task-handed-off.v1"
    capability: str
    input: Json = None
    reason: str = ""
    usage: Usage | None = None
    queue_seconds: float = Field(default=0.0, ge=0.0)
    work_seconds: float = Field(default=0.0, ge=0.0)


class HeartbeatReport(Report):
    """A sign of life of an attempt that has to give some; the next attempt may begin from it."""

    kind: Literal["heartbeat.v1"] = "heartbeat.v1"
    progress: Json = None
    """`{fraction, message, state}`."""


class QuestionReport(Report):
    """The attempt asks another agent, by capability; the answer is `QuestionAnswered`.

    Sent again until it is answered: a question with the same id is asked once in a task's life.
    """

    kind: Literal["question.v1"] = "question.v1"
    question: str = Field(pattern=r"^[a-z0-9]{1,32}$")
    """Follows from what is asked, so that the next attempt gets the same answer."""
    capability: str
    input: Json = None
    timeout_seconds: float = Field(default=600.0, gt=0.0)


class AskWanted(Report):
    """Does anybody still wait for this attempt? Asked of one that came again."""

    kind: Literal["ask-wanted.v1"] = "ask-wanted.v1"


class Wanted(Message):
    """Whether the attempt is open and with the agent that asks."""

    kind: Literal["wanted.v1"] = "wanted.v1"
    wanted: bool
