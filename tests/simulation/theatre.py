"""Plays one plan to its end: the real services over servers in memory, and what was wrong after.

Owns the processes, their deaths and their returns. What has to hold: `invariants`.
"""

import asyncio
import contextlib
import gc
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import blake2b
from random import Random
from typing import Any, Final
from uuid import UUID

from simulation import invariants
from simulation.loop import PROCESS, Killed, Process, Stuck, VirtualLoop
from simulation.plan import HEALED_AT, Asked, Fault, Plan
from simulation.repertoire import PIECES, Diary, agent_called
from simulation.servers import (
    EPOCH,
    NAMESPACE,
    Fuse,
    Implied,
    Life,
    LivingBus,
    LivingStore,
    VirtualClock,
)

from dalsegno_agents.settings import AgentSettings
from dalsegno_agents.worker import Worker
from dalsegno_bus.artifacts import ArtifactStore
from dalsegno_bus.client import Client
from dalsegno_bus.errors import RunRejected, Unavailable
from dalsegno_bus.ids import ENTROPY, new_replica_id, new_run_id
from dalsegno_bus.memory import Faults, MemoryBroker
from dalsegno_bus.topology import inbox, tasks
from dalsegno_orchestrator.service import Orchestrator
from dalsegno_orchestrator.settings import OrchestratorSettings
from dalsegno_orchestrator.storage.memory import MemoryRecorder

PATIENCE_SECONDS: Final = 120.0
"""So long after all is well again everything has to be over."""
LOOK_SECONDS: Final = 0.5
BASE: Final = OrchestratorSettings(
    namespace=NAMESPACE, sweep_seconds=5.0, agent_gone_seconds=6.0, store_url="memory:simulation"
)
AGENT_BASE: Final = AgentSettings(
    namespace=NAMESPACE, drain_seconds=1.0, presence_seconds=1.5, ack_wait_seconds=4.0
)


class SeededEntropy:
    """Ids that come out the same for the same seed."""

    def __init__(self, dice: Random, loop: VirtualLoop) -> None:
        self._dice = dice
        self._loop = loop

    def bits(self, count: int) -> int:
        return self._dice.getrandbits(count)

    def unix_ms(self) -> int:
        return int((EPOCH.timestamp() + self._loop.time()) * 1000)


@dataclass
class Outcome:
    """What came of a plan."""

    plan: Plan
    problems: list[str] = field(default_factory=list[str])
    trace: list[tuple[float, str, str, tuple[object, ...]]] = field(
        default_factory=list[tuple[float, str, str, tuple[object, ...]]]
    )
    seconds: float = 0.0
    """Of virtual time."""
    steps: int = 0
    events: int = 0

    def lines(self) -> list[str]:
        """The trace, for people."""
        return [
            f"{at:9.3f} {who:16} {what} {' '.join(str(one) for one in details)}".rstrip()
            for at, who, what, details in self.trace
        ]

    @property
    def digest(self) -> str:
        """The same for the same trace, to the byte."""
        return blake2b("\n".join(self.lines()).encode(), digest_size=16).hexdigest()


