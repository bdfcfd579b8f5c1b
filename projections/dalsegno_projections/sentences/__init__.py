"""What happened, in one sentence for people: one for each kind of event."""

from typing import assert_never

from dalsegno_orchestrator.workflow import events as e
from dalsegno_projections.sentences.runs import budget_note, plan_sentence, run_sentence
from dalsegno_projections.sentences.streams import stream_sentence
from dalsegno_projections.sentences.tasks import attempt_sentence, task_sentence
from dalsegno_projections.sentences.waiting import waiting_sentence

__all__ = ["budget_note", "sentence_of"]


def sentence_of(event: e.Event) -> str:
    """The event as one sentence, bounded in length, without payloads."""
    match event:
        case (
            e.TaskAssigned() | e.TaskCompleted() | e.TaskFailed() | e.TaskTimedOut()
            | e.TaskRerouted() | e.TaskHandedOff() | e.AttemptProgressed() | e.ContextShared()
            | e.ContextConflicted() | e.QuestionAsked()
        ):  # fmt: skip
            return attempt_sentence(event)
        case (
            e.TaskParked() | e.TasksExpanded() | e.RetryScheduled() | e.TaskSkipped()
            | e.LadderClimbed() | e.TaskRepeated() | e.RepeatEnded() | e.ChildStarted()
            | e.ChildEnded() | e.CompensationFailed()
        ):  # fmt: skip
            return task_sentence(event)
        case (
            e.SignalAwaited() | e.SignalReceived() | e.SignalTaken() | e.TimerSet()
            | e.TimerFired() | e.WaitEscalated()
        ):  # fmt: skip
            return waiting_sentence(event)
        case (
            e.RunStarted() | e.RunPaused() | e.RunResumed() | e.RunCompleted() | e.RunFailed()
            | e.RunCancelled() | e.RunEnding() | e.CompensationStarted()
            | e.RunCompensationFailed() | e.RunReopened() | e.RunRewound()
        ):  # fmt: skip
            return run_sentence(event)
        case (
            e.BudgetExceeded() | e.BudgetRaised() | e.PlanProposed() | e.PlanAccepted()
            | e.PlanRejected() | e.PlanFinished() | e.RunReplanned() | e.RunMigrated()
        ):  # fmt: skip
            return plan_sentence(event)
        case (
            e.WorkflowRegistered() | e.ScheduleSet() | e.ScheduleRemoved() | e.SchedulePaused()
            | e.ScheduleResumed() | e.TickFired() | e.TickQueued() | e.TickSkipped()
            | e.ScheduledRunEnded() | e.LimitSet() | e.LimitRemoved()
        ):  # fmt: skip
            return stream_sentence(event)
        case _:
            assert_never(event)
