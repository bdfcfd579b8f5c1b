"""The pipeline: receive a batch, decide, one transaction, publish, answer, acknowledge.

One loop owns all runs in memory and does all of it in this order, so that every crash repeats
something and none loses anything. A batch is what is there now: an idle system waits for nothing.
Nothing is published that is not implied by a committed event; nothing is acknowledged before it is
stored and sent.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from dalsegno_bus.bus import Delivery
from dalsegno_bus.errors import Unavailable, VersionConflict
from dalsegno_bus.ids import RunId
from dalsegno_bus.logs import log
from dalsegno_bus.messages import AskWanted, RegisterWorkflow, Report, StartRun
from dalsegno_bus.subjects import Subjects
from dalsegno_orchestrator.batch import Batch
from dalsegno_orchestrator.decisions import Decisions, Undecidable, Work
from dalsegno_orchestrator.directory import Directory
from dalsegno_orchestrator.heard import hear, run_of
from dalsegno_orchestrator.history import Recorded
from dalsegno_orchestrator.outbox import Outbox
from dalsegno_orchestrator.registry import Registry
from dalsegno_orchestrator.runs import Runs
from dalsegno_orchestrator.storage.open_runs import OpenRun
from dalsegno_orchestrator.store import Store
from dalsegno_orchestrator.timers import Timers
from dalsegno_orchestrator.workflow.events import (
    RunCancelled,
    RunCompleted,
    RunFailed,
    TaskAssigned,
    TaskCompleted,
    TaskFailed,
    TaskRerouted,
    TaskTimedOut,
)
from dalsegno_orchestrator.workflow.facts import AgentsChanged
from dalsegno_orchestrator.workflow.run import Run
from dalsegno_orchestrator.workflow.turn import is_awaited

_logger = logging.getLogger("dalsegno.orchestrator")

INLINE_EVENTS_MAX: Final = 64
"""Up to so many events, a local store commits faster without a hop to a thread."""
BACKOFF_SECONDS_MAX: Final = 5.0
LEFT_ALONE_SECONDS: Final = 60.0
"""A run whose time could not be decided on is tried again so much later."""


class Pipeline:
    """Owns the runs of its partitions. `turn` does one batch; nothing else changes a run.

    Args:
        now: The clock (UTC).
    """

    def __init__(
        self,
        *,
        store: Store,
        outbox: Outbox,
        registry: Registry,
        directory: Directory,
        now: Callable[[], datetime],
        subjects: Subjects,
    ) -> None:
        self._store = store
        self._outbox = outbox
        self._registry = registry
        self._now = now
        self._subjects = subjects
        self.runs = Runs(store, registry, directory)
        self.timers = Timers()
        self._decisions = Decisions(registry=registry, directory=directory, runs=self.runs)
        self.ignored = 0
        """Reports that nobody waited for (late, doubled, forged), since the start."""

    async def recover(self) -> int:
        """Load what is open; return how many runs that is.

        What is under way is sent again by the first `sweep`, after what waits in the inbox: reports
        that came while nobody was here are not asked for a second time.
        """
        opened = await asyncio.to_thread(self._store.open_runs, range(self._subjects.partitions))
        await self._load([RunId(entry.run_id) for entry in opened])
        return len(self.runs)

    async def sweep(self, *, older_than: datetime) -> None:
        """Make good what was lost quietly: look what is open, and send old attempts again."""
        try:
            await self._catch_up()
        except Unavailable as error:
            log(_logger, "warning", "sweep_failed", reason=str(error))
        await self.send_again(self.runs, older_than=older_than)

    async def _catch_up(self) -> None:
        """Take over what another orchestrator has done: one that is stopping, or was stopped."""
        opened = await asyncio.to_thread(self._store.open_runs, range(self._subjects.partitions))
        versions = {RunId(entry.run_id): entry.version for entry in opened}
        for run in self.runs:
            if run.version < versions.get(run.id, run.version + 1):
                self.runs.drop(run.id)
                self.timers.disarm(run.id)
        unheld = [run_id for run_id in versions if self.runs.held(run_id) is None]
        if unheld:
            await self._load(unheld)
            taken = [run for run_id in unheld if (run := self.runs.held(run_id)) is not None]
            await self.send_again(taken)
            log(_logger, "info", "runs_taken_over", runs=len(taken))

    async def is_wanted(self, question: AskWanted) -> bool:
        """Whether this attempt is open, and with the agent that asks. Changes nothing."""
        run = self.runs.held(question.run_id)
        if run is not None and is_awaited(run, question):
            return True
        # Another orchestrator may know better than what is in memory here.
        history = await asyncio.to_thread(self._store.read, question.run_id)
        return _is_open(history, question)

    async def send_again(self, runs: Iterable[Run], *, older_than: datetime | None = None) -> None:
        """Send the attempts of these runs again, or only those assigned before `older_than`."""
        await self._outbox.send_again(
            (run, task)
            for run in runs
            if run.status == "running"
            for task in list(run.assigned.values())
            if older_than is None or task.changed_at < older_than
        )

    async def turn(
        self,
        deliveries: Sequence[Delivery],
        *,
        due: Sequence[RunId] = (),
        changed: AgentsChanged | None = None,
    ) -> None:
        """Do one batch, until it is stored, sent and acknowledged.

        A conflict or an unreachable store throws away what was decided and decides again from
        what is stored; nothing was acknowledged, so nothing is lost.
        """
        heard = [hear(delivery, self._subjects) for delivery in deliveries]
        for one in heard:
            if isinstance(one.message, RegisterWorkflow):  # each reads what the one before wrote
                await self._do(Work(heard=[one]))
        rest = [one for one in heard if not isinstance(one.message, RegisterWorkflow)]
        if rest or due or changed is not None:
            await self._do(Work(heard=rest, due=due, changed=changed))
        for delivery in deliveries:
            await delivery.ack()

    async def _do(self, work: Work) -> None:
        batch = await self._decide_and_commit(work)
        for run in batch.touched.values():
            if not run.is_open:
                self.runs.end(run.id)
                self.timers.disarm(run.id)
        self.ignored += batch.ignored
        await self._outbox.send(batch)

    async def _decide_and_commit(self, work: Work) -> Batch:
        """Decide and store, as often as it takes."""
        failures = 0
        reloaded: dict[RunId, None] = {}
        while True:
            batch = Batch(now=self._now())
            try:
                work = await self._prepare(work, careful=failures > 0)
                self._decisions.take(work, batch)
                stale = await self._stale(batch)
                if not stale:
                    await self._commit(batch)
                    break
                self._forget(batch, *stale)
            except Undecidable as error:
                self._forget(batch, error.run_id)
                self.runs.recount()
                work = work.without(error)
                log(_logger, "error", "message_undecidable", reason=str(error))
            except (VersionConflict, Unavailable) as error:
                failures += 1
                if failures == 1:
                    log(_logger, "warning", "batch_repeated", reason=str(error))
                self._forget(batch)
                reloaded.update(dict.fromkeys(batch.touched))
                if isinstance(error, Unavailable):
                    await asyncio.sleep(min(0.05 * 2**failures, BACKOFF_SECONDS_MAX))
        if reloaded:
            # The commit that seemed to fail may have been one: send what it implied.
            held = [self.runs.held(run_id) for run_id in reloaded]
            await self.send_again([run for run in held if run is not None])
        if failures:
            log(_logger, "info", "batch_recovered", failures=failures)
        for run_id in work.left_alone:  # not in a circle, and not for ever
            self.timers.disarm(run_id)
            self.timers.arm(run_id, batch.now + timedelta(seconds=LEFT_ALONE_SECONDS))
        return batch

    async def _stale(self, batch: Batch) -> list[RunId]:
        """The runs that waited for a report no more, or not yet, because another one moved them.

        An orchestrator that was started while this one still works shares the inbox with it.
        """
        stale: list[RunId] = []
        for run_id, version in batch.doubted.items():
            if self._store.is_local:
                newer = self._store.read(run_id, after=version)
            else:
                newer = await asyncio.to_thread(self._store.read, run_id, after=version)
            if newer:
                stale.append(run_id)
        return stale

    def _forget(self, batch: Batch, *others: RunId) -> None:
        """What is in memory of these runs is not what is stored: have them loaded again."""
        for run_id in (*batch.touched, *others):
            self.runs.drop(run_id)
            self.timers.disarm(run_id)

    # --- before -------------------------------------------------------------------------------

    async def _prepare(self, work: Work, *, careful: bool) -> Work:
        """Bring the runs and workflows of a batch into memory.

        A run that is asked to start is taken for new, because it nearly always is; the store
        refuses its first event if not, and the second round (`careful`) looks before.
        """
        missing: dict[RunId, None] = dict.fromkeys([*work.due, *work.undecided])
        names: dict[str, None] = {}
        for heard in work.heard:
            run_id = run_of(heard)
            if isinstance(heard.message, StartRun):
                if not self._registry.knows(heard.message.workflow, heard.message.version):
                    names[heard.message.workflow] = None
                if not careful:
                    continue
            if isinstance(heard.message, Report) and self.runs.has_ended(heard.message.run_id):
                continue
            if run_id is not None:
                missing[run_id] = None
        unheld = [run_id for run_id in missing if self.runs.held(run_id) is None]
        ended = await self._load(unheld) if unheld else {}
        for name in names:
            if self._store.is_local:
                self._registry.refresh(name)
            else:
                await asyncio.to_thread(self._registry.refresh, name)
        return replace(work, ended=ended)

    async def _load(self, run_ids: Sequence[RunId]) -> dict[RunId, Run]:
        """Bring runs into memory; return those that have ended, which stay out."""
        loaded = await asyncio.to_thread(self.runs.load, run_ids)
        self.runs.admit(run for run in loaded if run.is_open)
        for run in loaded:
            self.timers.arm(run.id, run.next_look())
        return {run.id: run for run in loaded if not run.is_open}

    # --- commit -------------------------------------------------------------------------------

    async def _commit(self, batch: Batch) -> None:
        """One transaction: the events, and the index of open runs with what is due when.

        A due time in the index is a lower bound, so it changes only when something is due earlier.
        """
        opened: list[OpenRun] = []
        closed: list[RunId] = []
        for run in batch.touched.values():
            if not run.is_open:
                closed.append(run.id)
                continue
            due = run.next_look()
            if self.timers.arm(run.id, due) or run.id in batch.started:
                partition = self._subjects.partition(run.id)
                opened.append(OpenRun(run_id=run.id, partition=partition, due_at=due))
        if not (batch.sealed or opened or closed):
            return
        if self._store.is_local and len(batch.sealed) <= INLINE_EVENTS_MAX:
            self._store.append(batch.sealed, opened=opened, closed=closed)
        else:
            await asyncio.to_thread(self._store.append, batch.sealed, opened=opened, closed=closed)


def _is_open(history: Sequence[Recorded], attempt: Report) -> bool:
    """Whether the last word on this task is that the attempt was assigned to this agent."""
    for recorded in reversed(history):
        match recorded.event:
            case RunCompleted() | RunFailed() | RunCancelled():
                return False
            case TaskAssigned(task_id=attempt.task_id) as last:
                return (last.attempt, last.agent) == (attempt.attempt, attempt.agent)
            case TaskCompleted() | TaskFailed() | TaskTimedOut() | TaskRerouted() as last:
                if last.task_id == attempt.task_id:
                    return False
            case _:
                pass
    return False
