"""What goes into an assignment: who is chosen, what it takes of limits, what it read."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from math import inf
from typing import Final

from dalsegno_orchestrator.workflow.assignment import Choice, choose
from dalsegno_orchestrator.workflow.cel.expressions import ExpressionFailed, Template
from dalsegno_orchestrator.workflow.events import Permit
from dalsegno_orchestrator.workflow.run import Run, Task
from dalsegno_orchestrator.workflow.turn import Turn

SEEN_MIN: Final = 20
"""So many attempts of an agent have to be known before one in twenty can be told from the rest."""


def choose_agent(turn: Turn, task: Task, *, besides: str | None = None) -> Choice | str:
    """The best agent for the task, or in words why there is none.

    Where only others are asked, one that failed since then is asked again before nobody is.
    """
    choice = choose_but(turn, task, task.avoid, besides)
    if not task.others_only or isinstance(choice, Choice):
        return choice
    again = choose_but(turn, task, task.barred, besides)
    return again if isinstance(again, Choice) else choice


def choose_but(
    turn: Turn,
    task: Task,
    avoid: Sequence[str],
    besides: str | None,
    *,
    only_others: bool = False,
) -> Choice | str:
    """The best agent, where these failed the task before."""
    definition = task.step.task
    assert task.capability is not None
    near = None
    if definition.same_agent_as is not None:
        other = turn.run.tasks.get(definition.same_agent_as)  # pyright: ignore[reportArgumentType] - a task's id
        near = None if other is None else other.agent
    return choose(
        turn.facts.agents,
        task.capability,
        requires=definition.requires,
        prefer=definition.prefer,
        pinned=definition.agent,
        avoid=avoid,
        weights=turn.run.plan.definition.assignment,
        near=near,
        taken=turn.given,
        only_others=only_others or task.others_only,
        besides=besides,
    )


def permits_of(turn: Turn, task: Task) -> tuple[Permit, ...]:
    """What an attempt takes of limits.

    Raises:
        ExpressionFailed: The definition asks for something that is not there, or is no amount.
    """
    definition = turn.run.plan.definition
    permits: list[Permit] = []
    by_capability = f"capability:{task.capability}"
    if turn.facts.limits.is_set(by_capability):
        permits.append(Permit(limit=by_capability))
    limits = definition.limits
    if limits.concurrency is not None or limits.rate is not None:
        permits.append(Permit(limit=f"workflow:{definition.workflow}"))
    for name, template in task.step.quota.items():
        amount = template.evaluate(turn.run.scope(task))
        is_number = isinstance(amount, (int, float)) and not isinstance(amount, bool)
        if not (is_number and 0 <= amount < inf):
            raise ExpressionFailed(
                f"quota.{name}", f"a number of 0 or more is needed, not {amount!r}"
            )
        permits.append(Permit(limit=f"quota:{name}", amount=float(amount)))
    return tuple(permits)


def is_known(turn: Turn, permit: Permit) -> bool:
    """Whether somebody has set the limit; without that, no quota can be taken of."""
    return not permit.limit.startswith("quota:") or turn.facts.limits.is_set(permit.limit)


def hedge_at(turn: Turn, task: Task, agent: str, after: float | str) -> datetime | None:
    """When another attempt begins beside one of this agent; None: never."""
    if turn.run.ending is not None:
        return None
    if after == "p95":
        views = turn.facts.agents.capable(task.capability or "")
        found = next((view for view in views if view.name == agent), None)
        if found is None:
            return None
        skill = found.skills[task.capability or ""]
        if skill.completed < SEEN_MIN or skill.p95_seconds <= 0.0:
            return None  # too little was seen of it
        after = skill.p95_seconds
    return turn.facts.now + timedelta(seconds=float(after))


def context_read(run: Run, template: Template) -> dict[str, int]:
    """The versions of what a template reads of the shared context."""
    paths = [path for _, path in template.references if path[0] == "context"]
    if any(len(path) == 1 for path in paths):
        return dict(run.context_versions)
    keys = dict.fromkeys(str(path[1]) for path in paths)
    return {key: run.context_versions.get(key, 0) for key in keys}
