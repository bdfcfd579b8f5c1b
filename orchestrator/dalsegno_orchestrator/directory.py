"""Who could do what: the agents seen, as their cards, their presence and the history tell.

Cards and presence come from a key-value bucket; how well an agent does, and how much it has to do,
comes from the events that are recorded here. One loop writes, the same loop reads: no lock.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from pydantic import TypeAdapter

from dalsegno_bus.bus import Entry
from dalsegno_bus.codec import decode
from dalsegno_bus.errors import DecodeFailed
from dalsegno_bus.ids import is_token
from dalsegno_bus.messages import AgentCard, Presence
from dalsegno_orchestrator.workflow.assignment import AgentView, Skill
from dalsegno_orchestrator.workflow.events import (
    RunCancelled,
    RunEvent,
    RunFailed,
    TaskAssigned,
    TaskCompleted,
    TaskFailed,
    TaskRerouted,
    TaskTimedOut,
)
from dalsegno_orchestrator.workflow.run import Run

_CARD = TypeAdapter(AgentCard)
_PRESENCE = TypeAdapter(Presence)

MEMORY_OF_WORK: Final = 0.2
"""Weight of the newest attempt in the mean work time."""


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


class Directory:
    """The agents of a namespace. Implements `assignment.Agents`."""

    def __init__(self) -> None:
        self._agents: dict[str, _Agent] = {}
        self._open: dict[str, int] = {}
        self._skills: dict[tuple[str, str], Skill] = {}
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
            DecodeFailed: The value is neither a card nor a presence.
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

    def absent(self) -> frozenset[str]:
        """Agents that were told to be gone, and have not come back."""
        return frozenset(name for name, agent in self._agents.items() if agent.reported_gone)

    # --- what the history tells ---------------------------------------------------------------

    def observe(self, events: Sequence[RunEvent]) -> None:
        """Count what was decided."""
        for event in events:
            match event:
                case TaskAssigned():
                    self._add_open(event.agent, 1)
                case TaskCompleted():
                    self._finished(event.agent, event.capability, event.work_seconds, ok=True)
                case TaskFailed(agent=str() as agent):
                    self._finished(agent, event.capability, event.work_seconds, ok=False)
                case TaskTimedOut(agent=str() as agent):
                    self._finished(agent, event.capability, 0.0, ok=False)
                case TaskRerouted():
                    self._add_open(event.agent, -1)
                case RunFailed() | RunCancelled():
                    for abandoned in event.abandoned:
                        self._add_open(abandoned.agent, -1)
                case _:
                    pass

    def admit(self, run: Run) -> None:
        """Count the open attempts of a run that was loaded."""
        for task in run.assigned.values():
            self._add_open(task.agent or "", 1)

    def dismiss(self, run: Run) -> None:
        """Count them no more: the run was dropped from memory."""
        for task in run.assigned.values():
            self._add_open(task.agent or "", -1)

    def recount(self, runs: Iterable[Run]) -> None:
        """Count open attempts anew: a decision broke off, and nobody knows what it changed."""
        for agent in self._open:
            self._add_open(agent, -self._open[agent])
        for run in runs:
            self.admit(run)

    # --- inside -------------------------------------------------------------------------------

    def _hear_card(self, card: AgentCard, now: datetime) -> bool:
        skills: dict[str, Skill] = {}
        for capability in card.capabilities:
            skill = self._skills.setdefault((card.agent, capability.name), Skill())
            skill.cost_usd = capability.cost_usd
            skills[capability.name] = skill
        known = self._agents.get(card.agent)
        view = AgentView(
            name=card.agent,
            labels=card.labels,
            skills=skills,
            slots=known.view.slots if known else 0,
            open_attempts=self._open.get(card.agent, 0),
        )
        if known is None:
            self._agents[card.agent] = _Agent(view, alone_since=now)
        else:
            known.view = view
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

    def _lose(self, name: str, replica: str, now: datetime) -> None:
        agent = self._agents.get(name)
        if agent is not None and agent.replicas.pop(replica, None) is not None:
            self._count_slots(agent, now)

    def _count_slots(self, agent: _Agent, now: datetime) -> None:
        live = [replica for replica in agent.replicas.values() if not replica.presence.draining]
        agent.view.slots = sum(replica.presence.concurrency for replica in live)
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

    def _add_open(self, agent: str, change: int) -> None:
        count = self._open.get(agent, 0) + change
        self._open[agent] = count
        known = self._agents.get(agent)
        if known is not None:
            known.view.open_attempts = count

    def _finished(self, agent: str, capability: str, work_seconds: float, *, ok: bool) -> None:
        self._add_open(agent, -1)
        skill = self._skills.setdefault((agent, capability), Skill())
        if ok:
            skill.completed += 1
            skill.work_seconds += MEMORY_OF_WORK * (work_seconds - skill.work_seconds)
        else:
            skill.failed += 1
