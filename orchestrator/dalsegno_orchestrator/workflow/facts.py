"""What a decision may know beside the run, and what it hears that no message brings."""

from dataclasses import dataclass
from datetime import datetime

from dalsegno_orchestrator.workflow.assignment import Agents


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeReached:
    """Something in the run may be due."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentsChanged:
    """An agent joined, or lost its last replica: parked and queued tasks are looked at again."""

    gone: frozenset[str] = frozenset()
    """Agents that have had no live replica for a while."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a decision may know beside the run and the message."""

    now: datetime
    chance: float
    """0 to 1: spreads retries."""
    message_id: str
    agents: Agents
