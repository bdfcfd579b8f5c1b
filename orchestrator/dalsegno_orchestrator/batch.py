"""One batch under way: what was decided, as bytes for the store and as messages for the bus.

Nothing here does I/O: the pipeline stores `sealed` first, and sends the rest only after that.
"""

from dataclasses import dataclass, field
from datetime import datetime

from dalsegno_bus.bus import Delivery
from dalsegno_bus.ids import RunId, TaskId
from dalsegno_bus.messages import CancelAttempt, Reply
from dalsegno_orchestrator.history import Sealed, seal
from dalsegno_orchestrator.registry import Registration
from dalsegno_orchestrator.workflow.events import (
    RunCancelled,
    RunEvent,
    RunFailed,
    TaskAssigned,
    TaskRerouted,
    TaskTimedOut,
)
from dalsegno_orchestrator.workflow.run import Run, Task


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
    withdrawn: list[tuple[str, CancelAttempt]] = field(
        default_factory=list[tuple[str, CancelAttempt]]
    )
    """Attempts that nobody waits for any more, with their agents."""
    answers: list[Answer] = field(default_factory=list[Answer])
    refused: list[tuple[Delivery, str]] = field(default_factory=list[tuple[Delivery, str]])
    """Messages that nobody can use, with the reason: they become dead letters."""
    ignored: int = 0
    """Reports that nobody waited for: late, doubled or forged."""
    doubted: dict[RunId, int] = field(default_factory=dict[RunId, int])
    """Runs in memory that waited for none of them, with their versions: are those the newest?"""

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

    def register(self, registration: Registration, *, by: str, cause: str) -> None:
        """Add a new version of a workflow."""
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

    def commands(self) -> list[tuple[Run, Task]]:
        """The attempts to send: those assigned here that still stand."""
        return [
            (run, task)
            for run, task, attempt in self.assigned
            if run.is_open and task.status == "assigned" and task.attempt == attempt
        ]

    def _follow_up(self, run: Run, event: RunEvent) -> None:
        match event:
            case TaskAssigned():
                task = run.tasks[TaskId(event.task_id)]
                self.assigned.append((run, task, event.attempt))
            case TaskTimedOut(agent=str() as agent) | TaskRerouted(agent=agent):
                self._withdraw(run, agent, event.task_id, event.attempt, event.kind)
            case RunFailed() | RunCancelled():
                for gone in event.abandoned:
                    self._withdraw(run, gone.agent, gone.task_id, gone.attempt, event.kind)
            case _:
                pass

    def _withdraw(self, run: Run, agent: str, task_id: str, attempt: int, reason: str) -> None:
        message = CancelAttempt(run_id=run.id, task_id=task_id, attempt=attempt, reason=reason)
        self.withdrawn.append((agent, message))
