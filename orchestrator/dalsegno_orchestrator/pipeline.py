"""The pipeline: receive a batch, decide, one transaction, publish, answer, acknowledge.

One loop owns all runs in memory and does all of it in this order, so that every crash repeats
something and none loses anything. A batch is what is there now: an idle system waits for nothing.
Nothing is published that is not implied by a committed event; nothing is acknowledged before it is
stored and sent.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from dalsegno_bus.bus import Delivery
from dalsegno_bus.errors import LimitsExceeded, Unavailable, VersionConflict
from dalsegno_bus.ids import RunId, StreamId, schedule_id
from dalsegno_bus.logs import log
from dalsegno_bus.messages import (
    AskWanted,
    ChildOver,
    MigrateRun,
    PauseSchedule,
    RegisterWorkflow,
    Report,
    ResumeSchedule,
    SetLimit,
    StartRun,
)
from dalsegno_bus.subjects import Subjects
from dalsegno_orchestrator.batch import Batch
from dalsegno_orchestrator.decisions import Decisions
from dalsegno_orchestrator.directory.agents import Directory
from dalsegno_orchestrator.heard import Heard, hear, run_of
from dalsegno_orchestrator.kin import untold
from dalsegno_orchestrator.leases.errors import LeaseLost
from dalsegno_orchestrator.limits.waits import Waits
from dalsegno_orchestrator.outbox import Outbox
from dalsegno_orchestrator.registry import Registry
from dalsegno_orchestrator.runs import Runs
from dalsegno_orchestrator.schedules import Schedules
from dalsegno_orchestrator.storage.open_runs import OpenRun
from dalsegno_orchestrator.storage.permits import together
from dalsegno_orchestrator.store import Store
from dalsegno_orchestrator.timers import Timers
from dalsegno_orchestrator.work import Undecidable, Work
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
        holds: Whether a partition is still ours to work on.
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
        holds: Callable[[int], bool],
    ) -> None:
        self._store = store
        self._outbox = outbox
        self._registry = registry
        self._directory = directory
        self._now = now
        self._subjects = subjects
        self._holds = holds
        self.waits = Waits(store, directory)
        self.timers = Timers()
        self.schedules = Schedules(store, self.timers, namespace=subjects.namespace)
        self.runs = Runs(store, registry, directory, self.waits, self.schedules)
        self._decisions = Decisions(
            registry=registry, directory=directory, runs=self.runs, waits=self.waits
        )
        self.ignored = 0
        """Reports that nobody waited for (late or doubled), since the start."""
        self.refused = 0
        """Messages that nobody could use (forged, misshapen), since the start: dead letters."""

    async def start_ticks(self, *, older_than: datetime | None = None) -> None:
        """Ask once more for the runs of ticks that are not seen to go on here."""
        await self._outbox.start_ticks(
            self.schedules.unsettled(
                older_than=older_than, besides=lambda run_id: self.runs.held(run_id) is not None
            )
        )

    async def look(self) -> None:
        """See what others may have changed of what somebody here waits for. Call every second."""
        await self._outbox.tell_postponed()
        self.waits.agents_changed(self._directory.circuits_due(self._now()))
        try:
            await self._read(self.waits.look)
        except Unavailable as error:
            log(_logger, "warning", "limits_not_read", reason=str(error))

    async def is_wanted(self, question: AskWanted) -> bool:
        """Whether this attempt is open, and with the agent that asks. Changes nothing."""
        run = self.runs.held(question.run_id)
        if run is not None and is_awaited(run, question):
            return True
        # Another orchestrator may know better than what is in memory here.
        stored = await asyncio.to_thread(self.runs.peek, question.run_id)
        return stored is not None and stored.is_open and is_awaited(stored, question)

    async def send_again(self, runs: Iterable[Run], *, older_than: datetime | None = None) -> None:
        """Send what these runs wait for again, or only what was sent before `older_than`."""
        asked = list(runs)
        await self._outbox.send_again(
            (run, task, number)
            for run in asked
            if run.status in {"running", "compensating"}
            for task in list(run.assigned.values())
            for number, opened in list(task.opened.items())
            if older_than is None or opened.since < older_than
        )
        await self._outbox.tell_children(untold(asked, self.runs, older_than=older_than))

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

        Raises:
            LeaseLost: Somebody else may own a part of it by now; that part was neither sent nor
                acknowledged.
        """
        heard = [hear(delivery, self._subjects) for delivery in deliveries]
        for one in heard:  # of these, each reads what the one before wrote
            if isinstance(one.message, RegisterWorkflow | SetLimit):
                await self._do(Work(heard=[one]))
            if isinstance(one.message, SetLimit):
                await self.look()
        rest = [one for one in heard if not isinstance(one.message, RegisterWorkflow | SetLimit)]
        if rest or due or changed is not None or self.waits.is_due(self._now()):
            await self._do(Work(heard=rest, due=due, changed=changed))
        for delivery in deliveries:
            await delivery.ack()

    async def _do(self, work: Work) -> None:
        batch = await self._decide_and_commit(work)
        self._check_held(batch.touched)
        for run in batch.touched.values():
            if not run.is_open:
                self.runs.end(run)
                self.timers.disarm(run.id)
        self.ignored += batch.ignored
        self.refused += len(batch.refused)
        await self._outbox.send(batch)

    async def _decide_and_commit(self, work: Work) -> Batch:
        """Decide and store, as often as it takes."""
        failures = 0
        reloaded: dict[RunId, None] = {}
        while True:
            batch = Batch(now=self._now())
            try:
                work = await self._prepare(work, careful=failures > 0)
                await self._freshen()
                self._decisions.take(work, batch)
                stale = await self._stale(batch)
                if not stale:
                    await self._commit(batch)
                    break
                work = self._forget(work, batch, *stale)
            except Undecidable as error:
                work = self._forget(work, batch, error.run_id).without(error)
                self.runs.recount()
                log(_logger, "error", "message_undecidable", reason=str(error))
            except (VersionConflict, LimitsExceeded, Unavailable) as error:
                failures += 1
                self._judge(error, batch, is_first=failures == 1)
                work = self._forget(work, batch)
                reloaded.update(dict.fromkeys(batch.touched))
                if isinstance(error, Unavailable):
                    await asyncio.sleep(min(0.05 * 2**failures, BACKOFF_SECONDS_MAX))
        if reloaded:
            # The commit that seemed to fail may have been one: send what it implied.
            held = [self.runs.held(run_id) for run_id in reloaded]
            await self.send_again([run for run in held if run is not None])
        self.schedules.committed(batch.schedules, looked_at=work.due)
        if failures:
            await self.start_ticks()
            log(_logger, "info", "batch_recovered", failures=failures)
        for run_id in work.left_alone:  # not in a circle, and not for ever
            self.timers.disarm(run_id)
            self.timers.arm(run_id, batch.now + timedelta(seconds=LEFT_ALONE_SECONDS))
        return batch

    def _judge(self, error: Exception, batch: Batch, *, is_first: bool) -> None:
        """Say why a batch is repeated, unless its runs are somebody else's by now.

        Raises:
            LeaseLost: Somebody else moved a run, and may own it.
        """
        if isinstance(error, VersionConflict):
            self._check_held(batch.touched)
        if is_first:
            is_usual = isinstance(error, LimitsExceeded)  # two took of it at once
            log(_logger, "info" if is_usual else "warning", "batch_repeated", reason=str(error))

    def _check_held(self, run_ids: Iterable[RunId]) -> None:
        """Go no further with runs that somebody else may own by now.

        Raises:
            LeaseLost: There is one.
        """
        partitions = {self._subjects.partition(run_id) for run_id in run_ids}
        lost = [partition for partition in sorted(partitions) if not self._holds(partition)]
        if lost:
            raise LeaseLost(lost)

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

    def _forget(self, work: Work, batch: Batch, *others: RunId) -> Work:
        """What is in memory of these runs is not what is stored: have them loaded again."""
        self.waits.is_stale = True
        forgotten = frozenset((*batch.touched, *others))
        for run_id in forgotten:
            self.runs.drop(run_id)
            self.timers.disarm(run_id)
        return replace(work, undecided=work.undecided | forgotten)

    # --- before -------------------------------------------------------------------------------

    async def _prepare(self, work: Work, *, careful: bool) -> Work:
        """Bring the runs and workflows of a batch into memory.

        A run that is asked to start is taken for new, because it nearly always is; the store
        refuses its first event if not, and the second round (`careful`) looks before.
        """
        missing = self._missing(work, careful=careful)
        await self.read_on(filter(self.schedules.holds, missing))
        unheld = self.unheld(missing)
        ended = await self.load(unheld) if unheld else {}
        for name in self._unread(work, ended):
            await self._read(partial(self._registry.refresh, name))
        return replace(work, ended=ended)

    def _missing(self, work: Work, *, careful: bool) -> dict[RunId, None]:
        """The runs and schedules that a batch is about, as far as they may have to be read."""
        missing: dict[RunId, None] = dict.fromkeys([*work.due, *work.undecided])
        for heard in work.heard:
            message, run_id = heard.message, run_of(heard) or _schedule_of(heard)
            if isinstance(message, StartRun) and not careful:
                continue
            if isinstance(message, Report | ChildOver) and self.runs.has_ended(message.run_id):
                continue
            if run_id is not None:
                missing[run_id] = None
        return missing

    def _unread(self, work: Work, ended: Mapping[RunId, Run]) -> dict[str, None]:
        """The workflows of which a version is asked for that is not known here."""
        names: dict[str, None] = {}
        for heard in work.heard:
            match heard.message:
                case StartRun(workflow=name, version=version):
                    pass
                case MigrateRun(run_id=run_id, version=version):
                    run = self.runs.held(run_id) or ended.get(run_id)
                    if run is None:
                        continue
                    name = run.plan.definition.workflow
                case _:
                    continue
            if not self._registry.knows(name, version):
                names[name] = None
        return names

    def unheld(self, run_ids: Iterable[RunId]) -> list[RunId]:
        """What of this is not in memory."""
        held, schedules = self.runs.held, self.schedules
        return [one for one in run_ids if held(one) is None and not schedules.holds(one)]

    async def read_on(self, streams: Iterable[StreamId]) -> None:
        """Take over what others have recorded of these schedules."""
        for stream in streams:
            await self._read(partial(self.schedules.refresh, stream))

    async def load(self, run_ids: Sequence[RunId]) -> dict[RunId, Run]:
        """Bring runs into memory; return those that have ended, which stay out."""
        loaded = await asyncio.to_thread(self.runs.load, run_ids)
        self.runs.admit(run for run in loaded if run.is_open)
        if any(run.is_open and run.assigned for run in loaded):
            self.waits.is_stale = True  # somebody else took their permits
        for run in loaded:
            self.timers.arm(run.id, run.next_look())
        return {run.id: run for run in loaded if not run.is_open}

    async def _freshen(self) -> None:
        """Read the limits and permits again, if others may have changed what was read before."""
        if self.waits.is_stale:
            await self._read(self.waits.read)

    async def _read(self, read: Callable[[], None]) -> None:
        if self._store.is_local:
            read()
        else:
            await asyncio.to_thread(read)

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
        self.schedules.index(batch.schedules, self._subjects.partition, opened, closed)
        sealed = [*batch.sealed, *batch.schedules.sealed]
        if not (sealed or opened or closed):
            return
        permits = together(batch.permits, limits_version=self.waits.ledger.settings.version)
        if self._store.is_local and len(sealed) <= INLINE_EVENTS_MAX:
            self._store.append(sealed, opened=opened, closed=closed, permits=permits)
        else:
            await asyncio.to_thread(
                self._store.append, sealed, opened=opened, closed=closed, permits=permits
            )


def _schedule_of(heard: Heard) -> RunId | None:
    """The schedule that a message is about, or may set."""
    match heard.message:
        case PauseSchedule() | ResumeSchedule() as message:
            return RunId(schedule_id(message.workflow))
        case RegisterWorkflow() as message:
            return RunId(schedule_id(str(message.definition.get("workflow", ""))))
        case _:
            return None
