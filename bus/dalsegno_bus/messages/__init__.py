"""What travels: every message of the wire, frozen, closed to unknown fields, told apart by `kind`.

Commands are imperative, reports say what an agent did, replies answer a client. A message is JSON;
its CloudEvents attributes and trace context travel beside it as headers (see `codec`).
A kind never changes its meaning: a new shape is a new `.vN`.
"""

from typing import Annotated, TypeAlias

from pydantic import Field

from dalsegno_bus.messages.agents import (
    AgentCard,
    CapabilityCard,
    DeadLetter,
    Drained,
    Presence,
)
from dalsegno_bus.messages.base import (
    Artifact,
    Failure,
    Json,
    Labels,
    Message,
    ParentRun,
    Problem,
    Usage,
)
from dalsegno_bus.messages.live import (
    AttemptStarted,
    LiveAnswer,
    Output,
    Progress,
    Question,
    QuestionAnswered,
    RunChanged,
)
from dalsegno_bus.messages.requests import (
    Accepted,
    CancelRun,
    ChildOver,
    MigrateRun,
    PauseRun,
    PauseSchedule,
    RegisterWorkflow,
    Rejected,
    ReplanRun,
    ResumeRun,
    ResumeSchedule,
    RetryRun,
    RewindRun,
    SetLimit,
    SignalRun,
    StartRun,
)
from dalsegno_bus.messages.work import (
    AskWanted,
    CancelAttempt,
    CompletedReport,
    ContextReport,
    DrainAgent,
    FailedReport,
    HandoffReport,
    HeartbeatReport,
    QuestionReport,
    Report,
    TaskCommand,
    Wanted,
)

RunRequest: TypeAlias = (
    SignalRun | CancelRun | PauseRun | ResumeRun | RetryRun | RewindRun | ReplanRun | MigrateRun
)
"""What is asked of a run that is there."""
StreamRequest: TypeAlias = RegisterWorkflow | PauseSchedule | ResumeSchedule | SetLimit
"""What is asked of a stream that is no run."""
Request: TypeAlias = StartRun | RunRequest | StreamRequest
Reply: TypeAlias = Accepted | Rejected
TaskReport: TypeAlias = (
    CompletedReport
    | FailedReport
    | ContextReport
    | HandoffReport
    | HeartbeatReport
    | QuestionReport
)
Live: TypeAlias = AttemptStarted | Progress | Output | RunChanged
Inbox: TypeAlias = Annotated[Request | TaskReport | ChildOver, Field(discriminator="kind")]
"""Everything the orchestrator hears."""

__all__ = [
    "Accepted",
    "AgentCard",
    "Artifact",
    "AskWanted",
    "AttemptStarted",
    "CancelAttempt",
    "CancelRun",
    "CapabilityCard",
    "ChildOver",
    "CompletedReport",
    "ContextReport",
    "DeadLetter",
    "DrainAgent",
    "Drained",
    "FailedReport",
    "Failure",
    "HandoffReport",
    "HeartbeatReport",
    "Inbox",
    "Json",
    "Labels",
    "Live",
    "LiveAnswer",
    "Message",
    "MigrateRun",
    "Output",
    "ParentRun",
    "PauseRun",
    "PauseSchedule",
    "Presence",
    "Problem",
    "Progress",
    "Question",
    "QuestionAnswered",
    "QuestionReport",
    "RegisterWorkflow",
    "Rejected",
    "ReplanRun",
    "Reply",
    "Report",
    "Request",
    "ResumeRun",
    "ResumeSchedule",
    "RetryRun",
    "RewindRun",
    "RunChanged",
    "RunRequest",
    "SetLimit",
    "SignalRun",
    "StartRun",
    "StreamRequest",
    "TaskCommand",
    "TaskReport",
    "Usage",
    "Wanted",
]
