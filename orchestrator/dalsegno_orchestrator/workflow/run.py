"""The state of one run: folded from its events by `evolve`, never stored."""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from heapq import heappop, heappush
from typing import Any, Final, Literal, NamedTuple, TypeAlias, cast

from dalsegno_bus.ids import RunId, TaskId, item_id
from dalsegno_bus.messages import Failure, Json, Labels
from dalsegno_orchestrator.workflow.events import Abandoned, Parent, RunEnding, SignalReceived
from dalsegno_orchestrator.workflow.grammar.policies import Budget
from dalsegno_orchestrator.workflow.plan import Plan, Step

RunStatus: TypeAlias = Literal[
    "running", "paused", "failing", "cancelling", "compensating",
    "completed", "failed", "cancelled", "compensation_failed",
]  # fmt: skip
TaskStatus: TypeAlias = Literal[
    "ready", "assigned", "parked", "retrying", "waiting", "sleeping", "expanded", "repeating",
    "proposed", "planned", "delegated", "completed", "failed", "skipped",
]  # fmt: skip
Role: TypeAlias = Literal["step", "item", "iteration", "undo", "escalation", "question"]

FINAL: Final = frozenset({"completed", "failed", "cancelled", "compensation_failed"})
ENDING: Final = frozenset({"failing", "cancelling", "compensating"})
OVER: Final = frozenset({"completed", "failed", "skipped"})

ATTEMPT_GRACE_SECONDS: Final = 10.0
"""An agent times its own attempts; the orchestrator steps in this much later."""

UNKNOWN: Final = object()
"""Stands for a value that has not been derived yet; None is a value."""


class Opened(NamedTuple):
    """An attempt under way."""

    agent: str
    since: datetime
    heard_at: datetime | None = None
    """When it last told its progress."""


@dataclass(slots=True, kw_only=True)
class Task:
    """One task of a run, from when it was first heard of."""

    id: TaskId
    step: Step
    role: Role = "step"
    parent: TaskId | None = None
    """Of an item or iteration its step's task; of what is asked, undone or told, whose."""
    index: int | None = None
    """Which item of a `foreach` it does, or which iteration it is, from 0."""
    status: TaskStatus = "ready"
    is_new: bool = True
    """Nothing has been recorded of it yet: it could still be left out, or planned anew."""
    attempt: int = 0
    """The newest attempt, from 1; 0: none yet. Numbers never come twice."""
    agent: str | None = None
    """Who got the newest attempt; of a completed task, who completed it."""
    opened: dict[int, Opened] = field(default_factory=dict[int, Opened])
    """The attempts under way: one, or two if it is hedged."""
    failures: int = 0
    """Attempts that count against the retry policy, since the last rung."""
    rungs: int = 0
    """How many rungs of its ladder were climbed."""
    handoffs: int = 0
    avoid: tuple[str, ...] = ()
    """Agents that failed it: others are asked first."""
    others_only: bool = False
    """Some of those are not asked at all: `barred`."""
    barred: tuple[str, ...] = ()
    """Agents that failed it before the rung of its ladder that asks others only."""
    capability: str | None = None
    """What it asks for now; None: nothing that an agent does."""
    given: Any = UNKNOWN
    """Its input, where that does not follow from the definition."""
    changed_at: datetime
    look_at: datetime | None = None
    """When to look at it again if nothing else happens."""
    hedge_at: datetime | None = None
    """When another attempt begins beside the one under way."""
    until: datetime | None = None
    """Until when it waits for a signal."""
    progress: Json = None
    """What an attempt told last."""
    context_seen: dict[str, int] | None = None
    """The versions of the shared context when the newest attempt was assigned."""
    waits_for: str = ""
    """Of a parked task the limit that is used up; empty: an agent."""
    told: int = 0
    """Of a waiting task, how many escalations began; of another, how many questions it asked."""
    child: RunId | None = None
    """The run that does it, or did."""
    proposal: tuple[dict[str, Any], Json] | None = None
    """Of a dynamic task: the tasks its agent proposed, and the template of its output."""
    output: Json = None
    error: Failure | None = None
    """Of the newest attempt that failed."""
    input: Any = UNKNOWN
    """Derived when first needed, forgotten when done."""
    # of a `foreach` or a `repeat` only
    items: list[Json] | None = None
    count: int = 0
    begun: int = 0
    done: int = 0

    @property
    def is_open(self) -> bool:
        return self.status not in OVER

    @property
    def is_beside(self) -> bool:
        """Whether the run does not wait for it: it undoes, tells or answers."""
        return self.role in {"undo", "escalation", "question"}

    def open_attempts(self) -> list[tuple[int, str]]:
        """The attempts under way, each with its agent."""
        return [(number, opened.agent) for number, opened in self.opened.items()]


@dataclass(slots=True)
class Spent:
    """What a run, or one of its steps, has cost."""

    usd: float = 0.0
    tokens: int = 0
    tasks: int = 0


@dataclass(slots=True)
class Part:
    """A step that a dynamic task added."""

    owner: str
    root: str
    """The outermost dynamic task."""
    depth: int


