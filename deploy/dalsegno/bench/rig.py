"""Servers and processes for one measurement: a folder of its own, started and stopped around it."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dalsegno.processes import Processes, Program, python
from dalsegno_bus.bus import Bus
from dalsegno_bus.embedded import EmbeddedServer
from dalsegno_bus.nats import connect
from dalsegno_bus.subjects import Subjects
from dalsegno_bus.topology import topology_of

READY_SECONDS_MAX: Final = 30.0
AGENT: Final = "dalsegno.bench.agents:agent"


@dataclass(frozen=True)
class Rig:
    """What a measurement works with."""

    bus: Bus
    subjects: Subjects
    processes: Processes
    folder: Path


def saga_programs(agents: int) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The real thing: one orchestrator, and so many replicas of the agent."""
    replicas = [(f"agent-{n}", python("dalsegno_agents", AGENT)) for n in range(agents)]
    return (("orchestrator", python("dalsegno_orchestrator")), *replicas)


def floor_programs(agents: int) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The bare loop in their place."""
    replicas = [(f"agent-{n}", python("dalsegno.bench.floor", "agent")) for n in range(agents)]
    return (("saga", python("dalsegno.bench.floor", "saga")), *replicas)


@asynccontextmanager
async def rig(programs: Sequence[tuple[str, tuple[str, ...]]]) -> AsyncGenerator[Rig]:
    """NATS with file storage, an empty SQLite store, and these programs, until the block ends.

    Raises:
        Unavailable: Something ended or was not ready in time.
    """
    with tempfile.TemporaryDirectory(prefix="dalsegno-bench-") as name:
        folder = Path(name)
        server = EmbeddedServer(folder / "nats")
        server.start()
        processes = Processes(folder / "logs")
        try:
            bus = await connect(server.url, name="bench")
            subjects = Subjects()
            await bus.provision(topology_of(subjects))
            environment = {
                "DALSEGNO_NATS_URL": server.url,
                "DALSEGNO_STORE_URL": f"sqlite:///{folder}/store.db",
                "DALSEGNO_ARTIFACTS_URL": str(folder / "artifacts"),
                "DALSEGNO_LOG_LEVEL": "WARNING",
            }
            for program, arguments in programs:
                processes.start(Program(name=program, arguments=arguments, environment=environment))
            try:
                yield Rig(bus, subjects, processes, folder)
                processes.check()
            finally:
                await bus.close()
        finally:
            await processes.stop_all()
            server.stop()


async def settle(rig_: Rig, seconds: float = 0.3) -> None:
    """Let start-up noise pass before a measurement begins."""
    await asyncio.sleep(seconds)
    rig_.processes.check()
