"""A stage for sagas under faults: orchestrators that die at a commit, and what must hold after.

A `Stage` is a world in which a `Play` is given: its workflows, its agents, and what the people
around it do. Orchestrators die when their `Fuse` says so, and others take their place.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import orjson
from integration.projections.databases import Databases

from dalsegno_agents import Agent
from dalsegno_bus.bus import Bus
from dalsegno_bus.clock import utc_now
from dalsegno_bus.ids import RunId
from dalsegno_bus.memory import Faults, MemoryBroker, MemoryBus
from dalsegno_orchestrator.history import Recorded, Sealed
from dalsegno_orchestrator.service import Orchestrator
from dalsegno_orchestrator.storage.open_runs import OpenRun
from dalsegno_orchestrator.storage.permits import PermitChange
from dalsegno_orchestrator.store import Store
from dalsegno_orchestrator.workflow.events import (
    RunCancelled,
    RunCompensationFailed,
    RunCompleted,
    RunFailed,
    RunRewound,
    RunStarted,
    ScheduleSet,
    TaskCompleted,
)
from support.world import Connect, World, until

Moment = Literal["before", "after", "wipe"]
EACH = -1
"""A fuse that burns at every commit."""
END = RunCompleted | RunFailed | RunCancelled | RunCompensationFailed


class Crash(Exception):
    """The orchestrator is gone, as if by `kill -9`."""


@dataclass
class Fuse:
    """Something happens at the commit that takes the events of runs to `at`, once.

    `before`: the orchestrator dies, and nothing of that commit is stored. `after`: it dies when it
    is stored, and nothing of it was sent. `wipe`: it lives, and the bus loses every byte.
    """

    at: int | None = None
    """None: never; `EACH`: at every commit that is worth one."""
    moment: Moment = "after"
    burnt: int = 0
    events: int = 0
    spared: bool = False

    def burns(self, count: int) -> bool:
        reached = self.events + count
        if self.at == EACH:
            # Before the commit: every second one, or nothing would ever be stored.
            self.spared = not self.spared and self.moment == "before"
            is_it = self.moment != "before" or self.spared
        else:
            is_it = self.at is not None and not self.burnt and reached >= self.at
        if not is_it or self.moment != "before":
            self.events = reached
        self.burnt += is_it
        return is_it


class MortalStore(Store):
    """The store of an orchestrator that may not live to see what becomes of its commit."""

    def __init__(
        self, url: str, *, namespace: str, fuse: Fuse, broker: MemoryBroker | None
    ) -> None:
        super().__init__(url, namespace=namespace)
        self._fuse = fuse
        self._broker = broker

    def append(
        self,
        events: Sequence[Sealed],
        *,
        opened: Sequence[OpenRun] = (),
        closed: Sequence[UUID] = (),
        permits: PermitChange | None = None,
    ) -> None:
        counted = sum("workflow-" not in event.kind for event in events)
        burns = counted > 0 and self._fuse.burns(counted)
        if burns and self._fuse.moment == "before":
            raise Crash
        super().append(events, opened=opened, closed=closed, permits=permits)
        if burns and self._fuse.moment == "after":
            raise Crash
        if burns:
            assert self._broker is not None
            self._broker.forget()


@dataclass(frozen=True)
class Play:
    """What is performed: definitions, agents, and what people do with the runs."""

    name: str
    workflows: Sequence[Mapping[str, Any]]
    agents: Callable[[], Sequence[Agent[Any]]]
    act: Callable[["Stage"], Awaitable[RunId]]
    """Starts the run and all that belongs to it; returns when it is as good as over."""
    outcome: tuple[str, Any]
    """Status and output of the run."""


@dataclass
class Stage:
    """One performance."""

    play: Play
    world: World
    connect: Connect
    agents: Sequence[Agent[Any]]
    broker: MemoryBroker | None = None
    lives: list[Orchestrator] = field(default_factory=list[Orchestrator])
    alive: list[Orchestrator] = field(default_factory=list[Orchestrator])
    deaths: int = 0
    curtain: asyncio.Barrier | None = None
    """All that are to begin together wait here."""
    now: Callable[[], datetime] = utc_now
    """What orchestrators tell the time by."""

    async def start(self, value: Any = None) -> RunId:
        name = str(self.play.workflows[-1]["workflow"])
        return (await self.world.client.start(name, value)).run_id

    async def until_ended(self, run_id: RunId, count: int = 1) -> RunId:
        """Return when the run has come to so many ends."""
        await until(lambda: len(ends(self.world.history(run_id))) >= count)
        return run_id

    async def live(self, fuse: Fuse) -> None:
        """Orchestrate; whenever it ends by a crash, begin anew. Until cancelled."""
        while True:
            try:
                await self._one_life(fuse)
            except* Crash:
                self.deaths += 1

    async def _one_life(self, fuse: Fuse) -> None:
        name = self.world.take_name()
        settings = self.world.settings.model_copy(update={"orchestrator_name": name})
        bus = await self.connect()
        store = MortalStore(
            settings.store_url, namespace=settings.namespace, fuse=fuse, broker=self.broker
        )
        orchestrator = Orchestrator(settings, bus, store, now=self.now)
        self.lives.append(orchestrator)
        self.alive.append(orchestrator)
        try:
            await orchestrator.run()
        finally:
            self.alive.remove(orchestrator)
            self.world.free_name(name)
            store.close()

    async def is_quiet(self) -> None:
        """Return when nothing is under way any more, in memory and in the index."""
        partitions = range(self.world.subjects.partitions)
        await until(lambda: self.alive != [] and all(map(holds_nothing, self.alive)))
        await until(lambda: self._open_runs(partitions) == [])

    def _open_runs(self, partitions: range) -> list[RunId]:
        opened = [RunId(one.run_id) for one in self.world.store.open_runs(partitions)]
        return [one for one in opened if not self._is_schedule(one)]

    def _is_schedule(self, stream: RunId) -> bool:
        return isinstance(self.world.history(stream)[0].event, ScheduleSet)

    # --- what came of it ----------------------------------------------------------------------

    def histories(self) -> dict[RunId, list[Recorded]]:
        """Every run's."""
        found: dict[RunId, list[Recorded]] = defaultdict(list)
        for recorded in self.world.store.follow(after=0, limit=100_000):
            found[RunId(recorded.stream_id)].append(recorded)
        return {one: told for one, told in found.items() if isinstance(told[0].event, RunStarted)}

    def outcomes(self) -> list[tuple[str, str, str, str]]:
        """Of every run: workflow, the task it does, how it ended, output."""
        found: list[tuple[str, str, str, str]] = []
        for history in self.histories().values():
            started = history[0].event
            assert isinstance(started, RunStarted)
            task = "" if started.parent is None else started.parent.task_id
            status, output = ends(history)[-1] if ends(history) else ("open", None)
            shown = orjson.dumps(output, option=orjson.OPT_SORT_KEYS).decode()
            found.append((started.workflow, task, status, shown))
        return sorted(found)

    def check(self) -> None:
        """What has to hold whatever happened."""
        for history in self.histories().values():
            check_history(history)
        assert [row for row in self.world.store.permits() if row.given_back_at is None] == []
        assert sum(life.pipeline.refused for life in self.lives) == 0
        for orchestrator in self.alive:
            counted = {
                view.name: view.open_attempts
                for agent in self.agents
                for capability in agent.card.capabilities
                for view in orchestrator.directory.capable(capability.name)
            }
            assert set(counted.values()) <= {0}, counted
            assert len(orchestrator.pipeline.waits.line) == 0

    def check_views(self, folder: Path) -> None:
        """The views, taken in small steps, are what a rebuild makes of the history."""
        settings = self.world.settings
        databases = Databases(
            settings.store_url, f"sqlite:///{folder}/views.db", settings.namespace
        )
        with databases.opened:
            projector = databases.projector(batch_events_max=3)
            projector.catch_up()
            step_by_step = databases.digests()
            for view in step_by_step:
                databases.projector(batch_events_max=500).rebuild(view)
            assert databases.digests() == step_by_step
            assert projector.parked == 0


