"""Which agent gets a task: the candidates, their scores, the choice and its reason. Pure.

An agent fits if it has the capability and every required label, and is the one that the task is
pinned to, if it is. A fitting agent is no candidate while it is drained, while its queue is full,
and while its circuit for the capability is open (the pattern: Nygard, "Release It!", 2007; the
numbers: see `circuits`) or is being tried with another attempt. Those that failed this very task
are asked only when no other candidate is left, and agents without a live replica only when no live
one is. Among the rest the highest score wins (formula and sources: `scoring`), ties by name.

Nobody is left: the task parks, and the text says what would have to change.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter, mul
from types import MappingProxyType
from typing import Final, Protocol

from dalsegno_bus.messages import Labels
from dalsegno_orchestrator.workflow.events import Candidate
from dalsegno_orchestrator.workflow.grammar.policies import Weights
from dalsegno_orchestrator.workflow.scoring import (
    PARTS,
    AgentView,
    CircuitState,
    Skill,
    parts_of,
    shares,
    tipped,
)

__all__ = ["AgentView", "Agents", "Choice", "CircuitState", "Skill", "choose"]

CANDIDATES_RECORDED_MAX: Final = 8
"""More than these are not written into the history."""
NAMED_MAX: Final = 5
"""So many agents are named in one reason."""
_BESIDES: Final = "works on it already"
DEFAULT_WEIGHTS: Final = Weights()
NOTHING_TAKEN: Final[Mapping[str, int]] = MappingProxyType({})


class Agents(Protocol):
    """The directory, as far as a decision needs it."""

    def capable(self, capability: str) -> Sequence[AgentView]:
        """Every agent that says it can do this, ordered by name."""
        ...

    def working_since(self, agent: str, attempt_key: str) -> datetime | None:
        """Since when a live replica is seen working on this attempt; None: it is not seen."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Who gets the task, of whom, and why."""

    agent: str
    candidates: tuple[Candidate, ...]
    reason: str


def choose(
    agents: Agents,
    capability: str,
    *,
    requires: Labels,
    prefer: Labels,
    pinned: str | None,
    avoid: Collection[str],
    weights: Weights = DEFAULT_WEIGHTS,
    near: str | None = None,
    taken: Mapping[str, int] = NOTHING_TAKEN,
    only_others: bool = False,
    besides: str | None = None,
) -> Choice | str:
    """The best agent for a task, or in words why there is none.

    Args:
        agents: Who is there.
        capability: What the task asks for.
        requires: Labels that an agent must have.
        prefer: Labels that it should have.
        pinned: The only agent that may have it; None: any.
        avoid: Agents that failed it before: asked last.
        weights: How much each part of a score counts.
        near: The agent that the task should go to if it can; None: no such wish.
        taken: By agent, what the decision under way has given it already; it counts as open.
        only_others: Never ask those in `avoid`.
        besides: Never ask this agent: it works on another attempt of the task.
    """
    capable = agents.capable(capability)
    fitting = _fitting(capable, requires, pinned)
    if not fitting:
        return _why_none_fits(capability, capable, requires, pinned)
    left_out: dict[str, str] = {}
    free: list[AgentView] = []
    for view in fitting:
        why = _BESIDES if view.name == besides else _bar(view, view.skills[capability], taken)
        if why is None:
            free.append(view)
        else:
            left_out[view.name] = why
    if avoid:
        free = _spared(free, frozenset(avoid), left_out, only_others=only_others)
    if not free:
        return f"no agent can take it now: {_listed(left_out)}"
    pool = [view for view in free if view.slots > 0] or free
    if len(pool) == 1:
        candidates, words = _alone(pool[0], capability, prefer, near, taken, weights)
    else:
        candidates, words = _ranked(pool, capability, prefer, near, taken, weights)
    if pool[0].slots == 0:
        words += "; no live replica: waits in its queue"
    if left_out:
        words += f"; left out: {_listed(left_out)}"
    return Choice(agent=candidates[0].agent, candidates=candidates, reason=words)


def _fitting(
    capable: Sequence[AgentView], requires: Labels, pinned: str | None
) -> Sequence[AgentView]:
    if pinned is None and not requires:
        return capable
    return [
        view
        for view in capable
        if (pinned is None or view.name == pinned) and _has(view.labels, requires)
    ]


def _spared(
    free: list[AgentView], avoided: frozenset[str], left_out: dict[str, str], *, only_others: bool
) -> list[AgentView]:
    """Those who have not failed the task; all, if all have and they may be asked again."""
    fresh = [view for view in free if view.name not in avoided]
    if fresh or only_others:
        left_out.update((view.name, "had it before") for view in free if view.name in avoided)
        return fresh
    return free


