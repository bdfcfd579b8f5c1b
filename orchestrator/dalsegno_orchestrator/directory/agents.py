"""Who could do what: the agents seen, as their cards, their presence and the history tell.

Cards, presence and drain marks come from a key-value bucket; how well an agent does (`skills`), and
how much it has to do, comes from the events that are recorded. It decides nothing: it says what is.
One loop writes, the same loop reads: no lock.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil
from typing import Final, Protocol, cast

from pydantic import TypeAdapter

from dalsegno_bus.bus import Entry
from dalsegno_bus.codec import decode
from dalsegno_bus.errors import DecodeFailed
from dalsegno_bus.ids import is_token
from dalsegno_bus.messages import AgentCard, Drained, Presence
from dalsegno_orchestrator.directory.skills import Ended, Skills, WorkTimes, outcome_of
from dalsegno_orchestrator.workflow.assignment import AgentView
from dalsegno_orchestrator.workflow.events import (
    EVENT_TYPES,
    Abandoned,
    Event,
    RunEvent,
    TaskAssigned,
    TaskRerouted,
)
from dalsegno_orchestrator.workflow.run import Run
from dalsegno_orchestrator.workflow.scoring import Skill

_CARD = TypeAdapter(AgentCard)
_PRESENCE = TypeAdapter(Presence)
_DRAINED = TypeAdapter(Drained)

QUEUE_SECONDS: Final = 1.0
"""About so much work may queue for an agent, so that what is urgent does not come last."""
QUEUE_UNKNOWN: Final = 16
"""So many attempts may queue while nobody knows how long its work takes, or one for each slot."""
QUEUE_MAX: Final = 20_000
"""Never more; and so many for an agent without a live replica, which is started by its queue."""
DRAIN_SETTLE_SECONDS: Final = 10.0
"""After so long every live replica has told which attempts it has begun."""

_ENDING_OTHERS: Final = frozenset(
    kind for kind in EVENT_TYPES.values() if "abandoned" in kind.model_fields
)
"""Kinds of events that list attempts which nobody waits for any more: no kind can be forgotten."""


class _EndingOthers(Protocol):
    @property
    def abandoned(self) -> tuple[Abandoned, ...]: ...


@dataclass(slots=True)
class _Replica:
    presence: Presence
    seen_at: datetime
    working: dict[str, datetime] = field(default_factory=dict[str, datetime])
    """Since when each attempt is seen there."""


@dataclass(slots=True)
class _Agent:
    view: AgentView
    replicas: dict[str, _Replica] = field(default_factory=dict[str, _Replica])
    alone_since: datetime | None = None
    """Since when no replica lives."""
    reported_gone: bool = False
    queue_max: int = QUEUE_MAX
    """How many attempts may be open at the same time."""


@dataclass(slots=True)
class _DrainMark:
    since: datetime
    reported: bool = False


class Directory:
    """The agents of a namespace. Implements `assignment.Agents`."""

    def __init__(self) -> None:
        self._agents: dict[str, _Agent] = {}
        self._open: dict[str, int] = {}
        self._skills = Skills()
        self._paces: dict[str, WorkTimes] = {}
        """By agent, over all that it does."""
        self._drained: dict[str, _DrainMark] = {}
        self._freed: set[str] = set()
        self._capabilities: dict[str, list[AgentView]] = {}

    # --- what decisions ask -------------------------------------------------------------------

    def capable(self, capability: str) -> Sequence[AgentView]:
        return self._capabilities.get(capability, ())

    def working_since(self, agent: str, attempt_key: str) -> datetime | None:
        known = self._agents.get(agent)
        if known is None:
            return None
        seen = [replica.working.get(attempt_key) for replica in known.replicas.values()]
        return min((since for since in seen if since is not None), default=None)

    # --- what the bucket tells ----------------------------------------------------------------

    def hear(self, entry: Entry, now: datetime) -> bool:
        """Take in one entry of the bucket; True if more can be assigned than before.

        Raises:
            DecodeFailed: The value is no card, presence or drain mark, or belongs elsewhere.
        """
        what, _, name = entry.key.partition(".")
        if what == "card" and entry.value is not None:
            card = decode(_CARD, entry.value)
            if card.agent != name or not is_token(name):  # it will be part of a subject
                raise DecodeFailed(f"a card of {card.agent!r} does not belong under {entry.key!r}")
            return self._hear_card(card, now)
        if what == "live":
            agent, _, replica = name.partition(".")
            if entry.value is None:
                self._lose(agent, replica, now)
                return False
            presence = decode(_PRESENCE, entry.value)
            if (presence.agent, presence.replica) != (agent, replica):
                raise DecodeFailed(f"presence of {presence.agent!r} does not belong there")
            return self._hear_presence(presence, now)
        if what == "drained":
            return self._hear_drained(name, entry.value, now)
        return False

    def expire(self, now: datetime) -> None:
        """Forget replicas that have been silent for longer than their presence lives."""
        for name, agent in self._agents.items():
            for replica_id, replica in list(agent.replicas.items()):
                silent_seconds = (now - replica.seen_at).total_seconds()
                if silent_seconds > replica.presence.ttl_seconds:
                    self._lose(name, replica_id, now)

    def gone(self, now: datetime, *, after_seconds: float) -> frozenset[str]:
        """Agents that have had no live replica for so long, each told once."""
        limit = timedelta(seconds=after_seconds)
        found: set[str] = set()
        for name, agent in self._agents.items():
            if agent.alone_since is None or agent.reported_gone:
                continue
            if now - agent.alone_since >= limit:
                agent.reported_gone = True
                found.add(name)
        return frozenset(found)

    def drained(self, now: datetime) -> frozenset[str]:
        """Agents that are being drained, each told once, when it is seen what they have begun.

        What they have not begun may go to others: `working_since` tells the one from the other.
        """
        settled = timedelta(seconds=DRAIN_SETTLE_SECONDS)
        found: set[str] = set()
        for name, mark in self._drained.items():
            if not mark.reported and now - mark.since >= settled:
                mark.reported = True
                found.add(name)
        return frozenset(found)

    def absent(self) -> frozenset[str]:
        """Agents that were told to be gone or drained, and have not come back."""
        gone = {name for name, agent in self._agents.items() if agent.reported_gone}
        return frozenset(gone | {name for name, mark in self._drained.items() if mark.reported})

    def circuits_due(self, now: datetime) -> frozenset[str]:
        """Capabilities that an agent may be tried at again, after failures: see `circuits`.

        Ask about once a second: this is also what lets time pass for circuits. Parked tasks that
        ask for one of these should be looked at.
        """
        return self._skills.circuits_due(now)

    def freed(self) -> frozenset[str]:
        """Agents whose queue was full and is not any more, since this was asked."""
        freed, self._freed = self._freed, set()
        return frozenset(freed)

    def capabilities_of(self, agents: Iterable[str]) -> frozenset[str]:
        """Everything that any of these agents can do."""
        known = (self._agents[name] for name in agents if name in self._agents)
        return frozenset(capability for agent in known for capability in agent.view.skills)

    # --- what the history tells ---------------------------------------------------------------

    def observe(self, events: Sequence[RunEvent], now: datetime) -> None:
        """Count what was decided at `now`."""
        for event in events:
            ended = outcome_of(event)
            if ended is not None:
                self._add_open(ended.agent, -1)
                self._count(ended, now)
            if type(event) is TaskAssigned:
                self._add_open(event.agent, 1)
                self._skills.assigned(event, now)
            elif type(event) is TaskRerouted:
                self._drop(event.agent, event.task_id, event.attempt)
            if type(event) in _ENDING_OTHERS:
                for one in cast("_EndingOthers", event).abandoned:
                    self._drop(one.agent, one.task_id, one.attempt)

    def recall(self, events: Iterable[tuple[Event, datetime]]) -> None:
        """Learn from the past how well agents do: events with their times, oldest first.

        What is open is counted by `admit`, not here.
        """
        for event, at in events:
            ended = outcome_of(event)
            if ended is not None:
                self._count(ended, at)

    def admit(self, run: Run) -> None:
        """Count the open attempts of a run that was loaded."""
        for task in run.assigned.values():
            for _, agent in task.open_attempts():
                self._add_open(agent, 1)

    def dismiss(self, run: Run) -> None:
        """Count them no more: the run was dropped from memory."""
        for task in run.assigned.values():
            for number, agent in task.open_attempts():
                self._drop(agent, task.id, number)

    def recount(self, runs: Iterable[Run]) -> None:
        """Count open attempts anew: a decision broke off, and nobody knows what it changed."""
        for agent, count in self._open.items():
            self._add_open(agent, -count)
            self._skills.dropped(agent, None)
        for run in runs:
            self.admit(run)

    # --- inside -------------------------------------------------------------------------------

    def _hear_card(self, card: AgentCard, now: datetime) -> bool:
        skills: dict[str, Skill] = {}
        for capability in card.capabilities:
            skill = skills[capability.name] = self._skills.skill(card.agent, capability.name)
            skill.cost_usd = capability.cost_usd
        known = self._agents.get(card.agent)
        view = AgentView(
            name=card.agent,
            labels=card.labels,
            skills=skills,
            slots=known.view.slots if known else 0,
            draining=card.agent in self._drained,
        )
        if known is None:
            known = self._agents[card.agent] = _Agent(view, alone_since=now)
        else:
            known.view = view
        self._measure(known)
        self._index()
        return True

    def _hear_presence(self, presence: Presence, now: datetime) -> bool:
        agent = self._agents.get(presence.agent)
        if agent is None:
            return False  # its card has not come yet; the next presence will count
        replica = agent.replicas.get(presence.replica)
        before = agent.view.slots
        if replica is None:
            replica = agent.replicas[presence.replica] = _Replica(presence, now)
        replica.presence, replica.seen_at = presence, now
        replica.working = {key: replica.working.get(key, now) for key in presence.working}
        self._count_slots(agent, now)
        return agent.view.slots > before

    def _hear_drained(self, name: str, value: bytes | None, now: datetime) -> bool:
        if value is not None and decode(_DRAINED, value).agent != name:
            raise DecodeFailed(f"the mark under 'drained.{name}' is about another agent")
        known = self._agents.get(name)
        was_drained = name in self._drained
        if value is None:
            self._drained.pop(name, None)
        elif not was_drained:
            self._drained[name] = _DrainMark(since=now)
        if known is not None:
            known.view.draining = value is not None
        return value is None and was_drained and known is not None

    def _lose(self, name: str, replica: str, now: datetime) -> None:
        agent = self._agents.get(name)
        if agent is not None and agent.replicas.pop(replica, None) is not None:
            self._count_slots(agent, now)

    def _count_slots(self, agent: _Agent, now: datetime) -> None:
        live = [replica for replica in agent.replicas.values() if not replica.presence.draining]
        agent.view.slots = sum(replica.presence.concurrency for replica in live)
        self._measure(agent)
        if agent.replicas:
            agent.alone_since, agent.reported_gone = None, False
        elif agent.alone_since is None:
            agent.alone_since = now

    def _index(self) -> None:
        index: dict[str, list[AgentView]] = {}
        for name in sorted(self._agents):
            view = self._agents[name].view
            for capability in view.skills:
                index.setdefault(capability, []).append(view)
        self._capabilities = index

    def _measure(self, agent: _Agent) -> None:
        """Say anew how much may queue for an agent."""
        pace = self._paces.get(agent.view.name)
        p50_seconds = pace.percentile(50) if pace is not None else 0.0
        agent.queue_max = queue_max(agent.view.slots, p50_seconds)
        self._place(agent)

    def _place(self, agent: _Agent) -> None:
        view = agent.view
        view.open_attempts = self._open.get(view.name, 0)
        room = max(0, agent.queue_max - view.open_attempts)
        if room > 0 and view.room == 0:
            self._freed.add(view.name)
        view.room = room

    def _add_open(self, agent: str, change: int) -> None:
        self._open[agent] = self._open.get(agent, 0) + change
        known = self._agents.get(agent)
        if known is not None:
            self._place(known)

    def _drop(self, agent: str, task_id: str, attempt: int) -> None:
        self._add_open(agent, -1)
        self._skills.dropped(agent, (task_id, attempt))

    def _count(self, ended: Ended, now: datetime) -> None:
        self._skills.ended(ended, now)
        if ended.is_success and ended.work_seconds > 0.0:
            pace = self._paces.get(ended.agent)
            if pace is None:
                pace = self._paces[ended.agent] = WorkTimes()
            pace.add(ended.work_seconds)
            known = self._agents.get(ended.agent)
            if known is not None:
                self._measure(known)


def queue_max(slots: int, p50_seconds: float) -> int:
    """How many attempts may be open at an agent: what it works on and about a second's work more.

    Args:
        slots: How many it works on at once; 0: no replica lives.
        p50_seconds: How long an attempt takes it; 0: unknown.
    """
    if slots == 0:
        return QUEUE_MAX
    if p50_seconds <= 0.0:
        return min(QUEUE_MAX, slots + max(slots, QUEUE_UNKNOWN))
    return min(QUEUE_MAX, max(slots + 1, ceil(slots * (1.0 + QUEUE_SECONDS / p50_seconds))))
