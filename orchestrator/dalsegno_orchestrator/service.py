"""One orchestrator: builds everything, runs the loops, stops in order.

Four loops feed one: what comes in, what is due, what changes among the agents, and which partitions
are owned. Only `_work` touches the pipeline, so nothing there needs a lock.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from pydantic import TypeAdapter

from dalsegno_bus.artifacts import ArtifactStore
from dalsegno_bus.bus import Bus, Delivery, Pull
from dalsegno_bus.codec import decode, encode
from dalsegno_bus.errors import BusError, DecodeFailed, SettingsError, Unavailable
from dalsegno_bus.logs import log
from dalsegno_bus.messages import AskWanted, Wanted
from dalsegno_bus.topology import Consumer, Topology, inbox, inbox_consumer, tasks, topology_of
from dalsegno_bus.waiting import entered, patiently
from dalsegno_orchestrator.directory.agents import Directory
from dalsegno_orchestrator.leases.errors import LeaseLost
from dalsegno_orchestrator.leases.leases import Leases
from dalsegno_orchestrator.outbox import Outbox
from dalsegno_orchestrator.pipeline import Pipeline
from dalsegno_orchestrator.recovery import Recovery
from dalsegno_orchestrator.registry import Registry
from dalsegno_orchestrator.settings import OrchestratorSettings, process_name
from dalsegno_orchestrator.store import Store
from dalsegno_orchestrator.workflow.facts import AgentsChanged

_logger = logging.getLogger("dalsegno.orchestrator")
_QUESTION: Final = TypeAdapter(AskWanted)

BACKLOG_MAX: Final = 10_000
"""So many deliveries wait here at most; the rest waits in the stream."""
AHEAD_MAX: Final = 1_000
"""How many messages of one partition may be under way to us."""
STOP_SECONDS_MAX: Final = 5.0
"""How long a batch in hand may take when told to stop, while a server is away."""
SETTLE_SECONDS: Final = 0.3
"""How long what waits in the inbox has to come in, before anything is sent again."""
LOOK_SECONDS: Final = 1.0
"""How often the presence of agents is looked at."""


AWAY: Final = (BusError, SettingsError, Unavailable)
"""What is raised while servers are away, or are just coming back."""


class Orchestrator:
    """The shell around a pipeline. `run` works until `stop` is called.

    Args:
        now: The clock (UTC).
    """

    def __init__(
        self,
        settings: OrchestratorSettings,
        bus: Bus,
        store: Store,
        *,
        now: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._subjects = settings.subjects
        self._bus = bus
        self._store = store
        self._now = now
        self.directory = Directory()
        self.leases = Leases(
            bus,
            self._subjects,
            name=settings.orchestrator_name,
            lease_seconds=settings.lease_seconds,
            now=now,
            wake=self._heed_leases,
            address=process_name(),
        )
        outbox = Outbox(bus, self._subjects, ArtifactStore(settings.artifacts_url), now=now)
        self.pipeline = Pipeline(
            store=store,
            outbox=outbox,
            registry=Registry(store),
            directory=self.directory,
            now=now,
            subjects=self._subjects,
            holds=self.leases.holds,
        )
        self.recovery = Recovery(self.pipeline, store, outbox, self.directory, self._subjects)
        self._pull: Pull | None = None
        self._streams = Topology(streams=(inbox(self._subjects), tasks(self._subjects)))
        self._backlog: deque[Delivery] = deque()
        self._changed: AgentsChanged | None = None
        self._send_again: timedelta | None = None
        """Attempts that are older than this have to be sent again."""
        self._look_at_limits = False
        self._settles = False
        """What was under way in partitions that were gained is to be sent again."""
        self._leases_changed = False
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._agents_known = asyncio.Event()
        self._stopping = asyncio.Event()
        self._patience: asyncio.Timeout | None = None
        self.is_ready = False

    def stop(self) -> None:
        """Finish the batch in hand, then return from `run`; leave it if that takes too long."""
        if self._patience is not None and not self._stopping.is_set():
            loop = asyncio.get_running_loop()
            self._patience.reschedule(loop.time() + STOP_SECONDS_MAX)
        self._stopping.set()
        self._wake.set()

    async def run(self) -> None:
        """Take over what is open in the partitions it gets, and work until told to stop."""
        try:
            async with asyncio.timeout(None) as self._patience:
                await patiently("nats and the event store", self._begin)
        except TimeoutError:  # told to stop while they were away
            return
        async with asyncio.TaskGroup() as group:
            loops = [group.create_task(self._watch_agents())]
            try:
                async with asyncio.timeout(None) as self._patience:
                    await self._agents_known.wait()
                    loops.append(group.create_task(self._receive()))
                    loops.append(group.create_task(self._answer_agents()))
                    loops.append(group.create_task(self._look()))
                    renewing = group.create_task(self.leases.keep())
                    loops.append(renewing)
                    await self._work()
                    renewing.cancel()
                    with contextlib.suppress(*AWAY):  # then it expires by itself
                        await self.leases.resign()
            except TimeoutError:
                if not self._stopping.is_set():
                    raise
                # The batch in hand was not acknowledged, so nothing is lost.
                log(_logger, "warning", "batch_left_behind", waited_seconds=STOP_SECONDS_MAX)
            finally:
                self._patience = None
                self.is_ready = False
            for loop in loops:
                loop.cancel()
        log(_logger, "info", "orchestrator_stopped", open_runs=len(self.pipeline.runs))

    def problems(self) -> list[str]:
        """Why it is not ready; empty if it is."""
        if not self.is_ready:
            return ["not yet working, or stopping"]
        trouble = self._store.trouble
        away = None if trouble is None else f"waits for the event store: {trouble}"
        return [problem for problem in (self.leases.problem(), away) if problem is not None]

    def counts(self) -> dict[str, int]:
        """What was counted since the start, and what is under way."""
        return {
            "partitions_owned": len(self.recovery.partitions),
            "runs_open": len(self.pipeline.runs),
            "reports_ignored": self.pipeline.ignored,
            "messages_refused": self.pipeline.refused,
        }

    async def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                await self._follow_leases()
                if self.leases.is_alive:
                    await self._turn()
                else:
                    await self._idle()
            except LeaseLost as error:
                log(_logger, "warning", "stepped_back", reason=str(error))
                self._let_go(list(self.recovery.partitions))  # what is still ours is read anew
                self._leases_changed = True
            except AWAY as error:
                log(_logger, "warning", "partitions_not_taken_over", reason=str(error))
                self._leases_changed = True
                await asyncio.sleep(LOOK_SECONDS)

    async def _begin(self) -> None:
        """Have the streams made, and the newest of the history read."""
        await self._bus.provision(topology_of(self._subjects))
        await self.recovery.recall()

    async def _turn(self) -> None:
        """Do what is there to do now; wait for something if there is nothing."""
        deliveries = self._take()
        due = self.pipeline.timers.due(self._now(), limit=self._settings.batch_max)
        changed, self._changed = self._changed, None
        if self._look_at_limits:
            self._look_at_limits = False
            await self.pipeline.look()
        is_work = bool(deliveries or due or changed is not None)
        is_work = is_work or self.pipeline.waits.is_due(self._now())
        if is_work:
            await self.pipeline.turn(deliveries, due=due, changed=changed)
        if self.recovery.is_loading:
            await self.recovery.load_some()
        elif self._settles and not self._backlog:
            self._settles = False
            await self.recovery.settle()
            self._change(self.directory.absent())
        elif self._send_again is not None and not self._backlog:
            age, self._send_again = self._send_again, None
            await self.recovery.sweep(older_than=self._now() - age)
        elif not is_work:
            await self._idle()

    async def _follow_leases(self) -> None:
        """Take over the partitions that were gained, let go of those that others are to have."""
        if not self._leases_changed and (self.is_ready or self.recovery.is_loading):
            return
        self._leases_changed = False
        have, surplus = self.recovery.partitions, self.leases.surplus()
        owned = self.leases.epochs()
        lost = [one for one, epoch in have.items() if owned.get(one) != epoch or one in surplus]
        if lost:
            self._let_go(lost)
            await self._turn_pull()
            await self.leases.leave(surplus)
        await self.leases.claim(self.leases.wanted())
        owned = self.leases.epochs()
        gained = {one: epoch for one, epoch in owned.items() if one not in have}
        if gained and self.leases.is_alive:
            for number in gained:  # what a dead owner had in hand comes to us at once
                await self._bus.reset(inbox_consumer(self._subjects, number))
            await self.recovery.gain(gained)
            await self._turn_pull()
            asyncio.get_running_loop().call_later(SETTLE_SECONDS, self._settle)
        if not self.is_ready and self.leases.known.is_set() and not self.recovery.is_loading:
            self.is_ready = True
            log(_logger, "info", "orchestrator_ready", open_runs=len(self.pipeline.runs),
                partitions=len(have))  # fmt: skip

    def _let_go(self, partitions: Sequence[int]) -> None:
        """Forget these, and what came in for them: it comes to their next owner."""
        self.recovery.lose(partitions)
        names = {inbox_consumer(self._subjects, number).name for number in partitions}
        kept = (one for one in self._backlog if one.consumer_name not in names)
        self._backlog = deque(kept)

    async def _turn_pull(self) -> None:
        """Receive what belongs to the partitions that are owned."""
        if self._pull is not None:
            await self._pull.turn_to(self._consumers())

    def _consumers(self) -> list[Consumer]:
        return [inbox_consumer(self._subjects, number) for number in self.recovery.partitions]

    def _settle(self) -> None:
        self._settles = True
        self._wake.set()

    def _heed_leases(self) -> None:
        self._leases_changed = True
        self._wake.set()

    def _take(self) -> list[Delivery]:
        count = min(len(self._backlog), self._settings.batch_max)
        taken = [self._backlog.popleft() for _ in range(count)]
        if len(self._backlog) < BACKLOG_MAX:
            self._room.set()
        return taken

    async def _idle(self) -> None:
        """Sleep until something comes in or is due."""
        self._wake.clear()
        if not self.leases.is_alive:
            await self._wake.wait()
            return
        if (
            self._backlog
            or self._settles
            or self._changed is not None
            or self._send_again is not None
        ):
            return
        if self._look_at_limits or self.pipeline.waits.is_due(self._now()):
            return
        if self._stopping.is_set():
            return
        times = (self.pipeline.timers.next_at(), self.pipeline.waits.next_opening())
        due = [at for at in times if at is not None]
        alarm = None
        if due:
            seconds = max(0.0, (min(due) - self._now()).total_seconds())
            alarm = asyncio.get_running_loop().call_later(seconds, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            if alarm is not None:
                alarm.cancel()

    async def _receive(self) -> None:
        async with self._bus.pull(self._consumers(), ahead=AHEAD_MAX) as pull:
            self._pull = pull
            while True:
                self._backlog.extend(await pull.batch(limit=self._settings.batch_max))
                self._wake.set()
                if len(self._backlog) >= BACKLOG_MAX:
                    self._room.clear()
                    await self._room.wait()

    async def _watch_agents(self) -> None:
        bucket = self._bus.bucket(self._subjects.agents_bucket)
        async with entered("the agents", bucket.watch) as entries:
            async for entry in entries:
                if entry is None:
                    self._agents_known.set()
                    continue
                try:
                    more = self.directory.hear(entry, self._now())
                except DecodeFailed as error:
                    log(_logger, "warning", "agent_not_understood", key=entry.key,
                        reason=str(error))  # fmt: skip
                    continue
                if more:  # perhaps the one that those wait for whose agent is gone
                    self._change(self.directory.absent())

    async def _look(self) -> None:
        """See which agents fell silent, and send again what the servers may have lost."""
        swept_at = self._now()
        sweep_age = timedelta(seconds=self._settings.sweep_seconds)
        epoch = self._bus.epoch  # what is gained is sent again in any case
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            now = self._now()
            self._look_at_limits = True
            self._wake.set()
            self.directory.expire(now)
            gone = self.directory.gone(now, after_seconds=self._settings.agent_gone_seconds)
            if gone:
                log(_logger, "warning", "agents_gone", agents=sorted(gone))
                self._change(gone)
            drained = self.directory.drained(now)
            if drained:
                log(_logger, "info", "agents_drained", agents=sorted(drained))
                self._change(drained)
            epoch = await self._restore(epoch)
            if now - swept_at >= sweep_age:
                swept_at = now
                self._sweep(sweep_age)

    async def _answer_agents(self) -> None:
        """Tell replicas whether an attempt that came to them again is still wanted."""
        listen = partial(self._bus.listen, self._subjects.wanted, queue="orchestrator")
        async with entered("questions", listen) as questions:
            async for heard in questions:
                try:
                    question = decode(_QUESTION, heard.body)
                    wanted = await self.pipeline.is_wanted(question)
                    await heard.answer(encode(Wanted(wanted=wanted)))
                except Exception as error:  # noqa: BLE001 - a bad history must not stop the rest
                    log(_logger, "warning", "question_not_answered",
                        reason=str(error) or repr(error))  # fmt: skip

    async def _restore(self, epoch: int) -> int:
        """Look whether the servers lost what they held; return the epoch this was good for.

        A stream that an agent made anew shows only if it is looked at: nobody tells us.
        """
        try:
            await self._bus.provision(self._streams)
            now = self._bus.epoch
            if now == epoch:
                return epoch
            await self._bus.provision(topology_of(self._subjects))
        except (BusError, SettingsError, Unavailable) as error:
            if self._bus.epoch != epoch:
                log(_logger, "warning", "not_provisioned", reason=str(error))
            return epoch  # they are away, or away again: try once more with the next look
        self._sweep(timedelta(0))
        return now

    def _sweep(self, age: timedelta) -> None:
        self._send_again = age if self._send_again is None else min(age, self._send_again)
        self._wake.set()

    def _change(self, gone: frozenset[str]) -> None:
        before = self._changed.gone if self._changed is not None else frozenset[str]()
        self._changed = AgentsChanged(gone=before | gone)
        self._wake.set()