def _alone(
    view: AgentView,
    capability: str,
    prefer: Labels,
    near: str | None,
    taken: Mapping[str, int],
    weights: Weights,
) -> tuple[tuple[Candidate, ...], str]:
    """The common case, without a comparison."""
    skill, given = view.skills[capability], taken.get(view.name, 0)
    parts = parts_of(
        view,
        skill,
        prefer=prefer,
        near=near,
        taken=given,
        fastest=skill.p50_seconds,
        cheapest=skill.cost_usd,
    )
    score = sum(map(mul, shares(weights, is_near=near is not None), parts))
    candidate = Candidate(
        agent=view.name,
        score=round(score, 4),
        open_attempts=view.open_attempts + given,
        live=view.slots > 0,
    )
    return (candidate,), "only candidate"


def _ranked(
    pool: Sequence[AgentView],
    capability: str,
    prefer: Labels,
    near: str | None,
    taken: Mapping[str, int],
    weights: Weights,
) -> tuple[tuple[Candidate, ...], str]:
    """The best of several, the best first, and why."""
    skills = [view.skills[capability] for view in pool]
    fastest = min((skill.p50_seconds for skill in skills if skill.p50_seconds > 0), default=0.0)
    cheapest = min(skill.cost_usd for skill in skills)
    shared = shares(weights, is_near=near is not None)
    ranked: list[tuple[float, str, AgentView, tuple[float, ...]]] = []
    for view, skill in zip(pool, skills, strict=True):
        parts = parts_of(
            view,
            skill,
            prefer=prefer,
            near=near,
            taken=taken.get(view.name, 0),
            fastest=fastest,
            cheapest=cheapest,
        )
        ranked.append((-round(sum(map(mul, shared, parts)), 4), view.name, view, parts))
    ranked.sort(key=itemgetter(0, 1))
    candidates = tuple(
        Candidate(
            agent=name,
            score=-below,
            open_attempts=view.open_attempts + taken.get(name, 0),
            live=view.slots > 0,
            parts={part: round(value, 4) for part, value in zip(PARTS, parts, strict=False)},
        )
        for below, name, view, parts in ranked[:CANDIDATES_RECORDED_MAX]
    )
    lead = tipped(shared, ranked[0][3], ranked[1][3])
    return candidates, f"best score of {len(ranked)}; {_what_tipped(candidates, lead)}"


def _what_tipped(candidates: Sequence[Candidate], lead: tuple[str, float, float] | None) -> str:
    best, second = candidates[:2]
    if lead is None or best.score == second.score:
        return f"as good as {second.agent}, and first by name"
    part, own, others = lead
    return f"{part} tipped it ({own:.2f} against {others:.2f} of {second.agent})"


def _bar(view: AgentView, skill: Skill, taken: Mapping[str, int]) -> str | None:
    """Why a fitting agent gets nothing now; None: it may."""
    room = view.room
    if taken and room is not None:
        room -= taken.get(view.name, 0)
    if view.draining:
        return "is being drained"
    if skill.circuit != "closed":
        at = skill.next_try_at
        if at is not None:
            return f"circuit open until {at:%Y-%m-%d %H:%M:%S %Z}"
        if skill.circuit == "open":
            return "circuit open"
        if skill.is_trying or taken.get(view.name, 0):
            return "circuit half open, one attempt is trying it"
    if room is not None and room <= 0:
        return f"queue full, {view.open_attempts + taken.get(view.name, 0)} open"
    return None


def _listed(left_out: Mapping[str, str]) -> str:
    named = [f"{name} ({why})" for name, why in sorted(left_out.items())[:NAMED_MAX]]
    more = len(left_out) - len(named)
    return ", ".join(named) + (f" and {more} more" if more > 0 else "")


def _has(labels: Labels, required: Labels) -> bool:
    return all(labels.get(key) == value for key, value in required.items())


def _why_none_fits(
    capability: str, capable: Sequence[AgentView], requires: Labels, pinned: str | None
) -> str:
    if not capable:
        return f"no agent has the capability {capability!r}"
    names = ", ".join(view.name for view in capable[:NAMED_MAX])
    more = len(capable) - NAMED_MAX
    names += f" and {more} more" if more > 0 else ""
    if pinned is not None and all(view.name != pinned for view in capable):
        return f"the agent {pinned!r} it is pinned to does not have {capability!r} ({names} has)"
    labels = ", ".join(f"{key}={value}" for key, value in requires.items())
    if pinned is not None:
        return f"the agent {pinned!r} it is pinned to does not have the labels {labels}"
    return f"no agent with {capability!r} has the labels {labels} (asked: {names})"
