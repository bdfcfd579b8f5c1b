"""How well each agent does at each capability, as the recorded outcomes tell. Bounded memory.

What counts as an outcome is decided here, once (`outcome_of`): an attempt that completed, proposed
a plan or handed its task on is a success; one that failed or ran out of time is a failure. What is
not the agent's fault is no outcome: its input was refused (a failure that is not retryable), it was
cancelled, or two attempts wrote the same key of the shared context.
"""

from bisect import bisect_left, insort
from collections import deque
from datetime import datetime
from typing import Final, NamedTuple

from dalsegno_orchestrator.directory.circuits import AttemptKey, Circuit
from dalsegno_orchestrator.workflow.events import (
    Event,
    PlanProposed,
    TaskAssigned,
    TaskCompleted,
    TaskFailed,
    TaskHandedOff,
    TaskTimedOut,
)
from dalsegno_orchestrator.workflow.scoring import Skill

OUTCOMES: Final = 100
"""So many of the newest outcomes make the success rate."""
SAMPLES: Final = 64
"""So many of the newest work times make p50 and p95."""
NOBODYS_FAULT: Final = frozenset({"task.cancelled", "context.conflict"})
"""Codes of failures that say nothing about the agent."""


class Ended(NamedTuple):
    """An attempt that an agent reported on, or was late with."""

    agent: str
    capability: str
    attempt: AttemptKey
    is_success: bool | None
    """None: it says nothing about the agent."""
    work_seconds: float = 0.0


def outcome_of(event: Event) -> Ended | None:
    """What an event says of the attempt of one agent that it ends; None: it ends none so."""
    match event:
        case TaskCompleted() | PlanProposed() | TaskHandedOff():
            return Ended(
                agent=event.agent,
                capability=event.capability,
                attempt=(event.task_id, event.attempt),
                is_success=True,
                work_seconds=event.work_seconds,
            )
        case TaskFailed(agent=str() as agent):
            is_fault = event.retryable and event.error.code not in NOBODYS_FAULT
            return Ended(
                agent=agent,
                capability=event.capability,
                attempt=(event.task_id, event.attempt),
                is_success=False if is_fault else None,
            )
        case TaskTimedOut(agent=str() as agent):
            return Ended(
                agent=agent,
                capability=event.capability,
                attempt=(event.task_id, event.attempt),
                is_success=False,
            )
        case _:
            return None


class WorkTimes:
    """The newest work times, in the order they came and in the order of their length."""

    __slots__ = ("_newest", "_sorted")

    def __init__(self) -> None:
        self._newest: deque[float] = deque()
        self._sorted: list[float] = []

    def add(self, seconds: float) -> None:
        """Take in one more; what is not above 0 was not measured."""
        if seconds <= 0.0:
            return
        if len(self._newest) == SAMPLES:
            del self._sorted[bisect_left(self._sorted, self._newest.popleft())]
        self._newest.append(seconds)
        insort(self._sorted, seconds)

    def percentile(self, percent: int) -> float:
        """The shortest time that `percent` of them (1 to 100) do not exceed; 0: none seen."""
        if not self._sorted:
            return 0.0
        rank = -(-percent * len(self._sorted) // 100)  # nearest rank, rounded up
        return self._sorted[rank - 1]


class _Record:
    """What is remembered of one agent at one capability; the sums are in its `Skill`."""

    __slots__ = ("circuit", "outcomes", "skill", "times")

    def __init__(self) -> None:
        self.skill = Skill()
        self.circuit = Circuit(self.skill)
        self.outcomes: deque[bool] = deque(maxlen=OUTCOMES)
        self.times = WorkTimes()

    def count(self, *, is_success: bool, work_seconds: float) -> None:
        skill, outcomes = self.skill, self.outcomes
        if len(outcomes) == OUTCOMES:
            if outcomes[0]:
                skill.completed -= 1
            else:
                skill.failed -= 1
        outcomes.append(is_success)
        if not is_success:
            skill.failed += 1
            return
        skill.completed += 1
        self.times.add(work_seconds)
        skill.p50_seconds = self.times.percentile(50)
        skill.p95_seconds = self.times.percentile(95)


class Skills:
    """The skills of all agents, those without a card among them: it may come later."""

    def __init__(self) -> None:
        self._records: dict[tuple[str, str], _Record] = {}
        self._tripped: dict[tuple[str, str], Circuit] = {}
        """Circuits that are not closed."""
        self._closed: set[str] = set()
        """Capabilities of circuits that have closed since `circuits_due` was asked."""

    def skill(self, agent: str, capability: str) -> Skill:
        """What was seen; the same object for ever, kept up to date."""
        return self._record(agent, capability).skill

    def assigned(self, event: TaskAssigned, now: datetime) -> None:
        """Take note of an attempt that a half open circuit let through."""
        circuit = self._tripped.get((event.agent, event.capability))
        if circuit is not None:
            circuit.assigned((event.task_id, event.attempt), now)

    def ended(self, ended: Ended, now: datetime) -> None:
        """Count an outcome."""
        key = (ended.agent, ended.capability)
        if ended.is_success is None:
            self.dropped(ended.agent, ended.attempt)
            return
        record = self._record(*key)
        record.count(is_success=ended.is_success, work_seconds=ended.work_seconds)
        if ended.is_success:
            record.circuit.succeeded(now)
        else:
            record.circuit.failed(ended.attempt, now)
        if not record.circuit.is_closed:
            self._tripped[key] = record.circuit
        elif self._tripped.pop(key, None) is not None:
            self._closed.add(ended.capability)

    def dropped(self, agent: str, attempt: AttemptKey | None) -> None:
        """An attempt of this agent ended without an outcome; None: nobody knows which ones did."""
        for (name, _), circuit in self._tripped.items():
            if name == agent:
                circuit.dropped(attempt)

    def circuits_due(self, now: datetime) -> frozenset[str]:
        """Capabilities that an agent may be tried at again: who waits for one should try."""
        due, self._closed = self._closed, set()
        for (_, capability), circuit in self._tripped.items():
            circuit.advance(now)
            if circuit.is_due(now):
                due.add(capability)
        return frozenset(due)

    def _record(self, agent: str, capability: str) -> _Record:
        key = (agent, capability)
        record = self._records.get(key)
        if record is None:
            record = self._records[key] = _Record()
        return record
