"""The state of one run: folded from its events by `evolve`, never stored."""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from heapq import heappop, heappush
from typing import Any, Final, Literal, TypeAlias, cast

from dalsegno_bus.ids import RunId, TaskId
from dalsegno_bus.messages import Failure, Json, Labels
from dalsegno_orchestrator.workflow.events import Abandoned, SignalReceived
from dalsegno_orchestrator.workflow.plan import Plan, Step

RunStatus: TypeAlias = Literal["running", "paused", "completed", "failed", "cancelled"]
TaskStatus: TypeAlias = Literal[
    "ready", "assigned", "parked", "retrying", "waiting", "sleeping", "expanded",
    "completed", "failed", "skipped",
]  # fmt: skip

ATTEMPT_GRACE_SECONDS: Final = 10.0
"""An agent times its own attempts; the orchestrator steps in this much later."""

UNKNOWN: Final = object()
"""Stands for a value that has not been derived yet; None is a value."""


@dataclass(slots=True, kw_only=True)
class Task:
    """One task of a run, from when it was first heard of."""

    id: TaskId
    step: Step
    index: int | None = None
    """Which item of a `foreach` it does, from 0."""
    status: TaskStatus = "ready"
    attempt: int = 0
    """The newest attempt, from 1; 0: none yet."""
    agent: str | None = None
    failures: int = 0
    """Attempts that count against the retry policy."""
    avoid: tuple[str, ...] = ()
    """Agents that failed it: others are asked first."""
    changed_at: datetime
    look_at: datetime | None = None
    """When to look at it again if nothing else happens."""
    output: Json = None
    error: Failure | None = None
    input: Any = UNKNOWN
    """Derived when first needed, forgotten when done."""
    # of a `foreach` only
    items: list[Json] | None = None
    count: int = 0
    begun: int = 0
    done: int = 0

    @property
    def is_open(self) -> bool:
        return self.status not in {"completed", "failed", "skipped"}


@dataclass(slots=True, kw_only=True)
class Run:
    """One run. `ready` holds what could begin and has not: `decide` empties it."""

    id: RunId
    plan: Plan
    status: RunStatus = "running"
    input: Json = None
    labels: Labels = field(default_factory=dict[str, str])
    started_at: datetime
    deadline_at: datetime | None = None
    paused_at: datetime | None = None
    """Since when its timers stand still."""
    version: int = 0
    """How many events it has."""
    digest: bytes = b""
    """Of its newest event: the end of its audit chain. Kept by the store."""
    tasks: dict[TaskId, Task] = field(default_factory=dict[TaskId, Task])
    ready: deque[TaskId] = field(default_factory=deque[TaskId])
    assigned: dict[TaskId, Task] = field(default_factory=dict[TaskId, Task])
    parked: dict[TaskId, Task] = field(default_factory=dict[TaskId, Task])
    outputs: dict[str, Json] = field(default_factory=dict[str, Json])
    """By step, of every step that is resolved: what expressions see as `tasks`."""
    context: dict[str, Json] = field(default_factory=dict[str, Json])
    context_versions: dict[str, int] = field(default_factory=dict[str, int])
    signals: list[SignalReceived] = field(default_factory=list[SignalReceived])
    """Came before anybody waited."""
    heard: set[str] = field(default_factory=set[str])
    """Ids of the signal messages that were recorded."""
    missing: dict[str, int] = field(default_factory=dict[str, int])
    """By step: how many of the steps it needs are not resolved."""
    unresolved: int = 0
    output: Json = None
    error: Failure | None = None
    failing: TaskId | None = None
    """The task whose final failure nothing makes up for: the run has to fail."""
    looks: list[tuple[datetime, TaskId, int]] = field(
        default_factory=list[tuple[datetime, TaskId, int]]
    )
    """Heap of what to look at when; stale entries are passed over."""

    @property
    def is_open(self) -> bool:
        return self.status in {"running", "paused"}

    def scope(self, task: Task | None = None) -> dict[str, Any]:
        """What expressions see; `item` and `index` only inside a `foreach`."""
        definition = self.plan.definition
        scope: dict[str, Any] = {
            "input": self.input,
            "tasks": self.outputs,
            "context": self.context,
            "run": {
                "id": str(self.id),
                "workflow": definition.workflow,
                "version": definition.version,
            },
        }
        if task is not None and task.index is not None:
            scope["index"] = task.index
            scope["item"] = self.items_of(task.step)[task.index]
        return scope

    def items_of(self, step: Step) -> list[Json]:
        """The items of a `foreach` that was expanded."""
        parent = self.tasks[TaskId(step.id)]
        if parent.items is None:
            assert step.foreach is not None
            parent.items = list(cast("list[Json]", step.foreach.evaluate(self.scope())))
        return parent.items

    def input_of(self, task: Task) -> Json:
        """What an attempt of this task is given.

        Raises:
            ExpressionFailed: The definition asks for something that is not there.
        """
        if task.input is UNKNOWN:
            task.input = task.step.input.evaluate(self.scope(task))
        return task.input

    def look(self, task: Task, at: datetime | None) -> None:
        """Have the task looked at again at this time; None: no need."""
        task.look_at = at
        if at is not None:
            heappush(self.looks, (at, task.id, task.attempt))

    def next_look(self) -> datetime | None:
        """When something is due if nothing else happens; None: never."""
        if self.status != "running":
            return None
        while self.looks and not self._stands(self.looks[0]):
            heappop(self.looks)
        first = self.looks[0][0] if self.looks else None
        if self.deadline_at is None or first is None:
            return self.deadline_at or first
        return min(self.deadline_at, first)

    def due(self, now: datetime) -> list[Task]:
        """The tasks to look at now, in order of time; each is handed out once."""
        due: list[Task] = []
        while self.looks and self.looks[0][0] <= now:
            look = heappop(self.looks)
            if self._stands(look):
                task = self.tasks[look[1]]
                task.look_at = None
                due.append(task)
        return due

    def waiting_for(self, signal: str) -> Task | None:
        """The oldest task that waits for this signal."""
        for task in self.tasks.values():
            wait = task.step.task.wait
            if task.status == "waiting" and wait is not None and wait.signal == signal:
                return task
        return None

    def abandoned(self) -> tuple[Abandoned, ...]:
        """Every attempt under way, as it is recorded when the run ends early."""
        return tuple(
            Abandoned(task_id=task.id, attempt=task.attempt, agent=task.agent or "")
            for task in self.assigned.values()
        )

    def _stands(self, look: tuple[datetime, TaskId, int]) -> bool:
        at, task_id, attempt = look
        task = self.tasks[task_id]
        return task.is_open and task.look_at == at and task.attempt == attempt
