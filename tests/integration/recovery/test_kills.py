"""Real processes, ended by SIGKILL in the middle of their work; and NATS, with and without data."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from dalsegno.bench.agents import TASKS, chain_input, chain_workflow
from dalsegno.bench.rig import AGENT
from dalsegno.processes import Child, Processes, Program, python
from dalsegno_bus.client import Client
from dalsegno_bus.embedded import EmbeddedServer
from dalsegno_bus.ids import new_run_id
from dalsegno_bus.messages import StartRun
from dalsegno_bus.nats import connect
from dalsegno_bus.settings import BusSettings
from dalsegno_orchestrator.store import Store
from dalsegno_orchestrator.workflow.events import RunCompleted, TaskCompleted

pytestmark = pytest.mark.slow
RUNS = 150
EVENTS = RUNS * (2 * TASKS + 2)
SECONDS_MAX = 60.0
BLOWS = ("orchestrator", "agent-0", "nats", "orchestrator", "wipe", "agent-1", "orchestrator")


class Place:
    """One orchestrator and two replicas, and what is needed to hit them."""

    def __init__(self, server: EmbeddedServer, folder: Path) -> None:
        self.server = server
        self.processes = Processes(folder / "logs")
        url = f"sqlite:///{folder}/store.db"
        environment = {
            "DALSEGNO_NATS_URL": server.url,
            "DALSEGNO_STORE_URL": url,
            "DALSEGNO_ARTIFACTS_URL": str(folder / "artifacts"),
            "DALSEGNO_ACK_WAIT_SECONDS": "1",
            "DALSEGNO_LEASE_SECONDS": "1",
        }
        commands = {
            "orchestrator": python("dalsegno_orchestrator"),
            "agent-0": python("dalsegno_agents", AGENT),
            "agent-1": python("dalsegno_agents", AGENT),
        }
        self._programs = {
            name: Program(name=name, arguments=arguments, environment=environment)
            for name, arguments in commands.items()
        }
        self._children: dict[str, Child] = {}
        self.store = Store(url, namespace=BusSettings().namespace)
        self.store.ensure_schema()

    def start(self) -> None:
        for name, program in self._programs.items():
            self._children[name] = self.processes.start(program)

    async def strike(self, what: str) -> None:
        if what in {"nats", "wipe"}:
            self.server.restart(wipe=what == "wipe")
            return
        child = self._children[what]
        child.send(signal.SIGKILL)
        await asyncio.to_thread(child.process.wait)
        self._children[what] = self.processes.start(self._programs[what])

    async def until_recorded(self, count: int) -> None:
        async with asyncio.timeout(SECONDS_MAX):
            while self.store.newest_position() < count:  # noqa: ASYNC110 - other processes write
                await asyncio.sleep(0.01)


@asynccontextmanager
async def place_of(server: EmbeddedServer, folder: Path) -> AsyncGenerator[Place]:
    place = Place(server, folder)
    place.start()
    try:
        yield place
    finally:
        await place.processes.stop_all()
        place.store.close()


async def test_every_accepted_run_ends_and_each_task_is_recorded_completed_once(
    own_server: EmbeddedServer, tmp_path: Path
) -> None:
    runs = [new_run_id() for _ in range(RUNS)]
    starts = [
        StartRun(run_id=run_id, workflow="bench-chain", input=chain_input()) for run_id in runs
    ]
    bus = await connect(own_server.url, name="test")
    async with place_of(own_server, tmp_path) as place:
        client = Client(bus, BusSettings().subjects, source="test")
        await client.register(chain_workflow(), timeout_seconds=SECONDS_MAX)
        async with asyncio.TaskGroup() as group:
            group.create_task(client.start_many(starts, timeout_seconds=SECONDS_MAX))
            for number, what in enumerate(BLOWS):
                await place.until_recorded(EVENTS * (number + 1) // (len(BLOWS) + 2))
                await place.strike(what)
            await place.until_recorded(EVENTS + 1)
        for run_id in runs:
            history = place.store.read(run_id)
            done = Counter(r.event.task_id for r in history if isinstance(r.event, TaskCompleted))
            assert done == {f"t{number}": 1 for number in range(TASKS)}
            assert isinstance(history[-1].event, RunCompleted)
            assert history[-1].event.output["number"] == TASKS
        assert place.store.open_runs(range(BusSettings().partitions)) == []
    await bus.close()
