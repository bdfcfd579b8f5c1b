"""One queue of the line: parked tasks that need the same, in the order in which they go.

The values of `fair_by` take turns by start-time fair queueing (Goyal, Vin and Cheng, 1996), with
each task as one unit: whoever was served has its next turn one unit later, and who comes back after
a pause begins at the time that it is for all. Within a value the smallest rank goes first.
"""

from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import Final

import orjson

from dalsegno_bus.errors import DalsegnoError
from dalsegno_bus.ids import RunId, TaskId
from dalsegno_orchestrator.workflow.run import Run, Task

DEAD_MAX: Final = 64
"""So many entries of tasks that have left may lie in a queue, or as many as live ones."""


@dataclass(frozen=True, slots=True)
class Need:
    """What a task needs to go out, apart from how much of it."""

    capability: str
    labels: tuple[tuple[str, str], ...]
    agent: str | None
    not_by: tuple[str, ...]
    limits: tuple[str, ...]

    @property
    def agents(self) -> str:
        """What it waits for if it is no limit."""
        return f"agents:{self.capability}"

    @property
    def shared(self) -> str:
        """What its queue shares with others that are served in turn with it."""
        return self.limits[0] if self.limits else self.agents


@dataclass(slots=True)
class Entry:
    """One parked task."""

    run_id: RunId
    task_id: TaskId
    need: Need
    flow: str
    """Whose turn it is: the value of `fair_by`."""
    rank: float
    """The smallest goes first."""
    is_live: bool = True


@dataclass(slots=True)
class Clock:
    """Virtual time of those that share something."""

    now: float = 0.0
    """When the newest that was served began to be."""
    served: dict[str, float] = field(default_factory=dict[str, float])
    """By value, until when it has had its turn."""
    queues: int = 0

    def start_of(self, flow: str) -> float:
        return max(self.now, self.served.get(flow, 0.0))

    def serve(self, flow: str, start: float) -> None:
        self.now = max(self.now, start)
        self.served[flow] = start + 1.0
        if len(self.served) > DEAD_MAX:
            ahead = {name: until for name, until in self.served.items() if until > self.now}
            if 2 * len(ahead) < len(self.served):
                self.served = ahead


class Queue:
    """The tasks with one need."""

    def __init__(self, clock: Clock, waits_for: str) -> None:
        self.clock = clock
        self.waits_for = waits_for
        """A limit or agents: what its first was last found to lack."""
        self.live = 0
        self._size = 0
        self._flows: dict[str, list[tuple[float, int, Entry]]] = {}
        self._turns: list[tuple[float, int, str]] = []

    def push(self, entry: Entry, number: int) -> None:
        self.live += 1
        self._size += 1
        heap = self._flows.get(entry.flow)
        if heap is None:
            heap = self._flows[entry.flow] = []
            heappush(self._turns, (self.clock.start_of(entry.flow), number, entry.flow))
        heappush(heap, (entry.rank, number, entry))

    def remove(self, entry: Entry) -> None:
        """Take it out; it is passed over when its place comes up."""
        entry.is_live = False
        self.live -= 1
        if self._size > 2 * self.live + DEAD_MAX:
            for flow, heap in self._flows.items():
                self._flows[flow] = [standing for standing in heap if standing[2].is_live]
                heapify(self._flows[flow])
            self._size = self.live

    def first(self) -> tuple[float, Entry] | None:
        """Who goes next, with the virtual time at which its turn begins."""
        while self._turns:
            start, number, flow = self._turns[0]
            heap = self._flows[flow]
            while heap and not heap[0][2].is_live:
                heappop(heap)
                self._size -= 1
            if not heap:
                heappop(self._turns)
                del self._flows[flow]
                continue
            due = max(start, self.clock.served.get(flow, 0.0))
            if due > start:  # it had a turn since, here or in another queue
                heappop(self._turns)
                heappush(self._turns, (due, number, flow))
                continue
            return start, heap[0][2]
        return None


def need_of(run: Run, task: Task) -> Need:
    """What the task needs now."""
    step = task.step
    definition = run.plan.definition
    limits = tuple(f"quota:{name}" for name in sorted(step.quota))
    if definition.limits.concurrency is not None or definition.limits.rate is not None:
        limits = (f"workflow:{definition.workflow}", *limits)
    return Need(
        capability=task.capability or step.task.capability or "",
        labels=tuple(sorted(step.task.requires.items())),
        agent=step.task.agent,
        not_by=task.avoid if task.others_only else (),
        limits=limits,
    )


def fair_value(run: Run) -> str:
    """The value of `fair_by` as text."""
    template = run.plan.fair_by
    if template is None:
        return ""
    try:
        value = template.evaluate({"input": run.input})
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except (DalsegnoError, orjson.JSONEncodeError):  # it takes its turns with those that have none
        return ""