class Theatre:
    """One performance."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.outcome = Outcome(plan)
        self._dice = Random(plan.seed)
        self.loop = VirtualLoop(Random(self._dice.getrandbits(64)))
        self.broker = MemoryBroker(
            clock=VirtualClock(self.loop),
            faults=Faults(
                seed=self._dice.getrandbits(64), lose=plan.lose, double=plan.double,
                shuffle=plan.shuffle,
            ),
        )  # fmt: skip
        self.recorder = MemoryRecorder()
        self.store = LivingStore(self.recorder)
        self.lives: dict[str, Life] = {}
        self._graves: list[Life] = []
        self._stops: dict[str, Callable[[], None]] = {}
        self.accepted: dict[UUID, Asked] = {}
        self._settings = BASE.model_copy(update={"partitions": plan.partitions})
        self._agent_settings = AGENT_BASE.model_copy(update={"partitions": plan.partitions})
        self._artifacts = ArtifactStore("memory:///")
        self._subjects = self._settings.subjects
        self._diaries: list[tuple[str, Diary]] = []
        self._implied = Implied()
        self._is_over = False

    def play(self) -> Outcome:
        """Everything, from the first process to the last look."""
        context = copy_context()
        context.run(ENTROPY.set, SeededEntropy(Random(self._dice.getrandbits(64)), self.loop))
        context.run(PROCESS.set, self.loop.world)
        was_enabled = gc.isenabled()
        gc.disable()  # when it would close a coroutine that nobody holds is not ours to draw
        try:
            context.run(self.loop.run_until_complete, self._perform())
        except Stuck as error:
            self.outcome.problems.append(f"stuck: {error}")
        finally:
            self._is_over = True
            context.run(self._strike)
            if was_enabled:
                gc.enable()
        self.outcome.seconds = self.loop.time()
        self.outcome.steps = self.loop.steps
        return self.outcome

    def tell(self, who: str, what: str, *details: object) -> None:
        """Add a line to the trace."""
        self.outcome.trace.append((self.loop.time(), who, what, details))

    # --- processes ----------------------------------------------------------------------------

    def _start(self, name: str) -> None:
        """Start a process; it comes back as often as it dies, once somebody says so."""
        life = Life(
            self.loop,
            name,
            dice=Random(self._dice.getrandbits(64)),
            lag_seconds=self.plan.lag_seconds,
            tell=self.tell,
            implied=self._implied,
        )
        self.lives[name] = life
        self.tell(name, "starts")
        work = self._client if name == "client" else self._service
        context = copy_context()
        context.run(PROCESS.set, life.process)
        self.loop.create_task(self._watched(life, work), context=context)

    async def _watched(self, life: Life, work: Callable[[Life], Coroutine[Any, Any, None]]) -> None:
        try:
            await work(life)
        except (Killed, asyncio.CancelledError):
            raise
        except BaseExceptionGroup as group:
            rest = group.split((Killed, asyncio.CancelledError))[1]
            if rest is not None and not self._is_over:
                self._wrong(life, rest)
        except Exception as error:  # noqa: BLE001 - whatever ends a service is a finding
            if not self._is_over:
                self._wrong(life, error)

    def _wrong(self, life: Life, error: BaseException) -> None:
        self.outcome.problems.append(f"{life.name} ended by itself: {error!r}")

    async def _service(self, life: Life) -> None:
        bus = LivingBus(self.broker, life)
        skew = timedelta(seconds=(self._dice.random() * 2 - 1) * self.plan.skew_seconds)

        def now() -> datetime:
            return EPOCH + timedelta(seconds=self.loop.time()) + skew

        agent, _, number = life.name.partition("/")
        service: Orchestrator | Worker
        if number:
            service = Worker(
                agent_called(agent, self._diary(life.name)),
                bus,
                settings=self._agent_settings,
                artifacts=self._artifacts,
                now=now,
                replica=new_replica_id(),
            )
        else:
            store = LivingStore(self.recorder, life, is_local=self.plan.is_store_local)
            update = {"orchestrator_name": life.name}
            settings = self._settings.model_copy(update=update)
            service = Orchestrator(settings, bus, store, now=now)
        self._stops[life.name] = service.stop
        await service.run()
        self.tell(life.name, "ends")

    def _diary(self, name: str) -> Diary:
        self._diaries.append((name, Diary()))
        return self._diaries[-1][1]

    async def _client(self, life: Life) -> None:
        bus = LivingBus(self.broker, life)
        client = Client(bus, self._subjects, source="client")
        await _patiently(lambda: client.register({"workflow": "nothing", "version": 1,
                                                  "tasks": {"a": {"sleep": "1s"}}}))  # fmt: skip
        needed = {asked.piece for asked in self.plan.runs}
        for name in sorted(needed):
            for document in PIECES[name].documents:
                await _patiently(lambda document=document: client.register(document))
        async with asyncio.TaskGroup() as group:
            for asked in self.plan.runs:
                group.create_task(self._ask(client, asked))
        self.tell("client", "is done")

    async def _ask(self, client: Client, asked: Asked) -> None:
        await asyncio.sleep(max(0.0, asked.at - self.loop.time()))
        run_id = new_run_id()
        await _patiently(lambda: client.start(asked.piece, run_id=run_id, timeout_seconds=5.0))
        self.accepted[run_id] = asked
        self.tell("client", "has accepted", run_id, asked.piece)
        if asked.piece == "asked":
            await asyncio.sleep(asked.number * 1.5)
            with contextlib.suppress(RunRejected):  # one that was not answered got through
                await _patiently(
                    lambda: client.signal(run_id, "go", {"value": 7}, timeout_seconds=5.0)
                )

    # --- what goes wrong ----------------------------------------------------------------------

    async def _perform(self) -> None:
        for name in (*self.plan.orchestrators, *self.plan.replicas, "client"):
            self._start(name)
        for fault in self.plan.faults:
            self.loop.create_task(self._go_wrong(fault))
        await asyncio.sleep(HEALED_AT)
        self._heal()
        until = self.loop.time() + PATIENCE_SECONDS
        while not self._is_quiet():
            if self.loop.time() > until:
                self.outcome.problems.append(self._unquiet())
                break
            await asyncio.sleep(LOOK_SECONDS)
        self._judge()

    async def _go_wrong(self, fault: Fault) -> None:
        await asyncio.sleep(fault.at)
        self.tell("", "fault", fault.what, fault.who, fault.seconds, fault.number)
        if fault.what == "wipe":
            self.broker.forget()
            return
        life = self.lives[fault.who]
        match fault.what:
            case "kill":
                life.die()
                await self._back(life, fault.seconds)
            case "stop":
                if not life.is_dead:
                    self._stops[fault.who]()
                    await asyncio.sleep(6.0)
                    life.die()
                    await self._back(life, fault.seconds)
            case "pause":
                self.loop.pause(life.process)
                await asyncio.sleep(fault.seconds)
                if not life.is_dead:
                    self.loop.resume(life.process)
            case "store_away":
                life.store_away_until = self.loop.time() + fault.seconds
            case _:
                seconds = fault.seconds
                life.on_death = lambda: self._later(life, seconds)
                life.fuses.append(Fuse(fault.what, fault.number))

    def _later(self, life: Life, seconds: float) -> None:
        context = copy_context()
        context.run(PROCESS.set, self.loop.world)
        self.loop.create_task(self._back(life, seconds), context=context)

    async def _back(self, life: Life, seconds: float) -> None:
        await asyncio.sleep(seconds)
        if self.lives[life.name] is life:
            self._graves.append(life)
            self._start(life.name)

    def _heal(self) -> None:
        self.tell("", "heals")
        self.broker.faults = Faults()
        for life in self.lives.values():
            life.fuses.clear()
            life.store_away_until = 0.0

    # --- the end ------------------------------------------------------------------------------

    def _is_quiet(self) -> bool:
        return (
            len(self.accepted) == len(self.plan.runs)
            and not any(life.is_dead for life in self.lives.values())
            and self._open() == []
            and self._queued() == []
        )

    def _open(self) -> list[UUID]:
        return [run.run_id for run in self.recorder.select_open(range(self.plan.partitions))]

    def _queued(self) -> list[str]:
        names = {inbox(self._subjects).name, tasks(self._subjects).name}
        return [
            held.message.subject
            for name, stream in self.broker.streams.items()
            if name in names
            for held in stream.held.values()
        ]

    def _unquiet(self) -> str:
        missing = len(self.plan.runs) - len(self.accepted)
        dead = [life.name for life in self.lives.values() if life.is_dead]
        return (
            f"not over {PATIENCE_SECONDS:.0f} s after all was well: {missing} not accepted, "
            f"open {[str(one) for one in self._open()]}, queued {self._queued()}, dead {dead}"
        )

    def _judge(self) -> None:
        recorded = self.store.follow(after=0, limit=1_000_000)
        self.outcome.events = len(recorded)
        histories = invariants.by_stream(recorded)
        expected = {
            run_id: (PIECES[asked.piece].status, PIECES[asked.piece].output)
            for run_id, asked in self.accepted.items()
        }
        self.outcome.problems += [
            *invariants.accepted_runs_end(histories, self.accepted),
            *invariants.ends_are(histories, expected),
            *invariants.broken(histories),
            *self._implied.wrong[:3],
            *invariants.permits_are_given_back(self.store.permits()),
            *(
                f"{name} worked twice on {attempt}, though it knew its answer"
                for name, diary in self._diaries
                for attempt in diary.twice
            ),
        ]

    # --- around it ----------------------------------------------------------------------------

    def _strike(self) -> None:
        """End every task, dead or alive, so that nothing is left for the next performance."""
        processes: list[Process] = [self.loop.world]
        for life in (*self._graves, *self.lives.values()):
            processes.append(life.process)
            self.loop.resume(life.process)
        for _ in range(20):
            left = [task for one in processes for task in one.tasks if not task.done()]
            if not left:
                break
            for task in left:
                task.cancel()
            with contextlib.suppress(Stuck):
                self.loop.run_until_complete(_breathe())
        for one in processes:
            for task in one.tasks:
                if task.done() and not task.cancelled():
                    task.exception()  # heard
        self.loop.close()


async def _breathe() -> None:
    for _ in range(5):
        await asyncio.sleep(0.01)


async def _patiently(ask: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    """Until it is accepted."""
    while True:
        try:
            await ask()
        except Unavailable:
            await asyncio.sleep(0.1)
        else:
            return


def play(plan: Plan) -> Outcome:
    """Perform this plan."""
    return Theatre(plan).play()
