"""What a decision may know beside the run, and what it hears that no message brings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from dalsegno_bus.ids import TaskId
from dalsegno_orchestrator.workflow.assignment import Agents
from dalsegno_orchestrator.workflow.events import Permit
from dalsegno_orchestrator.workflow.grammar.policies import Limits as Declared
from dalsegno_orchestrator.workflow.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeReached:
    """Something in the run may be due."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentsChanged:
    """An agent joined, or lost its last replica: parked and queued tasks are looked at again."""

    gone: frozenset[str] = frozenset()
    """Agents that have had no live replica for a while."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TasksFreed:
    """What these parked tasks wait for may be there now."""

    tasks: tuple[TaskId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanChosen:
    """Somebody asks for the run to follow another version of its workflow."""

    plan: Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortage:
    """A limit that leaves no room now."""

    limit: str
    reason: str
    """For people."""
    until: datetime | None = None
    """When a rate leaves room again; None: when somebody gives back what he took."""


class Limits(Protocol):
    """What is taken of the limits, as far as a decision needs it."""

    def is_set(self, limit: str) -> bool:
        """Whether there is such a limit (`capability:…` or `quota:…`)."""
        ...

    def shortage(
        self,
        wanted: Sequence[Permit],
        *,
        declared: Declared,
        taken: Mapping[str, float],
        now: datetime,
    ) -> Shortage | None:
        """The limit that stands in the way of taking all of these at once; None: there is room.

        Args:
            wanted: What is to be taken.
            declared: What the workflow says of itself, for `workflow:…`.
            taken: By limit, what the decision under way has taken already.
            now: The time now (UTC).
        """
        ...


class NoLimits:
    """Where there are none."""

    def is_set(self, limit: str) -> bool:
        del limit
        return False

    def shortage(
        self,
        wanted: Sequence[Permit],
        *,
        declared: Declared,
        taken: Mapping[str, float],
        now: datetime,
    ) -> Shortage | None:
        del wanted, declared, taken, now
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a decision may know beside the run and the message."""

    now: datetime
    chance: float
    """0 to 1: spreads retries."""
    message_id: str
    agents: Agents
    limits: Limits = field(default_factory=NoLimits)
