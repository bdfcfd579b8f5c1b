"""A stand: everything that runs under chaos, each a real process, and the network between them.

Starts and stops processes, and starts again what ended by itself, as any supervisor does. Every
process reaches NATS and PostgreSQL through proxies of its own, and orchestrators and agents have
clocks that may be wrong. What harm is done is not its affair.
"""

import asyncio
import contextlib
import os
import signal
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from chaos.databases import PostgresServer, SqliteFile, StoreKind, database_of
from chaos.ledger import FOLDER_VARIABLE
from chaos.nats import Node, cluster
from dalsegno.processes import Child, Processes, Program, python
from dalsegno_orchestrator.store import Store
from support.proxy import Proxy

NAMESPACE: Final = "chaos"
PARTITIONS: Final = 8
AGENTS: Final = ("ada", "bob", "cyd", "dan")
CUSTOMERS: Final = "customers"
DATABASE: Final = "database"
LOOK_SECONDS: Final = 0.2
AGAIN_SECONDS: Final = 1.0
"""A supervisor waits so long before it starts again what ended by itself."""
SKEW_SECONDS_MAX: Final = 2.0
"""No clock is wrong by more than that, ahead or behind."""
_USES_STORE: Final = ("orchestrator", "projections")


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a stand consists of."""

    store: StoreKind = "sqlite"
    nats: int = 1
    orchestrators: int = 2
    replicas: int = 1
    """Of each of the four agents."""
    rate: float = 4.0
    """Runs that customers ask for in a second."""
    seed: int = 1

    @property
    def services(self) -> tuple[str, ...]:
        """The names of all processes but the servers'."""
        agents = [f"{name}-{number + 1}" for name in AGENTS for number in range(self.replicas)]
        orchestrators = [f"orchestrator-{number + 1}" for number in range(self.orchestrators)]
        return (*orchestrators, "projections", *agents, CUSTOMERS)

    @property
    def skewable(self) -> tuple[str, ...]:
        """The names of the processes whose clocks may be wrong."""
        return tuple(name for name in self.services if name.startswith(("orchestrator", *AGENTS)))

    @property
    def nodes(self) -> tuple[str, ...]:
        """The names of the NATS servers."""
        return tuple(f"nats-{number + 1}" for number in range(self.nats))


@dataclass(kw_only=True)
class Service:
    """One process, whether it runs or not."""

    program: Program
    to_nats: list[Proxy]
    to_database: list[Proxy]
    child: Child | None = None
    is_wanted: bool = True
    """Not wanted: somebody keeps it down, and will start it again."""


