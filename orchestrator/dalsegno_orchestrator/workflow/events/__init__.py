"""The history's vocabulary: every fact that a run, or what is no run, can have in its past.

Frozen, closed to unknown fields, past tense. `kind` is the stored name: it never changes its
meaning, and moving or renaming a class does not touch it. An event holds what cannot be derived:
an attempt's input follows from the definition and the outputs before it, so it is not stored again.
"""

from typing import TypeAlias, get_args

from dalsegno_orchestrator.workflow.events.fact import (
    Abandoned,
    Candidate,
    Fact,
    Parent,
    Permit,
)
from dalsegno_orchestrator.workflow.events.run import (
    BudgetExceeded,
    BudgetRaised,
    CompensationStarted,
    PlanAccepted,
    PlanFinished,
    PlanProposed,
    PlanRejected,
    RunCancelled,
    RunCompensationFailed,
    RunCompleted,
    RunEnding,
    RunFailed,
    RunMigrated,
    RunPaused,
    RunReopened,
    RunReplanned,
    RunResumed,
    RunRewound,
    RunStarted,
)
from dalsegno_orchestrator.workflow.events.streams import (
    LimitRemoved,
    LimitSet,
    ScheduledRunEnded,
    SchedulePaused,
    ScheduleRemoved,
    ScheduleResumed,
    ScheduleSet,
    TickFired,
    TickQueued,
    TickSkipped,
    WorkflowRegistered,
)
from dalsegno_orchestrator.workflow.events.task import (
    AttemptProgressed,
    ChildEnded,
    ChildStarted,
    CompensationFailed,
    ContextConflicted,
    ContextShared,
    LadderClimbed,
    QuestionAsked,
    RepeatEnded,
    RetryScheduled,
    TaskAssigned,
    TaskCompleted,
    TaskFailed,
    TaskHandedOff,
    TaskParked,
    TaskRepeated,
    TaskRerouted,
    TasksExpanded,
    TaskSkipped,
    TaskTimedOut,
)
from dalsegno_orchestrator.workflow.events.waiting import (
    SignalAwaited,
    SignalReceived,
    SignalTaken,
    TimerFired,
    TimerSet,
    WaitEscalated,
)

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
    | LadderClimbed
    | TaskHandedOff
    | AttemptProgressed
    | TaskRepeated
    | RepeatEnded
    | ChildStarted
    | ChildEnded
    | QuestionAsked
    | CompensationFailed
    | ContextShared
    | ContextConflicted
    | SignalAwaited
    | SignalReceived
    | SignalTaken
    | TimerSet
    | TimerFired
    | WaitEscalated
    | RunPaused
    | RunResumed
    | RunCompleted
    | RunFailed
    | RunCancelled
    | RunEnding
    | CompensationStarted
    | RunCompensationFailed
    | RunReopened
    | RunRewound
    | BudgetExceeded
    | BudgetRaised
    | PlanProposed
    | PlanAccepted
    | PlanRejected
    | PlanFinished
    | RunReplanned
    | RunMigrated
)
StreamEvent: TypeAlias = (
    WorkflowRegistered
    | ScheduleSet
    | ScheduleRemoved
    | SchedulePaused
    | ScheduleResumed
    | TickFired
    | TickQueued
    | TickSkipped
    | ScheduledRunEnded
    | LimitSet
    | LimitRemoved
)
Event: TypeAlias = RunEvent | StreamEvent

EVENT_TYPES: dict[str, type[Event]] = {event.kind: event for event in get_args(Event)}
"""Every kind that may be read back."""

__all__ = [
    "EVENT_TYPES",
    "Abandoned",
    "AttemptProgressed",
    "BudgetExceeded",
    "BudgetRaised",
    "Candidate",
    "ChildEnded",
    "ChildStarted",
    "CompensationFailed",
    "CompensationStarted",
    "ContextConflicted",
    "ContextShared",
    "Event",
    "Fact",
    "LadderClimbed",
    "LimitRemoved",
    "LimitSet",
    "Parent",
    "Permit",
    "PlanAccepted",
    "PlanFinished",
    "PlanProposed",
    "PlanRejected",
    "QuestionAsked",
    "RepeatEnded",
    "RetryScheduled",
    "RunCancelled",
    "RunCompensationFailed",
    "RunCompleted",
    "RunEnding",
    "RunEvent",
    "RunFailed",
    "RunMigrated",
    "RunPaused",
    "RunReopened",
    "RunReplanned",
    "RunResumed",
    "RunRewound",
    "RunStarted",
    "SchedulePaused",
    "ScheduleRemoved",
    "ScheduleResumed",
    "ScheduleSet",
    "ScheduledRunEnded",
    "SignalAwaited",
    "SignalReceived",
    "SignalTaken",
    "StreamEvent",
    "TaskAssigned",
    "TaskCompleted",
    "TaskFailed",
    "TaskHandedOff",
    "TaskParked",
    "TaskRepeated",
    "TaskRerouted",
    "TaskSkipped",
    "TaskTimedOut",
    "TasksExpanded",
    "TickFired",
    "TickQueued",
    "TickSkipped",
    "TimerFired",
    "TimerSet",
    "WaitEscalated",
    "WorkflowRegistered",
]
