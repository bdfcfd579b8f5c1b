"""How good an agent is for a task: a number from 0 to 1, and what it is made of. Pure.

    score = sum(weight · part) / sum(weight)

over these parts, each from 0 to 1, with the weights of `policies.Weights` (only ratios count):

- success: (completed + 1) / (completed + failed + 2) over the newest outcomes. Laplace's rule of
  succession ("Essai philosophique sur les probabilités", 1814): nobody starts at 0 or at 1.
- idle: 1 / (1 + open attempts per slot), those included that the decision under way has given it.
- speed: the p50 of the fastest candidate's work time over this one's.
- steadiness: its own p50 over its own p95.
- preferred: the share of the preferred labels that it has.
- thrift: the cheapest candidate's cost over this one's.
- affinity: 1 if it is the agent that the task should be near; left out, weight and all, for a task
  that has no such wish.

What nobody knows yet counts as 1, so that a newcomer is tried.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final, Literal, TypeAlias

from dalsegno_bus.messages import Labels
from dalsegno_orchestrator.workflow.grammar.policies import Weights

CircuitState: TypeAlias = Literal["closed", "open", "half_open"]

PARTS: Final = ("success", "idle", "speed", "steadiness", "preferred", "thrift", "affinity")
"""The parts of a score, in the order of `parts_of`; without a wish to be near, all but the last."""


@dataclass(slots=True, kw_only=True)
class Skill:
    """What was seen of one agent at one capability."""

    completed: int = 0
    """Of the newest outcomes; what was not the agent's fault is neither this nor `failed`."""
    failed: int = 0
    p50_seconds: float = 0.0
    """Half of the newest attempts that completed took no longer; 0: none seen."""
    p95_seconds: float = 0.0
    cost_usd: float = 0.0
    """As its card says."""
    circuit: CircuitState = "closed"
    """Open: it gets nothing. Half open: one attempt at a time, to see whether it works again."""
    next_try_at: datetime | None = None
    """While open: when it will be half open."""
    is_trying: bool = False
    """While half open: that one attempt is under way."""


@dataclass(slots=True, kw_only=True)
class AgentView:
    """One agent as the orchestrator sees it now."""

    name: str
    labels: Labels
    skills: Mapping[str, Skill]
    slots: int
    """How many attempts its live replicas work on at once; 0: no replica lives."""
    open_attempts: int = 0
    draining: bool = False
    """It finishes what it has, and gets nothing new."""
    room: int | None = None
    """How many more attempts may queue for it; None: any number."""


def parts_of(
    view: AgentView,
    skill: Skill,
    *,
    prefer: Labels,
    near: str | None,
    taken: int,
    fastest: float,
    cheapest: float,
) -> tuple[float, ...]:
    """The parts of an agent's score.

    Args:
        view: The agent.
        skill: What was seen of it at the capability in question.
        prefer: The labels that the task prefers.
        near: The agent that the task should be near; None: no such wish.
        taken: What the decision under way has given the agent already.
        fastest: The shortest p50 among the candidates, in seconds; 0: unknown.
        cheapest: The lowest cost among the candidates, in USD.
    """
    p50, cost, completed = skill.p50_seconds, skill.cost_usd, skill.completed
    preferred = 1.0
    if prefer:
        labels = view.labels
        preferred = sum(labels.get(key) == value for key, value in prefer.items()) / len(prefer)
    parts = (
        (completed + 1) / (completed + skill.failed + 2),
        1.0 / (1.0 + max(0, view.open_attempts + taken) / (view.slots or 1)),
        fastest / p50 if p50 > 0 and fastest > 0 else 1.0,
        p50 / skill.p95_seconds if skill.p95_seconds > p50 > 0 else 1.0,
        preferred,
        cheapest / cost if cost > 0 else 1.0,
    )
    return parts if near is None else (*parts, 1.0 if view.name == near else 0.0)


def shares(weights: Weights, *, is_near: bool) -> tuple[float, ...]:
    """What share each part has in the score; together 1, or all 0 if every weight is.

    Args:
        weights: As the workflow sets them.
        is_near: Whether the task should be near an agent.
    """
    listed = (
        weights.success, weights.idle, weights.speed, weights.steadiness, weights.preferred,
        weights.thrift,
    )  # fmt: skip
    return _shares((*listed, weights.affinity) if is_near else listed)


@lru_cache(maxsize=1024)
def _shares(weights: tuple[float, ...]) -> tuple[float, ...]:
    total = sum(weights)
    return tuple(weight / total for weight in weights) if total > 0 else weights


def tipped(
    shared: Sequence[float], best: Sequence[float], second: Sequence[float]
) -> tuple[str, float, float] | None:
    """The part that gave the best agent its largest lead, and both values; None: no lead at all."""
    leads = [share * (one - other) for share, one, other in zip(shared, best, second, strict=True)]
    lead = max(leads)
    if lead <= 0.0:
        return None
    number = leads.index(lead)
    return PARTS[number], best[number], second[number]