@dataclass(slots=True, kw_only=True)
class Run:
    """One run. `ready` holds what could begin and has not: `decide` empties it."""

    id: RunId
    plan: Plan
    follows: str
    """The digest of the version of its workflow that it was started with, or moved to."""
    plan_version: int = 1
    status: RunStatus = "running"
    input: Json = None
    labels: Labels = field(default_factory=dict[str, str])
    parent: Parent | None = None
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
    delegated: dict[TaskId, Task] = field(default_factory=dict[TaskId, Task])
    """Tasks that runs of sub-workflows do."""
    outputs: dict[str, Json] = field(default_factory=dict[str, Json])
    """By step, of every step that is resolved: what expressions see as `tasks`."""
    attempts_before: dict[TaskId, int] = field(default_factory=dict[TaskId, int])
    """How often tasks that were forgotten had been attempted: numbers never come twice."""
    parts: dict[str, Part] = field(default_factory=dict[str, Part])
    """The steps that dynamic tasks added."""
    context: dict[str, Json] = field(default_factory=dict[str, Json])
    context_versions: dict[str, int] = field(default_factory=dict[str, int])
    written: set[tuple[str, int, str]] = field(default_factory=set[tuple[str, int, str]])
    """Task, attempt and key of what was shared: a copy of the report changes nothing."""
    signals: list[SignalReceived] = field(default_factory=list[SignalReceived])
    """Came before anybody waited."""
    heard: set[str] = field(default_factory=set[str])
    """Ids of the signal messages that were recorded."""
    missing: dict[str, int] = field(default_factory=dict[str, int])
    """By step: how many of the steps it needs are not resolved."""
    unresolved: int = 0
    spent: Spent = field(default_factory=Spent)
    spent_by: dict[str, Spent] = field(default_factory=dict[str, Spent])
    budget: Budget | None = None
    budget_at: datetime | None = None
    """When its time is used up."""
    exceeded: dict[str, str] = field(default_factory=dict[str, str])
    """The limits of the budget that were used up, each with what was done then."""
    completed: dict[TaskId, None] = field(default_factory=dict[TaskId, None])
    """Completed tasks that could be undone, in the order of their completion."""
    ending: RunEnding | None = None
    """How it is going to end."""
    undoing: deque[TaskId] = field(default_factory=deque[TaskId])
    """Tasks to be undone, the next first."""
    compensated: list[str] = field(default_factory=list[str])
    uncompensated: list[str] = field(default_factory=list[str])
    about: dict[str, Json] = field(default_factory=dict[str, Json])
    """What expressions see as `run`; derived when first needed."""
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
        return self.status not in FINAL

    def scope(self, task: Task | None = None) -> dict[str, Any]:
        """What expressions see; `item` and the like only where they belong to the task."""
        scope: dict[str, Any] = {
            "input": self.input,
            "tasks": self.outputs,
            "context": self.context,
            "run": self.about or self._told_about(),
        }
        if task is None:
            return scope
        if task.is_beside and task.parent is not None:
            about = self.tasks[task.parent]
            scope["tasks"] = {**self.outputs, about.step.id: about.output}
            task = about
        if task.index is not None:
            self._add_place(scope, task, task.index)
        return scope

    def _told_about(self) -> dict[str, Json]:
        definition = self.plan.definition
        self.about = {
            "id": str(self.id),
            "workflow": definition.workflow,
            "version": definition.version,
        }
        return self.about

    def _add_place(self, scope: dict[str, Any], task: Task, index: int) -> None:
        if task.role == "iteration":
            before = None if index == 0 else self.tasks[item_id(task.step.id, index - 1)]
            scope["iteration"] = index
            scope["previous"] = None if before is None else before.output
        else:
            scope["index"] = index
            scope["item"] = self.items_of(task.step)[index]

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
        if task.given is not UNKNOWN:
            return task.given
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
        if self.status == "paused" or not self.is_open:
            return None
        while self.looks and not self._stands(self.looks[0]):
            heappop(self.looks)
        times = [self.looks[0][0]] if self.looks else []
        if self.ending is not None:
            is_stopping = self.status != "compensating" and not self.delegated
            if is_stopping and self.assigned:
                times.append(self.ending.until)
        else:
            limits = (self.deadline_at, None if "time" in self.exceeded else self.budget_at)
            times += [limit for limit in limits if limit is not None]
        return min(times, default=None)

    def due(self, now: datetime) -> list[tuple[datetime, Task]]:
        """The tasks to look at now, in order of time; each is handed out once."""
        due: list[tuple[datetime, Task]] = []
        while self.looks and self.looks[0][0] <= now:
            look = heappop(self.looks)
            if self._stands(look):
                task = self.tasks[look[1]]
                task.look_at = None
                due.append((look[0], task))
        return due

    def waiting_for(self, signal: str) -> Task | None:
        """The oldest task that waits for this signal."""
        for task in self.tasks.values():
            wait = task.step.task.wait
            if task.status == "waiting" and wait is not None and wait.signal == signal:
                return task
        return None

    def abandoned(self) -> tuple[Abandoned, ...]:
        """Every attempt under way, as it is recorded when nobody waits for it any more."""
        return tuple(
            Abandoned(task_id=task.id, attempt=number, agent=agent)
            for task in self.assigned.values()
            for number, agent in task.open_attempts()
        )

    def _stands(self, look: tuple[datetime, TaskId, int]) -> bool:
        at, task_id, attempt = look
        task = self.tasks.get(task_id)
        return task is not None and task.is_open and task.look_at == at and task.attempt == attempt
