"""The facts of what a run waits for: signals, people, time."""

from datetime import datetime
from typing import ClassVar

from dalsegno_bus.messages import Json
from dalsegno_orchestrator.workflow.events.fact import Fact


class SignalAwaited(Fact):
    """The run waits for a named signal, until `until` if that is set."""

    kind: ClassVar[str] = "signal-awaited.v1"
    task_id: str
    signal: str
    until: datetime | None = None


class SignalReceived(Fact):
    """A payload came in; the oldest task that waits for this signal takes it, or it is kept."""

    kind: ClassVar[str] = "signal-received.v1"
    signal: str
    payload: Json = None
    message_id: str
    """A copy of the message changes nothing."""
    task_id: str | None = None
    """Who took it; None: kept for whoever waits next."""


class SignalTaken(Fact):
    """A task took a signal that had come before it waited."""

    kind: ClassVar[str] = "signal-taken.v1"
    task_id: str
    signal: str


class TimerSet(Fact):
    """A task sleeps until `at`."""

    kind: ClassVar[str] = "timer-set.v1"
    task_id: str
    at: datetime


class TimerFired(Fact):
    """A task has slept enough."""

    kind: ClassVar[str] = "timer-fired.v1"
    task_id: str


class WaitEscalated(Fact):
    """The signal has not come for so long that somebody is told, by the task `escalation_id`."""

    kind: ClassVar[str] = "wait-escalated.v1"
    task_id: str
    level: int
    """From 0, in the order of the definition."""
    escalation_id: str
