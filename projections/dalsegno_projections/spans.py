"""A run as a trace: its history folded into finished spans. Pure.

One root span for the run; beneath it one for each attempt, from its assignment to its end, one for
each wait and each sleep. What happened at one moment (parked, a retry, a signal) is an event of a
span. Ids come from the history alone (`telemetry`), so that a run can be sent again at any age and
the spans that agents make themselves find their parents.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, assert_never

from dalsegno_bus import telemetry as t
from dalsegno_bus.ids import RunId
from dalsegno_bus.messages import Failure, Usage
from dalsegno_orchestrator.history import Recorded
from dalsegno_orchestrator.workflow import events as e
from dalsegno_projections.views.values import text

WAIT_SPAN: Final = "wait"
"""Span of a wait for a signal: `wait <signal>`."""
SLEEP_SPAN: Final = "sleep"
"""Span of a sleep: `sleep <task>`."""
EVENTS_MAX: Final = 500
"""How many events one span tells of; what comes beyond is counted."""
NO_ATTEMPT: Final = 0
"""In the place of an attempt's number: what a task did without an agent."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(slots=True, kw_only=True)
class _Draft:
    """A span in the making."""

    name: str
    span_id: int
    start_ns: int
    end_ns: int | None = None
    attributes: dict[str, t.Attribute]
    error: str | None = None
    events: list[t.SpanEvent] = field(default_factory=list[t.SpanEvent])
    events_left_out: int = 0
    kind: t.Kind = "internal"

    def tell(self, name: str, at_ns: int, **attributes: t.Attribute) -> None:
        """Add an event."""
        if len(self.events) >= EVENTS_MAX:
            self.events_left_out += 1
            return
        named = {f"dalsegno.{key}": value for key, value in attributes.items()}
        self.events.append(t.SpanEvent(name=name, at_ns=at_ns, attributes=named))

    def fail(self, error: Failure) -> None:
        """Say why it failed."""
        self.error = text(error.message)
        self.attributes[t.ERROR_TYPE] = text(error.code)

    def finished(self, trace_id: int, parent_span_id: int | None, end_ns: int) -> t.FinishedSpan:
        """The span; still open, it ends with its run."""
        if self.events_left_out:
            self.attributes["dalsegno.events.left_out"] = self.events_left_out
        return t.FinishedSpan(
            name=self.name,
            trace_id=trace_id,
            span_id=self.span_id,
            parent_span_id=parent_span_id,
            start_ns=self.start_ns,
            end_ns=end_ns if self.end_ns is None else self.end_ns,
            attributes=self.attributes,
            error=self.error,
            events=self.events,
            kind=self.kind,
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
        elif trace is not None and not isinstance(event, e.WorkflowRegistered):
            trace.take(event, at_ns)
    return [] if trace is None else trace.spans()


def nanoseconds(at: datetime) -> int:
    """A time as traces count it: nanoseconds since 1970 (UTC)."""
    return (at - _EPOCH) // _MICROSECOND * 1_000


class _Trace:
    """Folds the events of one run; changed in place, thrown away after."""

    def __init__(self, run_id: RunId, event: e.RunStarted, at_ns: int) -> None:
        self._run_id = run_id
        self._workflow = event.workflow
        self._root = _Draft(
            name=f"{t.RUN_SPAN} {event.workflow}",
            span_id=t.run_span_id(run_id),
            start_ns=at_ns,
            attributes={
                t.RUN_ID: str(run_id),
                t.WORKFLOW: event.workflow,
                t.WORKFLOW_VERSION: event.workflow_version,
                **{f"dalsegno.label.{key}": value for key, value in event.labels.items()},
            },
        )
        self._drafts: list[_Draft] = []
        self._open: dict[str, _Draft] = {}
        """By task: its attempt, wait or sleep that has not ended."""
        self._newest: dict[str, _Draft] = {}
        """By task: the last one that began."""

    def spans(self) -> list[t.FinishedSpan]:
        """What came of it; nothing while the run goes on."""
        end_ns = self._root.end_ns
        if end_ns is None:
            return []
        trace_id = t.trace_id(self._run_id)
        root = self._root.finished(trace_id, None, end_ns)
        rest = [draft.finished(trace_id, self._root.span_id, end_ns) for draft in self._drafts]
        return [root, *rest]

    def take(self, event: e.RunEvent, at_ns: int) -> None:  # noqa: C901 - one case for each kind
        """Fold one event after the first."""
        match event:
            case e.RunStarted():
                raise AssertionError("a run starts once")
            case e.TaskAssigned():
                self._assigned(event, at_ns)
            case e.TaskCompleted():
                self._reported(event, at_ns, "completed")
            case e.TaskFailed():
                self._reported(event, at_ns, "failed").fail(event.error)
            case e.TaskTimedOut():
                self._ended(event.task_id, at_ns, "timed_out").fail(event.error)
            case e.TaskRerouted():
                rerouted = Failure(code="task.rerouted", message=event.reason)
                self._ended(event.task_id, at_ns, "rerouted").fail(rerouted)
            case e.SignalAwaited():
                self._began(event.task_id, f"{WAIT_SPAN} {event.signal}", at_ns)
            case e.SignalReceived():
                self._root.tell("signal received", at_ns, signal=event.signal)
                if event.task_id is not None:
                    self._ended(event.task_id, at_ns, "completed")
            case e.TimerSet():
                self._began(event.task_id, f"{SLEEP_SPAN} {event.task_id}", at_ns)
            case e.TimerFired():
                self._ended(event.task_id, at_ns, "completed")
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
            case (
                e.TaskParked()
                | e.TasksExpanded()
                | e.RetryScheduled()
                | e.TaskSkipped()
                | e.ContextShared()
                | e.SignalTaken()
            ):
                self._tell(event, at_ns)
            case _:
                assert_never(event)

    def _tell(
        self,
        event: e.TaskParked
        | e.TasksExpanded
        | e.RetryScheduled
        | e.TaskSkipped
        | e.ContextShared
        | e.SignalTaken,
        at_ns: int,
    ) -> None:
        """What happened at one moment."""
        task = event.task_id
        match event:
            case e.TaskParked():
                why = text(event.reason)
                self._root.tell(
                    "task parked", at_ns, task=task, capability=event.capability, reason=why
                )
            case e.TasksExpanded():
                self._root.tell("task expanded", at_ns, task=task, count=event.count)
            case e.RetryScheduled():
                last = self._newest.get(task, self._root)
                last.tell("retry scheduled", at_ns, delay_seconds=event.delay_seconds)
            case e.TaskSkipped():
                self._root.tell("task skipped", at_ns, task=task, reason=text(event.reason))
            case e.ContextShared():
                self._newest.get(task, self._root).tell("context shared", at_ns, key=event.key)
            case e.SignalTaken():
                self._root.tell("signal taken", at_ns, task=task, signal=event.signal)
            case _:
                assert_never(event)

    def _assigned(self, event: e.TaskAssigned, at_ns: int) -> None:
        span = self._began(
            event.task_id, f"{t.ATTEMPT_SPAN} {event.task_id}", at_ns, attempt=event.attempt
        )
        span.kind = "client"
        span.attributes |= {
            t.OPERATION: t.INVOKE_AGENT,
            t.AGENT: event.agent,
            t.CAPABILITY: event.capability,
            t.REASON: text(event.reason),
        }

    def _began(self, task_id: str, name: str, at_ns: int, *, attempt: int = NO_ATTEMPT) -> _Draft:
        span = _Draft(
            name=name,
            span_id=t.attempt_span_id(self._run_id, task_id, attempt),
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
        self._open[task_id] = self._newest[task_id] = span
        return span

    def _ended(self, task_id: str, at_ns: int, status: str) -> _Draft:
        """End what the task has open; what could not even begin gets a span without length."""
        span = self._open.pop(task_id, None)
        if span is None:
            span = self._began(task_id, f"{t.ATTEMPT_SPAN} {task_id}", at_ns)
            del self._open[task_id]
        span.end_ns = at_ns
        span.attributes[t.TASK_STATUS] = status
        return span

    def _reported(self, event: e.TaskCompleted | e.TaskFailed, at_ns: int, status: str) -> _Draft:
        span = self._ended(event.task_id, at_ns, status)
        if event.replica is not None:
            span.attributes |= {
                t.REPLICA: text(event.replica),
                t.QUEUE_SECONDS: event.queue_seconds,
                t.WORK_SECONDS: event.work_seconds,
            }
        if event.usage is not None:
            self._spent(span, event.usage)
        return span

    def _spent(self, span: _Draft, usage: Usage) -> None:
        span.attributes[t.COST_USD] = usage.usd
        span.attributes[t.TOKENS] = usage.tokens

    def _run_ended(self, status: str, at_ns: int) -> None:
        self._root.end_ns = at_ns
        self._root.attributes[t.RUN_STATUS] = status
        for task_id in list(self._open):
            self._ended(task_id, at_ns, "abandoned")
