"""Who of the parked tasks goes next, over all runs in memory: an index, not a source of truth.

Tasks that need the same (a capability, labels, a pinned agent, quotas) stand in one queue: if its
first cannot go, neither can the rest, so one completion looks at one task and never at all of them.
The first is not passed by a smaller one behind it, so a large one is not starved.

Within a queue the values of `fair_by` take turns (see `queue`). Within a value, whoever was
parked first goes first, and each step of priority counts as 30 s of waiting: a head start, so that
nobody waits for ever. The line decides nothing: the core is asked again whether a task can go.
"""

from collections.abc import Iterable, Sequence
from itertools import count
from typing import Final

from dalsegno_bus.ids import RunId, TaskId
from dalsegno_orchestrator.limits.queue import Clock, Entry, Need, Queue, fair_value, need_of
from dalsegno_orchestrator.workflow.events import (
    RunEnding,
    RunEvent,
    RunMigrated,
    RunPaused,
    RunReopened,
    RunReplanned,
    RunResumed,
    RunRewound,
    TaskParked,
)
from dalsegno_orchestrator.workflow.run import Run, Task

PRIORITY_SECONDS: Final = 30.0
"""The head start of one step of priority: 9 passes a 0 that came up to 4.5 minutes earlier."""

_WORKING: Final = ("running", "compensating")
"""A run in any other state begins nothing, so its tasks would only stand in the way."""
_WIDE: Final = (
    RunPaused, RunResumed, RunEnding, RunReopened, RunRewound, RunReplanned, RunMigrated,
)  # fmt: skip
"""After these a run's place in the line is made anew."""


