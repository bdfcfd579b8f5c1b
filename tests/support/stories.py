"""Stories: what happens in an example workflow, told move by move to the pure core.

A story is a function `play(run: Story)` in `tests/workflows/<example>/story.py`. Each move has to
change something; the facts that follow are compared with the `history.txt` beside it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from dalsegno_agents.questions import question_of
from dalsegno_bus.ids import TaskId, question_id
from dalsegno_bus.messages import (
    CancelRun,
    ChildOver,
    CompletedReport,
    ContextReport,
    FailedReport,
    Failure,
    HandoffReport,
    HeartbeatReport,
    Json,
    PauseRun,
    QuestionReport,
    ReplanRun,
    ResumeRun,
    RetryRun,
    RewindRun,
    SignalRun,
    StartRun,
    Usage,
)
from dalsegno_orchestrator.authoring import check_text
from dalsegno_orchestrator.workflow.decider import RunMessage, decide, start
from dalsegno_orchestrator.workflow.events import Event, RunEvent
from dalsegno_orchestrator.workflow.facts import AgentsChanged, Facts, TasksFreed, TimeReached
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition
from dalsegno_orchestrator.workflow.grammar.durations import parse_duration
from dalsegno_orchestrator.workflow.plan import compile_plan
from dalsegno_orchestrator.workflow.run import Run
from support.cast import EXAMPLES, LABELS, parts_of
from support.permits import Permits
from support.scenario import BEGIN, RUN, Directory

REPLICA = "r1"


def definition_of(example: str, name: str = "workflow") -> WorkflowDefinition:
    """The definition in a YAML file of an example, which has to be right."""
    path = EXAMPLES / example / f"{name}.yaml"
    definition, problems = check_text(path.read_text(), str(path))
    assert definition is not None, problems
    return definition


class Story:
    """One run of an example, with the agents that the example has."""

    def __init__(self, example: str) -> None:
        definition = definition_of(example)
        directory = Directory()
        by_agent: dict[str, list[str]] = {}
        for part in parts_of(example):
            for agent in part.by:
                by_agent.setdefault(agent, []).append(part.capability)
        for agent, capabilities in sorted(by_agent.items()):
            directory.add(agent, *capabilities, slots=4, **LABELS[agent])
        self.plan = compile_plan(definition)
        self.agents = directory
        self.now = BEGIN
        self.history: list[tuple[RunEvent, datetime]] = []
        """The facts of the run, each with its time."""
        self.told: list[Event] = []
        """Every fact in order, those of the schedule among them."""
        self._run: Run | None = None
        self._messages = 0
        self._limits = Permits()
        self._queues: dict[str, int] = {}

    @property
    def run(self) -> Run:
        assert self._run is not None, "a story begins with a start"
        return self._run

    @property
    def events(self) -> list[RunEvent]:
        """The facts of the run."""
        return [event for event, _ in self.history]

    # --- what clients do ----------------------------------------------------------------------

    def start(self, input: Json = None) -> list[RunEvent]:  # noqa: A002 - the field's own name
        """Somebody starts it."""
        return self.begin(StartRun(run_id=RUN, workflow=self.plan.definition.workflow, input=input))

    def begin(self, message: StartRun) -> list[RunEvent]:
        """It is started by this message."""
        self._run, events = start(self.plan, message, self.facts())
        return self._note(events)

    def when(self, message: RunMessage) -> list[RunEvent]:
        """Something comes in, and changes something."""
        events = decide(self.run, message, self.facts())
        assert events, f"nothing follows from {message!r}"
        return self._note(events)

    def _note(self, events: list[RunEvent]) -> list[RunEvent]:
        self.history += [(event, self.now) for event in events]
        self.told += events
        self._limits.note(self.run, events, self.now)
        return events

    def signal(self, name: str, payload: Json = None) -> list[RunEvent]:
        return self.when(SignalRun(run_id=self.run.id, signal=name, payload=payload))

    def pause(self, reason: str = "") -> list[RunEvent]:
        return self.when(PauseRun(run_id=self.run.id, reason=reason))

    def resume(self) -> list[RunEvent]:
        return self.when(ResumeRun(run_id=self.run.id))

    def cancel(self, reason: str) -> list[RunEvent]:
        return self.when(CancelRun(run_id=self.run.id, reason=reason))

    def retry(self, *tasks: str, reason: str = "") -> list[RunEvent]:
        """Somebody has what failed tried again."""
        return self.when(RetryRun(run_id=self.run.id, tasks=tasks, reason=reason))

    def rewind(self, task: str, *, reason: str = "") -> list[RunEvent]:
        """Somebody takes the run back to before this task."""
        return self.when(RewindRun(run_id=self.run.id, task_id=task, reason=reason))

    def replan(
        self,
        *,
        add: Mapping[str, Json] | None = None,
        drop: Sequence[str] = (),
        change: Mapping[str, Json] | None = None,
        reason: str = "",
    ) -> list[RunEvent]:
        """Somebody changes what has not begun."""
        message = ReplanRun(
            run_id=self.run.id,
            add=dict(add or {}),
            drop=tuple(drop),
            change=dict(change or {}),
            reason=reason,
        )
        return self.when(message)

    # --- what agents report -------------------------------------------------------------------

    def done(
        self,
        task: str,
        output: Json = None,
        *,
        attempt: int | None = None,
        agent: str | None = None,
        given: Json = None,
        usd: float = 0.0,
        tokens: int = 0,
    ) -> list[RunEvent]:
        """The agent that has the task completes it; `given`: what its input has to be."""
        if given is not None:
            assert self.input_of(task) == given, self.input_of(task)
        usage = Usage(usd=usd, tokens=tokens) if usd or tokens else None
        about = self._about(task, attempt, agent)
        return self.when(CompletedReport(**about, output=output, usage=usage))

    def fail(
        self,
        task: str,
        *,
        attempt: int | None = None,
        agent: str | None = None,
        code: str = "task.retry",
        message: str = "it did not work",
        retryable: bool = True,
        after: str | None = None,
    ) -> list[RunEvent]:
        """The agent that has the task fails; `after`: so long it asks to be left alone."""
        report = FailedReport(
            **self._about(task, attempt, agent),
            error=Failure(code=code, message=message),
            retryable=retryable,
            retry_after_seconds=None if after is None else parse_duration(after),
        )
        return self.when(report)

    def reject(self, task: str, *, code: str = "task.rejected", message: str) -> list[RunEvent]:
        """The agent that has the task says that it can never succeed."""
        return self.fail(task, code=code, message=message, retryable=False)

    def share(self, task: str, key: str, value: Json, *, seen: int | None = None) -> list[RunEvent]:
        """The agent sets a key of the shared context, of which it had seen this version."""
        about = self._about(task, None, None)
        report = ContextReport(**about, key=key, value=value, base_version=seen)
        return self.when(report)

    def hand_off(self, task: str, capability: str, given: Json, *, reason: str) -> list[RunEvent]:
        """The agent hands the task on."""
        about = self._about(task, None, None)
        report = HandoffReport(**about, capability=capability, input=given, reason=reason)
        return self.when(report)

    def progress(
        self, task: str, fraction: float, message: str = "", state: Json = None
    ) -> list[RunEvent]:
        """The agent tells how far it is."""
        told = {"fraction": fraction, "message": message, "state": state}
        return self.when(HeartbeatReport(**self._about(task, None, None), progress=told))

    def ask(self, task: str, capability: str, given: Json, *, timeout: str = "10m") -> str:
        """The agent asks another one; returns the task that answers."""
        question = question_of(capability, given)
        report = QuestionReport(
            **self._about(task, None, None),
            question=question,
            capability=capability,
            input=given,
            timeout_seconds=parse_duration(timeout),
        )
        self.when(report)
        return question_id(task, question)

    def child_done(self, task: str, output: Json = None) -> list[RunEvent]:
        """The sub-workflow's run completes."""
        return self._child_over(task, "completed", output=output)

    def child_failed(self, task: str, *, code: str, message: str) -> list[RunEvent]:
        """The sub-workflow's run fails."""
        return self._child_over(task, "failed", error=Failure(code=code, message=message))

    def child_cancelled(self, task: str) -> list[RunEvent]:
        """The sub-workflow's run was cancelled."""
        return self._child_over(task, "cancelled")

    def _child_over(self, task: str, status: Any, **how: Any) -> list[RunEvent]:
        delegated = self.run.delegated[TaskId(task)]
        assert delegated.child is not None
        message = ChildOver(
            run_id=self.run.id,
            task_id=task,
            attempt=delegated.attempt,
            child=delegated.child,
            status=status,
            **how,
        )
        return self.when(message)

    def _about(self, task: str, attempt: int | None, agent: str | None) -> dict[str, Any]:
        """The attempt under way that a report is about: the one of this agent, else the oldest."""
        opened = self.run.tasks[TaskId(task)].opened
        assert opened, f"nobody works on {task}: it is {self.run.tasks[TaskId(task)].status}"
        number = attempt or next(
            number for number, one in opened.items() if agent in {None, one.agent}
        )
        return {
            "run_id": self.run.id,
            "task_id": task,
            "attempt": number,
            "agent": opened[number].agent,
            "replica": REPLICA,
        }

    # --- what else happens --------------------------------------------------------------------

    def after(self, seconds: float | str) -> list[RunEvent]:
        """Time passes (`"4h"`, or seconds), and something is due."""
        self.pass_by(seconds)
        return self.when(TimeReached())

    def pass_by(self, seconds: float | str) -> None:
        """Time passes, and nobody looks."""
        self.now += timedelta(seconds=parse_duration(seconds))

    def at_work(self, task: str) -> None:
        """A replica is seen working on the task's newest attempt, from now on."""
        about = self.run.tasks[TaskId(task)]
        key = f"{about.agent}:{self.run.id}/{task}/{about.attempt}"
        self.agents.working[key] = self.now

    def leave(self, agent: str) -> list[RunEvent]:
        """The last replica of an agent is gone; what it was seen doing, it does no more."""
        self.agents.views[agent].slots = 0
        for key in [key for key in self.agents.working if key.startswith(f"{agent}:")]:
            del self.agents.working[key]
        return self.when(AgentsChanged(gone=frozenset({agent})))

    def limit(
        self, name: str, *, concurrency: float | None = None, rate: str | None = None
    ) -> None:
        """An operator sets a limit: `quota:model-tokens`, `capability:ocr.read`."""
        self._limits.set(name, concurrency, rate)

    def queue(self, agent: str, room: int) -> None:
        """So many attempts may be with an agent at once; the rest waits in the orchestrator."""
        self._queues[agent] = room

    def free(self, *tasks: str) -> list[RunEvent]:
        """What these parked tasks wait for may be there now."""
        return self.when(TasksFreed(tasks=tuple(TaskId(task) for task in tasks)))

    def input_of(self, task: str) -> Json:
        """What the task is given."""
        return self.run.input_of(self.run.tasks[TaskId(task)])

    def last_progress(self, task: str) -> Json:
        """What the task's attempts told last."""
        return self.run.tasks[TaskId(task)].progress

    def facts(self) -> Facts:
        """What a decision may know now."""
        self._messages += 1
        for name, view in self.agents.views.items():
            view.open_attempts = 0 if self._run is None else self._open_at(name)
            if name in self._queues:
                view.room = self._queues[name] - view.open_attempts
        return Facts(
            now=self.now,
            chance=0.5,
            message_id=f"m{self._messages}",
            agents=self.agents,
            limits=self._limits,
        )

    def _open_at(self, agent: str) -> int:
        tasks = self.run.assigned.values()
        return sum(agent == one for task in tasks for _, one in task.open_attempts())

    # --- how it ends --------------------------------------------------------------------------

    def ends(self, status: str, output: Json = None) -> None:
        """The run is over, and this came of it."""
        assert (self.run.status, self.run.output) == (status, output)
