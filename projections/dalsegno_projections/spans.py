"""A run as a trace: its history folded into finished spans. Pure.

One root span for the run; beneath it one for each attempt, from its assignment to its end, one for
each run of a sub-workflow, each wait and each sleep; the attempts that answer a question lie below
the attempt that asked. What happened at one moment (parked, a retry, a signal) is an event of a
span. Ids come from the history alone (`telemetry`), so that a run can be sent again at any age and
the spans that agents make themselves find their parents.

A run of a sub-workflow is a trace of its own. The two name each other and link to each other
(`families`).
"""

from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias, assert_never

from dalsegno_bus import telemetry as t
from dalsegno_bus.ids import RunId
from dalsegno_bus.messages import Failure
from dalsegno_orchestrator.history import Recorded
from dalsegno_orchestrator.workflow import events as e
from dalsegno_projections.drafts import EVENTS_MAX, Draft, nanoseconds
from dalsegno_projections.families import (
    child_attributes,
    link_to_child,
    links_to_parent,
    parent_attributes,
)
from dalsegno_projections.sentences import sentence_of
from dalsegno_projections.views.progress import is_run_event
from dalsegno_projections.views.values import text

__all__ = ["EVENTS_MAX", "SLEEP_SPAN", "WAIT_SPAN", "nanoseconds", "spans_of"]

WAIT_SPAN: Final = "wait"
"""Span of a wait for a signal: `wait <signal>`."""
SLEEP_SPAN: Final = "sleep"
"""Span of a sleep: `sleep <task>`."""
NO_ATTEMPT: Final = 0
"""In the place of an attempt's number: what a task did without an agent."""

HEDGES: Final = "dalsegno.task.hedges"
"""The attempt beside which this one began."""
PLAN_VERSION: Final = "dalsegno.plan.version"

_Began: TypeAlias = e.TaskAssigned | e.ChildStarted | e.SignalAwaited | e.TimerSet
_Ended: TypeAlias = (
    e.TaskCompleted
    | e.TaskFailed
    | e.TaskTimedOut
    | e.TaskRerouted
    | e.TaskHandedOff
    | e.PlanProposed
    | e.PlanRejected
    | e.ChildEnded
    | e.SignalReceived
    | e.TimerFired
)
_Report: TypeAlias = e.TaskCompleted | e.TaskFailed | e.TaskHandedOff | e.PlanProposed
_RunMoved: TypeAlias = (
    e.RunPaused
    | e.RunResumed
    | e.RunCompleted
    | e.RunFailed
    | e.RunCancelled
    | e.RunCompensationFailed
    | e.RunReopened
    | e.RunRewound
)


def spans_of(history: Iterable[Recorded]) -> list[t.FinishedSpan]:
    """The spans of one run, given its whole history; none while it has not ended.

    The root comes first, then the others in the order in which they began.
    """
    trace: _Trace | None = None
    for recorded in history:
        at_ns = nanoseconds(recorded.at)
        event = recorded.event
        if isinstance(event, e.RunStarted):
            trace = _Trace(RunId(recorded.stream_id), event, at_ns)
        elif trace is not None and is_run_event(event):
            trace.take(event, at_ns)
    return [] if trace is None else trace.spans()


