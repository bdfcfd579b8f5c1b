"""Given facts, when a message comes, then facts: the core's own language.

A scenario that `scenario` made is watched: when the test is over, `assert_sound` is asked of it
(see the `conftest` of the core's tests).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from dalsegno_bus.ids import RunId, TaskId
from dalsegno_bus.messages import (
    CancelRun,
    ChildOver,
    HeartbeatReport,
    Json,
    ParentRun,
    SignalRun,
    StartRun,
    TaskReport,
)
from dalsegno_orchestrator.workflow.assignment import AgentView, Skill
from dalsegno_orchestrator.workflow.checking.checks import check
from dalsegno_orchestrator.workflow.decider import RunMessage, decide, start
from dalsegno_orchestrator.workflow.events import RunEvent, TaskAssigned
from dalsegno_orchestrator.workflow.evolve import replay
from dalsegno_orchestrator.workflow.facts import AgentsChanged, Facts, TasksFreed, TimeReached
from dalsegno_orchestrator.workflow.plan import Plan, compile_plan
from dalsegno_orchestrator.workflow.run import Run, Task
from support.permits import Permits
from support.reports import RUN, completed, failed, shared

__all__ = [
    "BEGIN", "RUN", "Directory", "Scenario", "assigned", "completed", "failed", "kinds", "plan_of",
    "scenario", "shared", "state_of",
]  # fmt: skip

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def plan_of(tasks: Mapping[str, Any], **top: Any) -> Plan:
    """The compiled plan of a definition that has to be right."""
    definition, problems = check({"workflow": "test", "version": 1, "tasks": tasks, **top})
    assert definition is not None, problems
    assert not problems
    return compile_plan(definition)


@dataclass
class Directory:
    """The agents of a test, in plain sight."""

    views: dict[str, AgentView] = field(default_factory=dict[str, AgentView])
    working: dict[str, datetime] = field(default_factory=dict[str, datetime])

    def add(self, name: str, *capabilities: str, slots: int = 4, **labels: str) -> AgentView:
        self.views[name] = AgentView(
            name=name,
            labels=labels,
            skills={capability: Skill() for capability in capabilities},
            slots=slots,
        )
        return self.views[name]

    def capable(self, capability: str) -> Sequence[AgentView]:
        return [view for _, view in sorted(self.views.items()) if capability in view.skills]

    def working_since(self, agent: str, attempt_key: str) -> datetime | None:
        return self.working.get(f"{agent}:{attempt_key}")


class Scenario:
    """One run of one workflow, driven by hand."""

    watched: ClassVar[list["Scenario"]] = []
    """Those of the test under way."""

    def __init__(self, plan: Plan, directory: Directory) -> None:
        self.plan = plan
        self.agents = directory
        self.limits = Permits()
        self.now = BEGIN
        self.history: list[tuple[RunEvent, datetime]] = []
        self.heard: list[tuple[RunMessage, str]] = []
        """Every message that had an effect, with its id."""
        self._run: Run | None = None
        self._messages = 0

    @property
    def run(self) -> Run:
        assert self._run is not None
        return self._run

    def start(
        self,
        input: Json = None,  # noqa: A002 - the field's own name
        *,
        parent: ParentRun | None = None,
    ) -> list[RunEvent]:
        message = StartRun(
            run_id=RUN, workflow=self.plan.definition.workflow, input=input, parent=parent
        )
        self._run, events = start(self.plan, message, self.facts())
        self._note(events)
        return events

    def when(self, message: RunMessage, *, message_id: str | None = None) -> list[RunEvent]:
        facts = self.facts(message_id)
        events = decide(self.run, message, facts)
        if events:
            self.heard.append((message, facts.message_id))
        self._note(events)
        return events

    def _note(self, events: list[RunEvent]) -> None:
        self.history += [(event, self.now) for event in events]
        self.limits.note(self.run, events, self.now)

    def after(self, seconds: float) -> list[RunEvent]:
        """Time passes, and the run is looked at."""
        self.now += timedelta(seconds=seconds)
        return self.when(TimeReached())

    def done(
        self, task: str, output: Json = None, *, attempt: int = 1, agent: str = "a", **more: Any
    ) -> list[RunEvent]:
        return self.when(completed(task, output, attempt=attempt, agent=agent, **more))

    def fail(self, task: str, *, attempt: int = 1, agent: str = "a", **more: Any) -> list[RunEvent]:
        return self.when(failed(task, attempt=attempt, agent=agent, **more))

    def join(self) -> list[RunEvent]:
        return self.when(AgentsChanged())

    def lose(self, *agents: str) -> list[RunEvent]:
        return self.when(AgentsChanged(gone=frozenset(agents)))

    def free(self, *tasks: str) -> list[RunEvent]:
        """What these parked tasks wait for may be there."""
        return self.when(TasksFreed(tasks=tuple(TaskId(task) for task in tasks)))

    def signal(
        self, name: str, payload: Json = None, *, message_id: str | None = None
    ) -> list[RunEvent]:
        return self.when(SignalRun(run_id=RUN, signal=name, payload=payload), message_id=message_id)

    def cancel(self, reason: str = "enough") -> list[RunEvent]:
        return self.when(CancelRun(run_id=RUN, reason=reason))

    def task(self, name: str) -> Task:
        return self.run.tasks[TaskId(name)]

    def input_of(self, task: str) -> Json:
        """What the task was given."""
        return self.run.input_of(self.task(task))

    def facts(self, message_id: str | None = None) -> Facts:
        self._messages += 1
        return Facts(
            now=self.now,
            chance=0.5,
            message_id=message_id or f"m{self._messages}",
            agents=self.agents,
            limits=self.limits,
        )

    def replayed(self) -> Run:
        return replay(RunId(RUN), self.plan, self.history)

    def assert_sound(self) -> None:
        """A replay gives this very run, and a copy of an old message gives nothing."""
        if self._run is None:
            return
        again = self.replayed()
        assert state_of(again) == state_of(self.run)
        for message, message_id in self.heard:
            if _is_once(message):
                assert decide(again, message, self.facts(message_id)) == [], message
        assert state_of(again) == state_of(self.run)


def _is_once(message: RunMessage) -> bool:
    """Whether a copy has to change nothing; a sign of life and a request may be repeated."""
    reports = isinstance(message, TaskReport | ChildOver | SignalRun)
    return reports and not isinstance(message, HeartbeatReport)


_DERIVED = frozenset({"input", "items", "step", "look_at"})


def state_of(run: Run) -> dict[str, Any]:
    """All that a run is, but for what it derives when it needs it.

    When an attempt under way is looked at next is an index: a replay may look earlier.
    """
    state: dict[str, Any] = {
        one.name: getattr(run, one.name)
        for one in fields(run)
        if one.name not in {"plan", "looks", "digest", "tasks", "about"}
    }
    state |= {
        name: list(getattr(run, name)) for name in ("ready", "parked", "delegated", "undoing")
    }
    state["assigned"] = {task.id: run.input_of(task) for task in run.assigned.values()}
    state["completed"] = list(run.completed)
    state["plan"] = (run.plan.digest, list(run.plan.steps))
    state["tasks"] = {task.id: _state_of_task(task) for task in run.tasks.values()}
    return state


def _state_of_task(task: Task) -> dict[str, Any]:
    state = {one.name: getattr(task, one.name) for one in fields(task) if one.name not in _DERIVED}
    state["step"] = (task.step.id, task.step.task)
    if task.status != "assigned":
        state["look_at"] = task.look_at
    return state


def kinds(events: Sequence[RunEvent]) -> list[str]:
    """The kinds of events, without their versions."""
    return [event.kind.partition(".")[0] for event in events]


def assigned(events: Sequence[RunEvent]) -> dict[str, TaskAssigned]:
    """The assignments among events, by task."""
    return {event.task_id: event for event in events if isinstance(event, TaskAssigned)}


def scenario(tasks: Mapping[str, Any], **top: Any) -> Scenario:
    """A run of these tasks, with one agent `a` that can do `do` and `other`."""
    directory = Directory()
    directory.add("a", "do", "other")
    made = Scenario(plan_of(tasks, **top), directory)
    Scenario.watched.append(made)
    return made
