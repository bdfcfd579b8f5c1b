"""A whole system in one process: orchestrator, workers and a client, over any bus."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

from dalsegno_agents.agent import Agent
from dalsegno_agents.settings import AgentSettings
from dalsegno_agents.worker import Worker
from dalsegno_bus.artifacts import ArtifactStore
from dalsegno_bus.bus import Bus
from dalsegno_bus.client import Client
from dalsegno_bus.clock import utc_now
from dalsegno_bus.ids import RunId, new_replica_id
from dalsegno_bus.messages import RunChanged
from dalsegno_orchestrator.history import Recorded
from dalsegno_orchestrator.service import Orchestrator
from dalsegno_orchestrator.settings import OrchestratorSettings
from dalsegno_orchestrator.store import Store

Connect: TypeAlias = Callable[[], Awaitable[Bus]]
ACK_WAIT_SECONDS = 1.0
"""How long a silent replica of a test keeps an attempt."""
LEASE_SECONDS = 1
"""How long a silent orchestrator of a test keeps its partitions from the others."""
SECONDS_MAX = 20.0
"""How long a test waits for something that has to come."""


class World:
    """Starts and stops the parts; each has a connection of its own."""

    def __init__(self, connect: Connect, namespace: str, folder: Path, bus: Bus) -> None:
        self._connect = connect
        self._namespace = namespace
        self._folder = folder
        self.bus = bus
        self.settings = OrchestratorSettings(
            namespace=namespace,
            partitions=2,
            store_url=f"sqlite:///{folder}/store.db",
            artifacts_url=str(folder / "artifacts"),
            agent_gone_seconds=0.5,
            lease_seconds=LEASE_SECONDS,
        )
        self._names: list[str] = []
        """Of the orchestrators that live."""
        self.artifacts = ArtifactStore(self.settings.artifacts_url)
        self.subjects = self.settings.subjects
        self.client = Client(bus, self.subjects, source="test", artifacts=self.artifacts)
        self.store = Store(self.settings.store_url, namespace=namespace)
        self.store.ensure_schema()

    async def connect(self) -> Bus:
        """One more connection."""
        return await self._connect()

    @asynccontextmanager
    async def orchestrator(self, bus: Bus | None = None) -> AsyncGenerator[Orchestrator]:
        """One orchestrator, until the block ends; it stops as if it had crashed."""
        bus = bus or await self._connect()
        store = Store(self.settings.store_url, namespace=self._namespace)
        name = self.take_name()
        settings = self.settings.model_copy(update={"orchestrator_name": name})
        orchestrator = Orchestrator(settings, bus, store, now=utc_now)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(orchestrator.run())
            try:
                yield orchestrator
            finally:
                running.cancel()
                self.free_name(name)
        store.close()

    def take_name(self) -> str:
        """A name for an orchestrator: that of one which died, so that it takes over at once."""
        name = next(name for n in range(1, 10) if (name := f"number-{n}") not in self._names)
        self._names.append(name)
        return name

    def free_name(self, name: str) -> None:
        """This orchestrator is dead."""
        self._names.remove(name)

    @asynccontextmanager
    async def worker(self, agent: Agent[Any]) -> AsyncGenerator[Worker]:
        """One replica of an agent, until the block ends."""
        settings = AgentSettings(
            namespace=self._namespace,
            partitions=2,
            artifacts_url=self.settings.artifacts_url,
            drain_seconds=0.0,
            presence_seconds=0.25,
            ack_wait_seconds=ACK_WAIT_SECONDS,
        )
        worker = Worker(
            agent,
            await self._connect(),
            settings=settings,
            artifacts=self.artifacts,
            now=utc_now,
            replica=new_replica_id(),
        )
        async with asyncio.TaskGroup() as group:
            running = group.create_task(worker.run())
            try:
                yield worker
            finally:
                running.cancel()

    async def register(self, name: str, tasks: Mapping[str, Any], **top: Any) -> None:
        await self.client.register({"workflow": name, "version": 1, "tasks": tasks, **top})

    async def result(self, run_id: RunId) -> RunChanged:
        """How a run ended."""
        await until(lambda: any(kind in _ENDS for kind in self.kinds(run_id)))
        ended = next(r for r in self.history(run_id) if r.event.kind.partition(".")[0] in _ENDS)
        return RunChanged(
            run_id=run_id,
            version=ended.version,
            status=_ENDS[ended.event.kind.partition(".")[0]],
            output=getattr(ended.event, "output", None),
            error=getattr(ended.event, "error", None),
        )

    def history(self, run_id: RunId) -> list[Recorded]:
        return self.store.read(run_id)

    def kinds(self, run_id: RunId) -> list[str]:
        return [recorded.event.kind.partition(".")[0] for recorded in self.history(run_id)]

    async def until_recorded(self, run_id: RunId, kind: str, count: int = 1) -> None:
        """Return when the history holds so many events of this kind."""
        await until(lambda: self.kinds(run_id).count(kind) >= count)

    async def until_known(self, agent: str) -> None:
        """Return when the agent's card is where the orchestrator looks for it."""
        async with (
            asyncio.timeout(SECONDS_MAX),
            self.bus.bucket(self.subjects.agents_bucket).watch() as entries,
        ):
            async for entry in entries:
                if entry is not None and entry.key == f"card.{agent}":
                    return


async def until(holds: Callable[[], bool]) -> None:
    """Return as soon as `holds` does; fail if it never does."""
    async with asyncio.timeout(SECONDS_MAX):
        while not holds():  # noqa: ASYNC110 - what is waited for may be in another process
            await asyncio.sleep(0.01)


_ENDS = {
    "run-completed": "completed",
    "run-failed": "failed",
    "run-cancelled": "cancelled",
}
