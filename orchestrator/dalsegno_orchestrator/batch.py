"""One batch under way: what was decided, as bytes for the store and as messages for the bus.

Nothing here does I/O: the pipeline stores `sealed` first, and sends the rest only after that.
"""

from dataclasses import dataclass, field
from datetime import datetime

from dalsegno_bus.bus import Delivery
from dalsegno_bus.ids import RunId, TaskId
from dalsegno_bus.messages import (
    CancelAttempt,
    CancelRun,
    ChildOver,
    ParentRun,
    QuestionAnswered,
    Reply,
    Usage,
)
from dalsegno_orchestrator.history import Sealed, seal
from dalsegno_orchestrator.limits.settings import LimitChange
from dalsegno_orchestrator.registry import Registration
from dalsegno_orchestrator.schedules import ScheduleChanges
from dalsegno_orchestrator.storage.permits import PermitChange
from dalsegno_orchestrator.workflow.events import (
    Abandoned,
    ChildStarted,
    RunEnding,
    RunEvent,
    RunRewound,
    TaskAssigned,
    TaskCompleted,
    TaskFailed,
    TaskRerouted,
    TaskTimedOut,
)
from dalsegno_orchestrator.workflow.run import Run, Task


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """An attempt that nobody waits for any more, or not for long."""

    agent: str
    message: CancelAttempt
    of_all: bool
    """Every attempt of the run that is under way is taken back."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply that waits for the commit."""

    reply_to: str
    request_id: str
    reply: Reply