@asynccontextmanager
async def stage_of(
    play: Play, folder: Path, *, faults: Faults | None = None, connect: Connect | None = None,
    namespace: str = "saga",
) -> AsyncGenerator[Stage]:  # fmt: skip
    """A stage with the agents of the play, and its workflows registered."""
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    broker = MemoryBroker(faults=faults)
    opened: list[Bus] = []

    async def open_one() -> Bus:
        opened.append(MemoryBus(broker) if connect is None else await connect())
        return opened[-1]

    world = World(open_one, namespace, folder, await open_one())
    world.settings = world.settings.model_copy(
        update={"sweep_seconds": 0.25, "agent_gone_seconds": 5.0}
    )
    stage = Stage(play, world, open_one, play.agents(), None if connect else broker)
    try:
        async with AsyncExitStack() as agents:
            for agent in stage.agents:
                await agents.enter_async_context(world.worker(agent))
            yield stage
    finally:
        world.store.close()
        for bus in reversed(opened):
            await bus.close()


async def perform(stage: Stage, *fuses: Fuse) -> RunId:
    """Give the play, with one orchestrator for each fuse; return when all is quiet."""
    async with asyncio.TaskGroup() as group:
        lives = [group.create_task(stage.live(fuse)) for fuse in fuses]
        for document in stage.play.workflows:
            await stage.world.client.register({"version": 1, **document})
        for agent in stage.agents:
            await stage.world.until_known(agent.name)
        if stage.curtain is not None:
            await stage.curtain.wait()
        run_id = await stage.play.act(stage)
        await stage.is_quiet()
        stage.check()
        for life in lives:
            life.cancel()
    status, output = ends(stage.world.history(run_id))[-1]
    assert (status, output) == stage.play.outcome
    return run_id


def ends(history: Sequence[Recorded]) -> list[tuple[str, Any]]:
    """How a run ended, each time that it did: status and output."""
    found: list[tuple[str, Any]] = []
    for recorded in history:
        event = recorded.event
        if isinstance(event, END):
            status = event.kind.partition(".")[0].removeprefix("run-").replace("-", "_")
            found.append((status, getattr(event, "output", None)))
    return found


def check_history(history: Sequence[Recorded]) -> None:
    """Each task is completed at most once, unless the run went back to before it."""
    completed: set[str] = set()
    for place, recorded in enumerate(history, start=1):
        assert recorded.version == place
        event = recorded.event
        if isinstance(event, RunRewound):
            completed -= set(event.undone)
        elif isinstance(event, TaskCompleted):
            assert event.task_id not in completed, [r.event.kind for r in history]
            completed.add(event.task_id)


def holds_nothing(orchestrator: Orchestrator) -> bool:
    return orchestrator.is_ready and len(orchestrator.pipeline.runs) == 0