class Line:
    """The parked tasks of all runs in memory. One loop reads and writes it: no lock."""

    def __init__(self) -> None:
        self._entries: dict[tuple[RunId, TaskId], Entry] = {}
        self._of_run: dict[RunId, dict[TaskId, None]] = {}
        self._flows: dict[RunId, str] = {}
        """By run, whose turns its tasks take."""
        self._queues: dict[Need, Queue] = {}
        self._clocks: dict[str, Clock] = {}
        self._awake: dict[Need, None] = {}
        """Queues whose first may be able to go."""
        self._waiting: dict[str, dict[Need, None]] = {}
        """Every queue, by what it waits for."""
        self._aside: dict[str, dict[tuple[RunId, TaskId], Entry]] = {}
        """By limit, tasks that ask for more of it than there will ever be."""
        self._offered: tuple[Entry, float] | None = None
        self._numbers = count()

    def __len__(self) -> int:
        """How many tasks stand in it."""
        return len(self._entries)

    @property
    def is_awake(self) -> bool:
        """Whether `next` has anybody to look at."""
        return bool(self._awake)

    # --- what the runs tell -------------------------------------------------------------------

    def admit(self, run: Run) -> None:
        """Take in the parked tasks of a run that was loaded, each since it was parked."""
        if run.status in _WORKING:
            for task in run.parked.values():
                self._enter(run, task)

    def drop(self, run_id: RunId) -> None:
        """The run has ended, or is not in memory any more."""
        for task_id in list(self._of_run.get(run_id, ())):
            self._leave(self._entries[run_id, task_id])

    def note(self, run: Run, events: Sequence[RunEvent]) -> None:
        """Take in what was decided in a run; `run` has the events folded in."""
        if run.status not in _WORKING or any(isinstance(event, _WIDE) for event in events):
            self.drop(run.id)
            self.admit(run)
            return
        for event in events:
            if isinstance(event, TaskParked):
                task = run.parked.get(TaskId(event.task_id))
                if task is not None:
                    self._enter(run, task)
                continue
            entry = self._entries.get((run.id, getattr(event, "task_id", TaskId(""))))
            if entry is not None and entry.task_id not in run.parked:
                self._leave(entry)

    # --- what has room again ------------------------------------------------------------------

    def wake(self, limit: str) -> None:
        """There may be room in this limit."""
        self._awake.update(self._waiting.get(limit, {}))

    def wake_agents(self, capabilities: Iterable[str] | None = None) -> None:
        """There may be agents for these capabilities (None: for any)."""
        if capabilities is None:
            for waits_for, needs in self._waiting.items():
                if waits_for.startswith("agents:"):
                    self._awake.update(needs)
            return
        for capability in capabilities:
            self.wake(f"agents:{capability}")

    def wake_all(self) -> None:
        """Look at the first of every queue once more."""
        self._awake.update(dict.fromkeys(self._queues))

    def reconsider(self, limit: str) -> None:
        """The limit was changed: whoever asked for too much of it may not do so any more."""
        for entry in self._aside.pop(limit, {}).values():
            self._push(entry, limit)
        self.wake(limit)

    # --- who goes -----------------------------------------------------------------------------

    def next(self) -> tuple[RunId, TaskId] | None:
        """Who is to be asked next; None: nobody could go. `tried` has to be called after each."""
        best: tuple[float, float, Entry, float] | None = None
        for need in list(self._awake):
            queue = self._queues.get(need)
            first = None if queue is None else queue.first()
            if queue is None or first is None:
                del self._awake[need]
                continue
            start, entry = first
            lead = start - queue.clock.now
            if best is None or (lead, entry.rank) < best[:2]:
                best = (lead, entry.rank, entry, start)
        if best is None:
            return None
        self._offered = (best[2], best[3])
        return best[2].run_id, best[2].task_id

    def tried(self, task: Task | None, *, never: str | None = None) -> None:
        """Take in what became of the task that `next` named.

        Args:
            task: It, if it is still parked; None: it went.
            never: The limit that it asks too much of, whoever gives back what.
        """
        assert self._offered is not None
        (entry, start), self._offered = self._offered, None
        queue = self._queues.get(entry.need)
        if task is None:
            clock = self._clocks.get(entry.need.shared)
            if clock is not None:
                clock.serve(entry.flow, start)
            if entry.is_live:
                self._leave(entry)
            return
        if queue is None or not entry.is_live:  # parked anew, for something else
            return
        if never is not None:
            self._remove(queue, entry)
            self._aside.setdefault(never, {})[entry.run_id, entry.task_id] = entry
            return
        self._awake.pop(entry.need, None)
        self._wait_for(entry.need, queue, task.waits_for or entry.need.agents)

    def is_waited_for(self, limit: str) -> bool:
        """Whether somebody in the line has to get of this limit before any newcomer."""
        return limit in self._waiting

    def limits(self) -> list[str]:
        """The limits that somebody waits for."""
        waiting = {name for name in self._waiting if not name.startswith("agents:")}
        return sorted(waiting | set(self._aside))

    def capabilities(self) -> list[str]:
        """The capabilities that somebody waits for an agent with."""
        prefix = "agents:"
        return [name.removeprefix(prefix) for name in self._waiting if name.startswith(prefix)]

    # --- inside -------------------------------------------------------------------------------

    def _enter(self, run: Run, task: Task) -> None:
        need = need_of(run, task)
        known = self._entries.get((run.id, task.id))
        if known is not None:
            if known.need == need:
                return
            self._leave(known)
        entry = Entry(
            run_id=run.id,
            task_id=task.id,
            need=need,
            flow=self._flow_of(run),
            rank=task.changed_at.timestamp() - PRIORITY_SECONDS * task.step.task.priority,
        )
        self._entries[run.id, task.id] = entry
        self._of_run.setdefault(run.id, {})[task.id] = None
        self._push(entry, task.waits_for or need.agents)

    def _flow_of(self, run: Run) -> str:
        flow = self._flows.get(run.id)
        if flow is None:
            flow = self._flows[run.id] = fair_value(run)
        return flow

    def _push(self, entry: Entry, waits_for: str) -> None:
        need = entry.need
        queue = self._queues.get(need)
        if queue is None:
            clock = self._clocks.setdefault(need.shared, Clock())
            clock.queues += 1
            queue = self._queues[need] = Queue(clock, waits_for)
            self._waiting.setdefault(waits_for, {})[need] = None
        entry.is_live = True
        queue.push(entry, next(self._numbers))
        first = queue.first()
        if first is not None and first[1] is entry:  # it may fit where who was first did not
            self._awake[need] = None

    def _leave(self, entry: Entry) -> None:
        key = (entry.run_id, entry.task_id)
        del self._entries[key]
        tasks = self._of_run[entry.run_id]
        del tasks[entry.task_id]
        if not tasks:
            del self._of_run[entry.run_id]
            del self._flows[entry.run_id]
        queue = self._queues.get(entry.need)
        if entry.is_live and queue is not None:
            self._remove(queue, entry)
            return
        for limit, aside in list(self._aside.items()):
            if aside.pop(key, None) is not None and not aside:
                del self._aside[limit]

    def _remove(self, queue: Queue, entry: Entry) -> None:
        queue.remove(entry)
        if queue.live:
            return
        need = entry.need
        del self._queues[need]
        self._awake.pop(need, None)
        self._stop_waiting(need, queue)
        queue.clock.queues -= 1
        if not queue.clock.queues:
            del self._clocks[need.shared]

    def _wait_for(self, need: Need, queue: Queue, waits_for: str) -> None:
        if queue.waits_for != waits_for:
            self._stop_waiting(need, queue)
            queue.waits_for = waits_for
            self._waiting.setdefault(waits_for, {})[need] = None

    def _stop_waiting(self, need: Need, queue: Queue) -> None:
        needs = self._waiting[queue.waits_for]
        del needs[need]
        if not needs:
            del self._waiting[queue.waits_for]
