"""Given facts, when a message comes, then facts: the core's own language."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from dalsegno_bus.ids import RunId, TaskId, run_id_of_key
from dalsegno_bus.messages import (
    CompletedReport,
    ContextReport,
    FailedReport,
    Failure,
    Json,
    SignalRun,
    StartRun,
)
from dalsegno_orchestrator.workflow.assignment import AgentView, Skill
from dalsegno_orchestrator.workflow.checks import check
from dalsegno_orchestrator.workflow.decider import RunMessage, decide, start
from dalsegno_orchestrator.workflow.events import RunEvent, TaskAssigned
from dalsegno_orchestrator.workflow.evolve import replay
from dalsegno_orchestrator.workflow.facts import AgentsChanged, Facts, TimeReached
from dalsegno_orchestrator.workflow.plan import Plan, compile_plan
from dalsegno_orchestrator.workflow.run import Run

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
RUN = run_id_of_key("ds", "test", "one")


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

    def __init__(self, plan: Plan, directory: Directory) -> None:
        self.plan = plan
        self.agents = directory
        self.now = BEGIN
        self.history: list[tuple[RunEvent, datetime]] = []
        self._run: Run | None = None
        self._messages = 0

    @property
    def run(self) -> Run:
        assert self._run is not None
        return self._run

    def start(self, input: Json = None) -> list[RunEvent]:  # noqa: A002 - the field's own name
        message = StartRun(run_id=RUN, workflow=self.plan.definition.workflow, input=input)
        self._run, events = start(self.plan, message, self.facts())
        self.history += [(event, self.now) for event in events]
        return events

    def when(self, message: RunMessage, *, message_id: str | None = None) -> list[RunEvent]:
        events = decide(self.run, message, self.facts(message_id))
        self.history += [(event, self.now) for event in events]
        return events

    def after(self, seconds: float) -> list[RunEvent]:
        """Time passes, and the run is looked at."""
        self.now += timedelta(seconds=seconds)
        return self.when(TimeReached())

    def done(
        self, task: str, output: Json = None, *, attempt: int = 1, agent: str = "a"
    ) -> list[RunEvent]:
        return self.when(completed(task, output, attempt=attempt, agent=agent))

    def fail(self, task: str, *, attempt: int = 1, agent: str = "a", **more: Any) -> list[RunEvent]:
        return self.when(failed(task, attempt=attempt, agent=agent, **more))

    def join(self) -> list[RunEvent]:
        return self.when(AgentsChanged())

    def lose(self, *agents: str) -> list[RunEvent]:
        return self.when(AgentsChanged(gone=frozenset(agents)))

    def signal(
        self, name: str, payload: Json = None, *, message_id: str | None = None
    ) -> list[RunEvent]:
        return self.when(SignalRun(run_id=RUN, signal=name, payload=payload), message_id=message_id)

    def input_of(self, task: str) -> Json:
        """What the task was given."""
        return self.run.input_of(self.run.tasks[TaskId(task)])

    def facts(self, message_id: str | None = None) -> Facts:
        self._messages += 1
        return Facts(
            now=self.now,
            chance=0.5,
            message_id=message_id or f"m{self._messages}",
            agents=self.agents,
        )

    def replayed(self) -> Run:
        return replay(RunId(RUN), self.plan, self.history)


def completed(
    task: str, output: Json = None, *, attempt: int = 1, agent: str = "a"
) -> CompletedReport:
    return CompletedReport(
        run_id=RUN, task_id=task, attempt=attempt, agent=agent, replica="r", output=output
    )


def failed(
    task: str,
    *,
    attempt: int = 1,
    agent: str = "a",
    retryable: bool = True,
    after: float | None = None,
    code: str = "test",
) -> FailedReport:
    return FailedReport(
        run_id=RUN,
        task_id=task,
        attempt=attempt,
        agent=agent,
        replica="r",
        error=Failure(code=code, message="as the test asked"),
        retryable=retryable,
        retry_after_seconds=after,
    )


def shared(task: str, key: str, value: Json, *, agent: str = "a") -> ContextReport:
    return ContextReport(
        run_id=RUN, task_id=task, attempt=1, agent=agent, replica="r", key=key, value=value
    )


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
    return Scenario(plan_of(tasks, **top), directory)