class _Trace:
    """Folds the events of one run; changed in place, thrown away after."""

    def __init__(self, run_id: RunId, event: e.RunStarted, at_ns: int) -> None:
        self._run_id = run_id
        self._workflow = event.workflow
        self._root = Draft(
            name=f"{t.RUN_SPAN} {event.workflow}",
            span_id=t.run_span_id(run_id),
            start_ns=at_ns,
            attributes={
                t.RUN_ID: str(run_id),
                t.WORKFLOW: event.workflow,
                t.WORKFLOW_VERSION: event.workflow_version,
                **parent_attributes(event.parent),
                **{f"dalsegno.label.{key}": value for key, value in event.labels.items()},
            },
            links=links_to_parent(event.parent),
        )
        self._drafts: list[Draft] = []
        self._open: dict[str, dict[int, Draft]] = {}
        """By task and attempt: what has not ended."""
        self._newest: dict[str, Draft] = {}
        """By task: the last one that began."""
        self._unnumbered: dict[str, int] = {}
        """By task: how many spans it has that are no attempts."""
        self._asked: dict[str, Draft] = {}
        """By question: the attempt that asked it."""

    def spans(self) -> list[t.FinishedSpan]:
        """What came of it; nothing while the run goes on."""
        end_ns = self._root.end_ns
        if end_ns is None:
            return []
        trace_id = t.trace_id(self._run_id)
        root = self._root.finished(trace_id, None, end_ns)
        rest = [draft.finished(trace_id, self._root.span_id, end_ns) for draft in self._drafts]
        return [root, *rest]

    def take(self, event: e.RunEvent, at_ns: int) -> None:
        """Fold one event after the first."""
        match event:
            case e.RunStarted():
                raise AssertionError("a run starts once")
            case e.TaskAssigned() | e.ChildStarted() | e.SignalAwaited() | e.TimerSet():
                self._take_begin(event, at_ns)
            case (
                e.TaskCompleted() | e.TaskFailed() | e.TaskTimedOut() | e.TaskRerouted()
                | e.TaskHandedOff() | e.PlanProposed() | e.PlanRejected() | e.ChildEnded()
                | e.SignalReceived() | e.TimerFired()
            ):  # fmt: skip
                self._take_end(event, at_ns)
            case (
                e.RunPaused() | e.RunResumed() | e.RunCompleted() | e.RunFailed()
                | e.RunCancelled() | e.RunCompensationFailed() | e.RunReopened() | e.RunRewound()
            ):  # fmt: skip
                self._take_run(event, at_ns)
            case e.QuestionAsked():
                asking = self._attempt(event.task_id, event.attempt)
                asking.tell("question asked", at_ns, question=event.question_id)
                self._asked[event.question_id] = asking
            case e.RetryScheduled():
                last = self._newest.get(event.task_id, self._root)
                last.tell("retry scheduled", at_ns, delay_seconds=event.delay_seconds)
            case e.ContextShared():
                self._attempt(event.task_id, event.attempt).tell(
                    "context shared", at_ns, key=event.key
                )
            case e.ContextConflicted():
                self._attempt(event.task_id, event.attempt).tell(
                    "context conflicted", at_ns, key=event.key
                )
            case e.AttemptProgressed():
                self._attempt(event.task_id, event.attempt).tell("progressed", at_ns)
            case _:
                self._tell(event, at_ns)

    def _tell(
        self,
        event: e.TaskParked
        | e.TasksExpanded
        | e.TaskSkipped
        | e.SignalTaken
        | e.LadderClimbed
        | e.TaskRepeated
        | e.RepeatEnded
        | e.WaitEscalated
        | e.CompensationFailed
        | e.RunEnding
        | e.CompensationStarted
        | e.BudgetExceeded
        | e.BudgetRaised
        | e.PlanAccepted
        | e.PlanFinished
        | e.RunReplanned
        | e.RunMigrated,
        at_ns: int,
    ) -> None:
        """What happened to the run at one moment."""
        tell, task = self._root.tell, getattr(event, "task_id", None) or ""
        match event:
            case e.TaskParked():
                why = text(event.reason)
                tell("task parked", at_ns, task=task, capability=event.capability, reason=why)
            case e.TasksExpanded():
                tell("task expanded", at_ns, task=task, count=event.count)
            case e.TaskSkipped():
                tell("task skipped", at_ns, task=task, reason=text(event.reason))
            case e.SignalTaken():
                tell("signal taken", at_ns, task=task, signal=event.signal)
            case e.TaskRepeated():
                tell("task repeated", at_ns, task=task, iteration=event.iteration)
            case e.RunEnding():
                tell("ending", at_ns, outcome=event.outcome, reason=text(event.error.message))
            case e.CompensationStarted():
                tell("compensation started", at_ns, count=len(event.tasks))
            case e.PlanAccepted() | e.RunReplanned() | e.RunMigrated():
                self._root.attributes[PLAN_VERSION] = event.plan_version
                tell(_name(event), at_ns, task=task, plan_version=event.plan_version)
            case (
                e.LadderClimbed() | e.RepeatEnded() | e.WaitEscalated() | e.CompensationFailed()
                | e.BudgetExceeded() | e.BudgetRaised() | e.PlanFinished()
            ):  # fmt: skip
                tell(_name(event), at_ns, task=task, reason=text(sentence_of(event)))
            case _:
                assert_never(event)

    def _take_begin(self, event: _Began, at_ns: int) -> None:
        """Something of a task begins."""
        task = event.task_id
        match event:
            case e.TaskAssigned():
                span = self._began(task, f"{t.ATTEMPT_SPAN} {task}", at_ns, event.attempt)
                span.kind = "client"
                span.attributes |= {
                    t.OPERATION: t.INVOKE_AGENT,
                    t.AGENT: event.agent,
                    t.CAPABILITY: event.capability,
                    t.REASON: text(event.reason),
                }
                if event.hedges is not None:
                    span.attributes[HEDGES] = event.hedges
                asked = self._asked.get(task)
                span.parent_span_id = None if asked is None else asked.span_id
            case e.ChildStarted():
                span = self._began(task, f"{t.ATTEMPT_SPAN} {task}", at_ns, event.attempt)
                span.attributes |= child_attributes(event)
                span.links.append(link_to_child(event))
            case e.SignalAwaited():
                self._began(task, f"{WAIT_SPAN} {event.signal}", at_ns)
            case e.TimerSet():
                self._began(task, f"{SLEEP_SPAN} {task}", at_ns)
            case _:
                assert_never(event)

    def _take_end(self, event: _Ended, at_ns: int) -> None:  # noqa: C901 - one case for each kind
        """Something of a task comes to its end."""
        match event:
            case e.TaskCompleted():
                self._reported(event, at_ns, "completed")
                self._abandoned(event.abandoned, at_ns)
            case e.TaskFailed():
                self._reported(event, at_ns, "failed").fail(event.error)
            case e.TaskTimedOut():
                self._ended(event.task_id, event.attempt, at_ns, "timed_out").fail(event.error)
            case e.TaskRerouted():
                rerouted = Failure(code="task.rerouted", message=event.reason)
                self._ended(event.task_id, event.attempt, at_ns, "rerouted").fail(rerouted)
            case e.TaskHandedOff():
                span = self._reported(event, at_ns, "handed_off")
                span.attributes["dalsegno.handoff.capability"] = event.to_capability
                self._abandoned(event.abandoned, at_ns)
            case e.PlanProposed():
                span = self._reported(event, at_ns, "completed")
                span.tell("plan proposed", at_ns, count=len(event.tasks))
                self._abandoned(event.abandoned, at_ns)
            case e.PlanRejected():
                self._attempt(event.task_id, event.attempt).fail(event.error)
            case e.ChildEnded():
                span = self._ended(event.task_id, event.attempt, at_ns, event.status)
                span.spend(event.usage)
                if event.error is not None:
                    span.fail(event.error)
            case e.SignalReceived():
                self._root.tell("signal received", at_ns, signal=event.signal)
                if event.task_id is not None:
                    self._ended(event.task_id, NO_ATTEMPT, at_ns, "completed")
            case e.TimerFired():
                self._ended(event.task_id, NO_ATTEMPT, at_ns, "completed")
            case _:
                assert_never(event)

    def _take_run(self, event: _RunMoved, at_ns: int) -> None:
        """The run stands still, goes on, goes back or ends."""
        match event:
            case e.RunPaused():
                self._root.tell("paused", at_ns, reason=text(event.reason))
            case e.RunResumed():
                self._root.tell("resumed", at_ns)
            case e.RunCompleted():
                self._run_ended("completed", at_ns)
            case e.RunFailed():
                self._run_ended("failed", at_ns)
                self._root.fail(event.error)
            case e.RunCancelled():
                self._run_ended("cancelled", at_ns)
                self._root.tell("cancelled", at_ns, reason=text(event.reason))
            case e.RunCompensationFailed():
                self._run_ended("compensation_failed", at_ns)
                self._root.fail(event.error)
            case e.RunReopened() | e.RunRewound():
                self._run_again(event, at_ns)
            case _:
                assert_never(event)

    def _run_again(self, event: e.RunReopened | e.RunRewound, at_ns: int) -> None:
        self._root.end_ns = None
        self._root.unfail()
        self._root.tell(_name(event), at_ns, reason=text(event.reason))
        if isinstance(event, e.RunRewound):
            for task_id in event.undone:
                for span in self._open.pop(task_id, {}).values():
                    span.end(at_ns, "undone")

    def _attempt(self, task_id: str, attempt: int) -> Draft:
        """What is known of an attempt: while it is open, else the task's newest, else the run."""
        newest = self._newest.get(task_id, self._root)
        return self._open.get(task_id, {}).get(attempt, newest)

    def _began(self, task_id: str, name: str, at_ns: int, attempt: int = NO_ATTEMPT) -> Draft:
        number = attempt
        if attempt == NO_ATTEMPT:  # a task may wait or sleep again after its run went back
            number = -self._unnumbered.get(task_id, 0)
            self._unnumbered[task_id] = 1 - number
        span = Draft(
            name=name,
            span_id=t.attempt_span_id(self._run_id, task_id, number),
            start_ns=at_ns,
            attributes={
                t.RUN_ID: str(self._run_id),
                t.WORKFLOW: self._workflow,
                t.TASK_ID: task_id,
            },
        )
        if attempt != NO_ATTEMPT:
            span.attributes[t.ATTEMPT] = attempt
        self._drafts.append(span)
        self._open.setdefault(task_id, {})[attempt] = span
        self._newest[task_id] = span
        return span

    def _ended(self, task_id: str, attempt: int, at_ns: int, status: str) -> Draft:
        """End an attempt, wait or sleep; what could not begin gets a span without length."""
        span = self._open.get(task_id, {}).pop(attempt, None)
        if span is None:
            span = self._began(task_id, f"{t.ATTEMPT_SPAN} {task_id}", at_ns)
            del self._open[task_id][NO_ATTEMPT]
        span.end(at_ns, status)
        return span

    def _reported(self, event: _Report, at_ns: int, status: str) -> Draft:
        span = self._ended(event.task_id, event.attempt, at_ns, status)
        if event.replica is not None:
            span.attributes |= {
                t.REPLICA: text(event.replica),
                t.QUEUE_SECONDS: event.queue_seconds,
                t.WORK_SECONDS: event.work_seconds,
            }
        span.spend(event.usage)
        return span

    def _abandoned(self, attempts: Sequence[e.Abandoned], at_ns: int) -> None:
        """The other attempt of a hedged task: it lost, and that is no failure."""
        for each in attempts:
            span = self._open.get(each.task_id, {}).pop(each.attempt, None)
            if span is not None:
                span.end(at_ns, "abandoned")

    def _run_ended(self, status: str, at_ns: int) -> None:
        self._root.end_ns = at_ns
        self._root.attributes[t.RUN_STATUS] = status
        for spans in self._open.values():
            for span in spans.values():
                span.end(at_ns, "abandoned")
        self._open.clear()


def _name(event: e.RunEvent) -> str:
    """The event's name in words, without its version."""
    return event.kind.partition(".")[0].replace("-", " ")