@dataclass(kw_only=True)
class Stand:
    """What runs, by name."""

    shape: Shape
    folder: Path
    nodes: list[Node]
    database: SqliteFile | PostgresServer
    processes: Processes
    services: dict[str, Service]
    ended: Counter[str] = field(default_factory=Counter[str])
    """Processes that ended though nobody had asked for it, or otherwise than asked for."""
    killed: Counter[str] = field(default_factory=Counter[str])
    """Processes that were told to stop, and did not within `STOP_SECONDS_MAX`."""

    def start(self, name: str) -> None:
        """Start a process that does not run."""
        service = self.services[name]
        service.is_wanted = True
        if service.child is None or not service.child.is_alive:
            service.child = self.processes.start(service.program)

    async def end(self, name: str, number: signal.Signals) -> None:
        """End a process with this signal, and keep it down."""
        service = self.services[name]
        service.is_wanted = False
        child, service.child = service.child, None
        if child is not None and child in self.processes.children:
            if number == signal.SIGKILL:
                child.send(number)
            await self.processes.stop(child)
            if number != signal.SIGKILL:
                self._note_end(child)

    async def stop(self) -> None:
        """End everything that runs, in order, and keep it down."""
        for name, service in self.services.items():
            service.is_wanted = False
            self.send(name, signal.SIGCONT)
            service.child = None
        children = self.processes.children
        await self.processes.stop(*children)
        for child in children:
            self._note_end(child)

    def skew(self, name: str, seconds: float) -> None:
        """Have its clock wrong by so much as soon as it is started again."""
        service = self.services[name]
        service.program = replace(service.program, arguments=_arguments(self.shape, name, seconds))

    def send(self, name: str, number: signal.Signals) -> None:
        """Send a process a signal, if it runs."""
        child = self.services[name].child
        if child is not None:
            child.send(number)

    def pid(self, name: str) -> int | None:
        """The process, if it runs."""
        child = self.services[name].child
        return child.pid if child is not None and child.is_alive else None

    async def supervise(self) -> None:
        """Start again what ended by itself, for ever."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for name, service in self.services.items():
                child = service.child
                if not service.is_wanted or child is None or child.is_alive:
                    continue
                self.ended[f"{name} {child.ending}"] += 1
                service.child = None
                await self.processes.stop(child)
                await asyncio.sleep(AGAIN_SECONDS)
                if service.is_wanted:
                    self.start(name)

    def open_store(self) -> Store:
        """The event store, past every proxy."""
        return Store(self.database.url(None), namespace=NAMESPACE)

    def _note_end(self, child: Child) -> None:
        code = child.process.returncode
        if code > 0:
            self.ended[f"{child.name} {child.ending}"] += 1
        elif code == -signal.SIGKILL:
            self.killed[child.name] += 1


@asynccontextmanager
async def stand_of(
    shape: Shape, folder: Path, *, clocks: Mapping[str, float]
) -> AsyncGenerator[Stand]:
    """Everything started (it may not answer yet), and stopped by its own pid in any case.

    Args:
        clocks: By how much those of these processes are wrong at first, in seconds.
    """
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    async with contextlib.AsyncExitStack() as cleanup:
        nodes = cluster(folder, shape.nats)
        for node in nodes:
            cleanup.callback(_end_node, node)
            await node.start_again()
        database = database_of(shape.store, folder)
        if isinstance(database, PostgresServer):
            cleanup.callback(database.remove)
        cleanup.push_async_callback(database.stop)
        await database.start()
        processes = Processes(folder / "logs")
        stand = Stand(
            shape=shape,
            folder=folder,
            nodes=nodes,
            database=database,
            processes=processes,
            services={},
        )
        for name in shape.services:
            stand.services[name] = await _service(stand, name, cleanup)
        for name, seconds in clocks.items():
            stand.skew(name, seconds)
        cleanup.push_async_callback(stand.stop)
        _make_schema(stand)
        for name in shape.services:
            stand.start(name)
        yield stand


async def _service(stand: Stand, name: str, cleanup: contextlib.AsyncExitStack) -> Service:
    to_nats = [await cleanup.enter_async_context(_proxy(node.port)) for node in stand.nodes]
    to_database: list[Proxy] = []
    port = stand.database.port
    if port is not None and name.startswith(_USES_STORE):
        to_database = [await cleanup.enter_async_context(_proxy(port))]
    environment = {
        **_settings(stand.folder),
        "DALSEGNO_NATS_URL": ",".join(proxy.url for proxy in to_nats),
        "DALSEGNO_STORE_URL": stand.database.url(to_database[0].port if to_database else None),
        "DALSEGNO_ORCHESTRATOR_NAME": name,
    }
    program = Program(
        name=name, arguments=_arguments(stand.shape, name, 0.0), environment=environment
    )
    return Service(program=program, to_nats=to_nats, to_database=to_database)


def _proxy(port: int) -> Proxy:
    return Proxy(lambda: port)


def _settings(folder: Path) -> Mapping[str, str]:
    tests = str(Path(__file__).parents[1])
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    return {
        "PYTHONPATH": os.pathsep.join([*paths, tests]),
        FOLDER_VARIABLE: str(folder),
        "DALSEGNO_NAMESPACE": NAMESPACE,
        "DALSEGNO_PARTITIONS": str(PARTITIONS),
        "DALSEGNO_ARTIFACTS_URL": str(folder / "artifacts"),
        "DALSEGNO_LOG_FORMAT": "text",
        "DALSEGNO_DRAIN_SECONDS": "2",
        "DALSEGNO_PRESENCE_SECONDS": "1",
        "DALSEGNO_ACK_WAIT_SECONDS": "3",
        "DALSEGNO_SWEEP_SECONDS": "5",
        "DALSEGNO_AGENT_GONE_SECONDS": "5",
    }


def _arguments(shape: Shape, name: str, skew_seconds: float) -> tuple[str, ...]:
    if name == "projections":
        return python("dalsegno_projections")
    if name == CUSTOMERS:
        return python("chaos.customers", "--seed", str(shape.seed), "--rate", str(shape.rate))
    service = "orchestrator"
    if not name.startswith(service):
        service = f"chaos.agents:{name.partition('-')[0]}"
    return python("chaos.skewed", f"--seconds={skew_seconds}", service)


def _make_schema(stand: Stand) -> None:
    store = stand.open_store()
    store.ensure_schema()
    store.close()


def _end_node(node: Node) -> None:
    node.send(signal.SIGCONT)
    node.kill()
