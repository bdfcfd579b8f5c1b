"""The pure core alone: how many messages it decides on, and that large runs cost no more a task.

No bus, no store, no clock but the one that measures: what is left is `decide` and `evolve`.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from dalsegno.bench.agents import TASKS, chain_input, chain_workflow
from dalsegno_bus.ids import RunId, new_run_id
from dalsegno_bus.messages import CompletedReport, Json, StartRun
from dalsegno_orchestrator.garbage import look_less_often
from dalsegno_orchestrator.workflow.assignment import AgentView, Skill
from dalsegno_orchestrator.workflow.decider import decide, start
from dalsegno_orchestrator.workflow.facts import Facts
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition
from dalsegno_orchestrator.workflow.plan import Plan, compile_plan

ITEMS_SMALL: Final = 100
ITEMS_LARGE: Final = 10_000
REPEATS: Final = 3
"""Each figure is the best of so many: what disturbs a measurement only makes it slower."""
_NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)
_EACH: Final[Mapping[str, Any]] = {
    "workflow": "each",
    "tasks": {
        "work": {
            "capability": "bench.work",
            "foreach": "${ input.items }",
            "input": {"item": "${ item }"},
        },
        "join": {"capability": "bench.work", "input": {"count": "${ size(tasks.work) }"}},
    },
}


@dataclass(frozen=True)
class Figures:
    """What the core does in a second, and what size costs."""

    messages: int
    seconds: float
    small_task_seconds: float
    """For one item of a `foreach` with `ITEMS_SMALL` items."""
    large_task_seconds: float
    """For one item of a `foreach` with `ITEMS_LARGE` items."""

    @property
    def messages_per_second(self) -> float:
        return self.messages / self.seconds

    @property
    def large_to_small(self) -> float:
        return self.large_task_seconds / self.small_task_seconds


class _Everybody:
    """One agent that can do everything, and is never busy."""

    def __init__(self, capabilities: Sequence[str]) -> None:
        skills = {capability: Skill() for capability in capabilities}
        self._view = AgentView(name="everybody", labels={}, skills=skills, slots=1_000)

    def capable(self, capability: str) -> Sequence[AgentView]:
        return (self._view,) if capability in self._view.skills else ()

    def working_since(self, agent: str, attempt_key: str) -> datetime | None:
        return None


def measure(runs: int) -> Figures:
    """Drive `runs` five-task chains, then one small and one large `foreach`."""
    look_less_often()  # as an orchestrator does
    chain = compile_plan(WorkflowDefinition.parse(chain_workflow()))
    each = compile_plan(WorkflowDefinition.parse(_EACH))
    agents = _Everybody([task.capability or "" for plan in (chain, each)
                         for task in plan.definition.tasks.values()])  # fmt: skip
    seconds = min(_chains(chain, agents, runs) for _ in range(REPEATS))
    small_runs = max(1, ITEMS_LARGE // ITEMS_SMALL)
    small = min(_foreach(each, agents, ITEMS_SMALL, small_runs) for _ in range(REPEATS))
    large = min(_foreach(each, agents, ITEMS_LARGE, 1) for _ in range(REPEATS))
    return Figures(runs * (TASKS + 1), seconds, small, large)


def _chains(plan: Plan, agents: _Everybody, runs: int) -> float:
    began = time.perf_counter()
    for _ in range(runs):
        _drive(plan, agents, chain_input(), chain_input())
    return time.perf_counter() - began


def _foreach(plan: Plan, agents: _Everybody, items: int, runs: int) -> float:
    began = time.perf_counter()
    for _ in range(runs):
        _drive(plan, agents, {"items": list(range(items))}, None)
    return (time.perf_counter() - began) / (runs * (items + 1))


def _drive(plan: Plan, agents: _Everybody, run_input: Json, output: Json) -> None:
    """One run from its start to its end; every attempt completes at once."""
    facts = Facts(now=_NOW, chance=0.5, message_id="m", agents=agents)
    run_id: RunId = new_run_id()
    message = StartRun(run_id=run_id, workflow=plan.definition.workflow, input=run_input)
    run, _ = start(plan, message, facts)
    while run.assigned:
        for task in list(run.assigned.values()):
            ((attempt, agent),) = task.open_attempts()
            report = CompletedReport(
                run_id=run_id,
                task_id=task.id,
                attempt=attempt,
                agent=agent,
                replica="r",
                output=output,
            )
            decide(run, report, facts)
    if run.status != "completed":
        raise AssertionError(f"the run is {run.status}: {run.error}")
