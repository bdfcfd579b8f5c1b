"""The view of agents: what each has done, as the history tells; who is alive now is not in it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from dalsegno_orchestrator.workflow import events as e
from dalsegno_projections.views.table import AnyTable, Change, Entry, Found, Key, Table, changed
from dalsegno_projections.views.values import bounded


@dataclass(frozen=True, kw_only=True)
class AgentRow:
    """One agent. The means follow from the sums: divide by `completed + failed`."""

    agent: str
    assigned: int = 0
    """Attempts that were given to it."""
    completed: int = 0
    failed: int = 0
    timed_out: int = 0
    rerouted: int = 0
    """Attempts that were taken from it."""
    queue_seconds: float = 0.0
    work_seconds: float = 0.0
    usd: float = 0.0
    tokens: int = 0
    last_seen_at: str | None = None
    """When it last reported; None: it never did."""


AGENTS: Final = Table("agents", AgentRow, ("agent",))


class AgentsView:
    """Folds the history into one row per agent."""

    name: str = "agents"
    tables: Sequence[AnyTable] = (AGENTS,)

    def touches(self, entry: Entry) -> Iterable[tuple[AnyTable, Key]]:
        agent = _agent_of(entry.event)
        return () if agent is None else ((AGENTS, (agent,)),)

    def apply(self, found: Found, entry: Entry) -> Iterable[Change]:
        agent = _agent_of(entry.event)
        if agent is None:
            return ()
        row = found.get(AGENTS, (agent,)) or AgentRow(agent=agent)
        return ((AGENTS, (agent,), apply(row, entry)),)


def apply(row: AgentRow, entry: Entry) -> AgentRow:
    """The agent's row after one more event about it."""
    event = entry.event
    match event:
        case e.TaskAssigned():
            return changed(row, assigned=row.assigned + 1)
        case e.TaskCompleted():
            return changed(row, completed=row.completed + 1, **_reported(row, event, entry.at))
        case e.TaskFailed():
            return changed(row, failed=row.failed + 1, **_reported(row, event, entry.at))
        case e.TaskTimedOut():
            return changed(row, timed_out=row.timed_out + 1)
        case e.TaskRerouted():
            return changed(row, rerouted=row.rerouted + 1)
        case _:
            return row


def _agent_of(event: e.Event) -> str | None:
    match event:
        case (
            e.TaskAssigned()
            | e.TaskCompleted()
            | e.TaskFailed()
            | e.TaskTimedOut()
            | e.TaskRerouted()
        ):
            return event.agent
        case _:
            return None


def _reported(row: AgentRow, event: e.TaskCompleted | e.TaskFailed, at: str) -> dict[str, Any]:
    changes: dict[str, Any] = {
        "queue_seconds": row.queue_seconds + event.queue_seconds,
        "work_seconds": row.work_seconds + event.work_seconds,
        "last_seen_at": max(at, row.last_seen_at or ""),
    }
    if event.usage is not None:
        changes["usd"] = row.usd + event.usage.usd
        changes["tokens"] = bounded(row.tokens + event.usage.tokens)
    return changes