@dataclass(slots=True)
class Batch:
    """Collects what follows from many messages, for one transaction."""

    now: datetime
    sealed: list[Sealed] = field(default_factory=list[Sealed])
    touched: dict[RunId, Run] = field(default_factory=dict[RunId, Run])
    started: set[RunId] = field(default_factory=set[RunId])
    assigned: list[tuple[Run, Task, int]] = field(default_factory=list[tuple[Run, Task, int]])
    withdrawn: list[Withdrawn] = field(default_factory=list[Withdrawn])
    children: list[tuple[Run, Task, int]] = field(default_factory=list[tuple[Run, Task, int]])
    """Tasks that runs of sub-workflows do, with the attempt: those runs have to be started."""
    told_runs: list[CancelRun | ChildOver] = field(default_factory=list[CancelRun | ChildOver])
    """What runs tell their parents and children."""
    answered: list[QuestionAnswered] = field(default_factory=list[QuestionAnswered])
    """Answers to what attempts asked."""
    answers: list[Answer] = field(default_factory=list[Answer])
    refused: list[tuple[Delivery, str]] = field(default_factory=list[tuple[Delivery, str]])
    """Messages that nobody can use, with the reason: they become dead letters."""
    permits: list[PermitChange] = field(default_factory=list[PermitChange])
    """What is taken of limits and given back."""
    schedules: ScheduleChanges = field(default_factory=ScheduleChanges)
    ignored: int = 0
    """Reports that nobody waited for: late, doubled or forged."""
    doubted: dict[RunId, int] = field(default_factory=dict[RunId, int])
    """Runs, as they are in memory, that a message could not move: are these versions the newest?"""

    def record(self, run: Run, events: list[RunEvent], *, by: str, cause: str) -> None:
        """Add what a decision has folded into `run` already."""
        self.touched[run.id] = run
        first = run.version - len(events) + 1
        for offset, event in enumerate(events):
            sealed = seal(
                run.id,
                first + offset,
                event,
                at=self.now,
                by=by,
                cause=cause,
                previous=run.digest,
            )
            run.digest = sealed.digest
            self.sealed.append(sealed)
            self._follow_up(run, event)

    def doubt(self, run: Run) -> None:
        """Nothing came of a message: is that because another orchestrator moved the run?"""
        self.doubted[run.id] = run.version

    def register(self, registration: Registration | LimitChange, *, by: str, cause: str) -> None:
        """Add a new version of a workflow, or a change of a limit."""
        self.sealed.append(
            seal(
                registration.stream,
                registration.version,
                registration.event,
                at=self.now,
                by=by,
                cause=cause,
                previous=registration.previous,
            )
        )

    def commands(self) -> list[tuple[Run, Task, int]]:
        """The attempts to send: those assigned here that still stand."""
        return [
            (run, task, attempt)
            for run, task, attempt in self.assigned
            if run.is_open and attempt in task.opened
        ]

    def over(self) -> list[Run]:
        """The runs that ended here."""
        return [run for run in self.touched.values() if not run.is_open]

    def starts(self) -> list[tuple[Run, Task]]:
        """The tasks whose runs have to be started, as far as somebody still waits for them."""
        return [
            (run, task)
            for run, task, attempt in self.children
            if task.status == "delegated" and task.attempt == attempt
        ]

    def _follow_up(self, run: Run, event: RunEvent) -> None:
        match event:
            case TaskAssigned():
                task = run.tasks[TaskId(event.task_id)]
                self.assigned.append((run, task, event.attempt))
            case ChildStarted():
                task = run.tasks[TaskId(event.task_id)]
                self.children.append((run, task, event.attempt))
            case TaskTimedOut(agent=str() as agent) | TaskRerouted(agent=agent):
                gone = Abandoned(task_id=event.task_id, attempt=event.attempt, agent=agent)
                self._withdraw(run, (gone,), event)
            case RunEnding():
                self._withdraw(run, event.stopping, event)
                self._cancel_children(run, event.children, event.error.message)
            case RunRewound():
                self._withdraw(run, event.abandoned, event)
                self._cancel_children(run, event.children, "its parent went back")
            case _:
                self._withdraw(run, getattr(event, "abandoned", ()), event)
        if isinstance(event, TaskCompleted | TaskFailed | TaskTimedOut):
            self._answer_question(run, event.task_id)

    def _withdraw(self, run: Run, gone: tuple[Abandoned, ...], event: RunEvent) -> None:
        if not gone:
            return
        reason, grace_seconds = event.kind.partition(".")[0], 0.0
        if isinstance(event, RunEnding):
            reason = f"the run is {run.status}: {event.error.message}"
            grace_seconds = (event.until - self.now).total_seconds()
        for one in gone:
            message = CancelAttempt(
                run_id=run.id,
                task_id=one.task_id,
                attempt=one.attempt,
                reason=reason,
                grace_seconds=grace_seconds,
            )
            of_all = isinstance(event, RunEnding) or not run.is_open
            self.withdrawn.append(Withdrawn(one.agent, message, of_all))

    def _answer_question(self, run: Run, task_id: str) -> None:
        """Tell who asked, if this task was to answer a question and is over."""
        task = run.tasks.get(TaskId(task_id))
        if task is None or task.role != "question" or task.is_open or task.parent is None:
            return
        self.answered.append(
            QuestionAnswered(
                run_id=run.id,
                task_id=task.parent,
                question=task_id.rpartition("-")[2],
                output=task.output,
                error=None if task.status == "completed" else task.error,
            )
        )

    def _cancel_children(self, run: Run, children: tuple[RunId, ...], reason: str) -> None:
        if not children:
            return
        by_child = {task.child: task for task in run.tasks.values() if task.child is not None}
        for child in children:
            self.told_runs.append(cancel_of(run, child, by_child.get(child), reason))


def cancel_of(run: Run, child: RunId, task: Task | None, reason: str) -> CancelRun:
    """The request that ends the run of a sub-workflow, whose end is then told."""
    return CancelRun(
        run_id=child,
        reason=reason,
        requested_by=f"run:{run.id}",
        parent=ParentRun(
            run_id=run.id,
            task_id="" if task is None else task.id,
            attempt=0 if task is None else task.attempt,
        ),
    )


def over_of(run: Run) -> ChildOver | None:
    """What a run that is over tells its parent; None: it has none, or goes on."""
    parent = run.parent
    if parent is None:
        return None
    match run.status:
        case "completed" | "failed" | "cancelled" | "compensation_failed":
            return ChildOver(
                run_id=parent.run_id,
                task_id=parent.task_id,
                attempt=parent.attempt,
                child=run.id,
                status=run.status,
                output=run.output,
                error=run.error,
                usage=Usage(usd=run.spent.usd, tokens=run.spent.tokens),
            )
        case _:
            return None
