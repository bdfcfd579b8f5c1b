"""The view of agents: what each has done, as the history tells; who is alive now is not in it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from dalsegno_orchestrator.workflow import events as e
from dalsegno_projections.views.spread import counted
from dalsegno_projections.views.table import AnyTable, Change, Entry, Found, Key, Table
from dalsegno_projections.views.values import bounded, changed


@dataclass(frozen=True, kw_only=True)
class AgentRow:
    """One agent. The means follow from the sums: divide by `reports_of` it."""

    agent: str
    assigned: int = 0
    """Attempts that were given to it."""
    completed: int = 0
    failed: int = 0
    timed_out: int = 0
    rerouted: int = 0
    """Attempts that were taken from it."""
    handed_off: int = 0
    """Attempts that it handed on to another capability."""
    abandoned: int = 0
    """Attempts that nobody waited for any more: the other of a hedged task won, or the run ended.
    They are no failures."""
    queue_seconds: float = 0.0
    work_seconds: float = 0.0
    work_times: Mapping[str, int] = field(default_factory=dict[str, int])
    """How the work times of what it did well are spread (`spread`), over all its capabilities."""
    usd: float = 0.0
    tokens: int = 0
    last_seen_at: str | None = None
    """When it last reported; None: it never did."""


AGENTS: Final = Table("agents", AgentRow, ("agent",))

_Report: TypeAlias = e.TaskCompleted | e.TaskFailed | e.TaskHandedOff | e.PlanProposed


class AgentsView:
    """Folds the history into one row per agent."""

    name: str = "agents"
    events_stand_alone: bool = True
    tables: Sequence[AnyTable] = (AGENTS,)

    def touches(self, entry: Entry) -> Iterable[tuple[AnyTable, Key]]:
        agent = _agent_of(entry.event)
        named = () if agent is None else ((AGENTS, (agent,)),)
        others = _abandoned_by(entry.event)
        return (*named, *((AGENTS, (each.agent,)) for each in others)) if others else named

    def apply(self, found: Found, entry: Entry) -> Iterable[Change]:
        agent = _agent_of(entry.event)
        others = _abandoned_by(entry.event)
        rows: dict[str, AgentRow] = {}
        if agent is not None:
            row = apply(found.get(AGENTS, (agent,)) or AgentRow(agent=agent), entry)
            if not others:
                return ((AGENTS, (agent,), row),)
            rows[agent] = row
        for each in others:
            row = rows.get(each.agent) or found.get(AGENTS, (each.agent,))
            row = row or AgentRow(agent=each.agent)
            rows[each.agent] = changed(row, abandoned=row.abandoned + 1)
        return [(AGENTS, (name,), row) for name, row in rows.items()]


_CANCELLED: Final = "task.cancelled"
"""An attempt that ended because its run did: no failure of the agent."""


def reports_of(row: AgentRow) -> int:
    """How many reports its sums of seconds are made of."""
    return row.completed + row.failed + row.handed_off


def apply(row: AgentRow, entry: Entry) -> AgentRow:
    """The agent's row after one more event about it."""
    event = entry.event
    match event:
        case e.TaskAssigned():
            return changed(row, assigned=row.assigned + 1)
        case e.TaskCompleted() | e.PlanProposed():
            return changed(row, completed=row.completed + 1, **_reported(row, event, entry.at))
        case e.TaskFailed() if event.error.code == _CANCELLED:
            seen = max(entry.at, row.last_seen_at or "")
            return changed(row, abandoned=row.abandoned + 1, last_seen_at=seen)
        case e.TaskFailed():
            return changed(row, failed=row.failed + 1, **_reported(row, event, entry.at))
        case e.TaskHandedOff():
            return changed(row, handed_off=row.handed_off + 1, **_reported(row, event, entry.at))
        case e.PlanRejected():  # of the attempt that had reported it
            return changed(row, completed=row.completed - 1, failed=row.failed + 1)
        case e.TaskTimedOut():
            return changed(row, timed_out=row.timed_out + 1)
        case e.TaskRerouted():
            return changed(row, rerouted=row.rerouted + 1)
        case e.AttemptProgressed():
            return changed(row, last_seen_at=max(entry.at, row.last_seen_at or ""))
        case _:
            return row


def _agent_of(event: e.Event) -> str | None:
    match event:
        case (
            e.TaskAssigned() | e.TaskCompleted() | e.TaskFailed() | e.TaskTimedOut()
            | e.TaskRerouted() | e.TaskHandedOff() | e.PlanProposed() | e.PlanRejected()
            | e.AttemptProgressed()
        ):  # fmt: skip
            return event.agent
        case _:
            return None


def _abandoned_by(event: e.Event) -> Sequence[e.Abandoned]:
    """The attempts that nobody waits for any more, as far as their agents are known."""
    match event:
        case e.TaskAssigned():  # every second event: found out first
            return ()
        case (
            e.TaskCompleted() | e.TaskHandedOff() | e.PlanProposed()
            | e.RunCompleted() | e.RunFailed() | e.RunCancelled() | e.RunCompensationFailed()
            | e.CompensationStarted() | e.RunRewound()
        ):  # fmt: skip
            return [each for each in event.abandoned if each.agent] if event.abandoned else ()
        case _:
            return ()


def _reported(row: AgentRow, event: _Report, at: str) -> dict[str, Any]:
    changes: dict[str, Any] = {
        "queue_seconds": row.queue_seconds + event.queue_seconds,
        "work_seconds": row.work_seconds + event.work_seconds,
        "last_seen_at": max(at, row.last_seen_at or ""),
    }
    if not isinstance(event, e.TaskFailed):  # how fast it gives up says nothing
        changes["work_times"] = counted(row.work_times, event.work_seconds)
    if event.usage is not None:
        changes["usd"] = row.usd + event.usage.usd
        changes["tokens"] = bounded(row.tokens + event.usage.tokens)
    return changes
