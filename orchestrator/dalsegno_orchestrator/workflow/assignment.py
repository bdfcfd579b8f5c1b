"""Which agent gets a task: the candidates, their scores, the choice and its reason. Pure.

A candidate has the capability and every required label. Those that failed this very task are asked
only when nobody else is left, and agents without a live replica only when no live one is. Among
the rest the highest score wins, ties by name:

    score = 0.35·success + 0.30·idle + 0.15·speed + 0.10·preferred + 0.10·thrift

Each part lies between 0 and 1. `success`: (completed+1) / (finished+2), Laplace's rule of
succession. `idle`: 1 / (1 + open attempts per slot). `speed`: the fastest candidate's mean work
time over this one's. `preferred`: share of the preferred labels it has. `thrift`: the cheapest
cost over this one's.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from dalsegno_bus.messages import Labels
from dalsegno_orchestrator.workflow.events import Candidate

SUCCESS, IDLE, SPEED, PREFERRED, THRIFT = 0.35, 0.30, 0.15, 0.10, 0.10
CANDIDATES_RECORDED_MAX: Final = 8
"""More than these are not written into the history."""


@dataclass(slots=True, kw_only=True)
class Skill:
    """What was seen of one agent at one capability."""

    completed: int = 0
    failed: int = 0
    work_seconds: float = 0.0
    """Mean over the newest attempts (exponentially weighted); 0: none seen."""
    cost_usd: float = 0.0


@dataclass(slots=True, kw_only=True)
class AgentView:
    """One agent as the orchestrator sees it now."""

    name: str
    labels: Labels
    skills: Mapping[str, Skill]
    slots: int
    """How many attempts its live replicas work on at once; 0: no replica lives."""
    open_attempts: int = 0


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
    avoid: Iterable[str],
) -> Choice | str:
    """The best agent for a task, or in words why there is none."""
    capable = agents.capable(capability)
    fitting = [
        view
        for view in capable
        if (pinned is None or view.name == pinned) and _has(view.labels, requires)
    ]
    if not fitting:
        return _why_none(capability, capable, requires, pinned)
    avoided = frozenset(avoid)
    fresh = [view for view in fitting if view.name not in avoided] if avoided else fitting
    rested = fresh or fitting
    live = [view for view in rested if view.slots > 0]
    pool = live or rested
    if len(pool) == 1:
        scored = [_only(pool[0], capability, prefer)]
    else:
        scored = _scores(pool, capability, prefer)
    best = scored[0]
    return Choice(
        agent=best.agent,
        candidates=tuple(scored[:CANDIDATES_RECORDED_MAX]),
        reason=_reason(scored, live=bool(live), others_failed=len(fitting) - len(fresh)),
    )


def _scores(pool: Sequence[AgentView], capability: str, prefer: Labels) -> list[Candidate]:
    skills = [view.skills[capability] for view in pool]
    fastest = min((skill.work_seconds for skill in skills if skill.work_seconds > 0), default=0.0)
    cheapest = min(skill.cost_usd for skill in skills)
    scored = [
        Candidate(
            agent=view.name,
            score=_score(view, skill, prefer, fastest=fastest, cheapest=cheapest),
            open_attempts=view.open_attempts,
            live=view.slots > 0,
        )
        for view, skill in zip(pool, skills, strict=True)
    ]
    return sorted(scored, key=lambda candidate: (-candidate.score, candidate.agent))


def _only(view: AgentView, capability: str, prefer: Labels) -> Candidate:
    skill = view.skills[capability]
    score = _score(view, skill, prefer, fastest=skill.work_seconds, cheapest=skill.cost_usd)
    return Candidate(
        agent=view.name, score=score, open_attempts=view.open_attempts, live=view.slots > 0
    )


def _score(
    view: AgentView, skill: Skill, prefer: Labels, *, fastest: float, cheapest: float
) -> float:
    success = (skill.completed + 1) / (skill.completed + skill.failed + 2)
    idle = 1.0 / (1.0 + view.open_attempts / max(view.slots, 1))
    speed = fastest / skill.work_seconds if skill.work_seconds > 0 and fastest > 0 else 1.0
    matched = sum(view.labels.get(key) == value for key, value in prefer.items())
    preferred = matched / len(prefer) if prefer else 1.0
    thrift = cheapest / skill.cost_usd if skill.cost_usd > 0 else 1.0
    return round(
        SUCCESS * success + IDLE * idle + SPEED * speed + PREFERRED * preferred + THRIFT * thrift,
        4,
    )


def _has(labels: Labels, required: Labels) -> bool:
    return all(labels.get(key) == value for key, value in required.items())


def _reason(scored: Sequence[Candidate], *, live: bool, others_failed: int) -> str:
    parts = ["only candidate" if len(scored) == 1 else f"best score of {len(scored)}"]
    if others_failed:
        parts.append(f"{others_failed} left out that failed it before")
    if not live:
        parts.append("no live replica: waits in its queue")
    return "; ".join(parts)


def _why_none(
    capability: str, capable: Sequence[AgentView], requires: Labels, pinned: str | None
) -> str:
    if not capable:
        return f"no agent has the capability {capability!r}"
    names = ", ".join(view.name for view in capable)
    if pinned is not None:
        return f"the agent {pinned!r} it is pinned to does not have {capability!r} ({names} has)"
    labels = ", ".join(f"{key}={value}" for key, value in requires.items())
    return f"no agent with {capability!r} has the labels {labels} (asked: {names})"
