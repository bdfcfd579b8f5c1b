"""Agents as processes, over a real NATS server."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from dalsegno_agents import Agent
from dalsegno_agents.settings import AgentSettings
from dalsegno_agents.worker import Worker
from dalsegno_bus import codec
from dalsegno_bus.artifacts import ArtifactStore
from dalsegno_bus.bus import Outgoing
from dalsegno_bus.clock import utc_now
from dalsegno_bus.embedded import EmbeddedServer
from dalsegno_bus.ids import RunId, new_replica_id, new_run_id
from dalsegno_bus.messages import AgentCard, Inbox, Presence, TaskCommand
from dalsegno_bus.nats import NatsBus, connect
from dalsegno_bus.subjects import Subjects
from dalsegno_bus.topology import inbox_consumer, topology_of

INBOX: TypeAdapter[Any] = TypeAdapter(Inbox)
SECONDS_MAX = 30.0
ACK_WAIT_SECONDS = 1.0

MODULE = '''
import asyncio, os
from pathlib import Path
from pydantic import BaseModel
from dalsegno_agents import Agent, TaskContext

class Text(BaseModel):
    text: str = ""

scribe = Agent("scribe", concurrency=2)

@scribe.handles("text.echo")
async def echo(text: Text, context: TaskContext) -> Text:
    return text

@scribe.handles("text.wait")
async def wait(text: Text, context: TaskContext) -> int:
    """Work until the file `text` exists; return the number of this process."""
    Path(f"{text.text}.begun.{os.getpid()}").touch()
    while not Path(text.text).exists():
        await asyncio.sleep(0.01)
    return os.getpid()

@scribe.handles("text.stubborn")
async def stubborn(text: Text, context: TaskContext) -> Text:
    Path(f"{text.text}.begun.{os.getpid()}").touch()
    while not Path(text.text).exists():
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            pass
    return text

@scribe.handles("text.die")
async def die(text: Text, context: TaskContext) -> Text:
    Path(f"{text.text}.begun.{os.getpid()}").touch()
    os._exit(3)
'''


async def until(holds: Callable[[], bool]) -> None:
    """Return as soon as `holds` does; fail if it never does."""
    async with asyncio.timeout(SECONDS_MAX):
        while not holds():  # noqa: ASYNC110  # files and processes ring no bell
            await asyncio.sleep(0.01)


async def until_so(holds: Callable[[], Awaitable[bool]]) -> None:
    """The same, for what has to be asked."""
    async with asyncio.timeout(SECONDS_MAX):
        while not await holds():  # noqa: ASYNC110  # servers and processes ring no bell
            await asyncio.sleep(0.02)


@dataclass
class Theatre:
    """A namespace, a folder with an agent's module, and the processes started there."""

    server: EmbeddedServer
    subjects: Subjects
    folder: Path
    bus: NatsBus
    run_id: RunId = field(default_factory=new_run_id)
    processes: list[subprocess.Popen[str]] = field(default_factory=list[subprocess.Popen[str]])

    @property
    def gate(self) -> Path:
        """The file that `text.wait` waits for."""
        return self.folder / "gate"

    def start(self, agent: str = "scribes:scribe", **environment: object) -> subprocess.Popen[str]:
        """A replica as a process."""
        process = subprocess.Popen(
            [sys.executable, "-m", "dalsegno_agents", agent],
            cwd=self.folder,
            env={
                **{key: value for key, value in os.environ.items() if "DALSEGNO" not in key},
                "DALSEGNO_NATS_URL": self.server.url,
                "DALSEGNO_NAMESPACE": self.subjects.namespace,
                "DALSEGNO_PARTITIONS": "1",
                "DALSEGNO_ACK_WAIT_SECONDS": str(ACK_WAIT_SECONDS),
                **{f"DALSEGNO_{key.upper()}": str(value) for key, value in environment.items()},
            },
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    async def ended(self, process: subprocess.Popen[str]) -> tuple[int, str]:
        """How a process ended, and all it said."""
        async with asyncio.timeout(SECONDS_MAX):
            _, said = await asyncio.to_thread(process.communicate)
        return process.returncode, said

    def begun_by(self) -> set[int]:
        """Which processes have begun to work on a task that tells."""
        return {int(path.suffix[1:]) for path in self.folder.glob("gate.begun.*")}

    async def command(
        self, capability: str, text: str | None = None, *, task_id: str = "a", **more: Any
    ) -> TaskCommand:
        """Ask for one attempt, as the orchestrator does."""
        command = TaskCommand(
            run_id=self.run_id,
            task_id=task_id,
            attempt=1,
            agent="scribe",
            capability=capability,
            workflow="w",
            input={"text": str(self.gate) if text is None else text},
            **more,
        )
        await self.publish(command)
        return command

    async def publish(self, command: TaskCommand) -> None:
        """Put a command where its agent finds it."""
        subject = self.subjects.task("scribe", command.run_id, command.task_id, 1)
        await self.bus.store([Outgoing(subject, codec.encode(command))])

    async def reports(self, count: int) -> list[Any]:
        """The next so many reports, oldest first."""
        found: list[Any] = []
        consumer = replace(inbox_consumer(self.subjects, 0), ack_wait_seconds=5.0)
        async with (
            asyncio.timeout(SECONDS_MAX),
            self.bus.pull([consumer], ahead=1) as pull,
        ):
            while len(found) < count:
                for delivery in await pull.batch(limit=count - len(found)):
                    found.append(codec.decode(INBOX, delivery.body))
                    await delivery.ack()
        return found

    async def report(self) -> Any:
        """The next report."""
        return (await self.reports(1))[0]

    async def card(self) -> AgentCard | None:
        """What the agent says of itself."""
        entry = await self.bus.bucket(self.subjects.agents_bucket).get("card.scribe")
        if entry is None or entry.value is None:
            return None
        return AgentCard.model_validate_json(entry.value)

    async def presences(self) -> list[Presence]:
        """Who is there now."""
        found: list[Presence] = []
        async with self.bus.bucket(self.subjects.agents_bucket).watch() as entries:
            async for entry in entries:
                if entry is None:
                    break
                if entry.key.startswith("live.") and entry.value is not None:
                    found.append(Presence.model_validate_json(entry.value))
        return found

    async def until_present(self, count: int) -> None:
        """Wait for so many replicas."""

        async def present() -> bool:
            return len(await self.presences()) == count

        await until_so(present)

    async def until_draining(self) -> None:
        """Wait until the only replica says that it drains."""

        async def draining() -> bool:
            (presence,) = await self.presences()
            return presence.draining

        await until_so(draining)


async def open_theatre(
    stack: AsyncExitStack, server: EmbeddedServer, namespace: str, folder: Path
) -> Theatre:
    """A theatre that is cleared when the stack unwinds."""
    (folder / "scribes.py").write_text(MODULE)
    bus = await connect(server.url, name="test")
    stack.push_async_callback(bus.close)
    subjects = Subjects(namespace=namespace, partitions=1)
    await bus.provision(topology_of(subjects))
    theatre = Theatre(server=server, subjects=subjects, folder=folder, bus=bus)
    stack.callback(end_all, theatre.processes)
    return theatre


def end_all(processes: list[subprocess.Popen[str]]) -> None:
    """Leave none of our own processes behind."""
    for process in processes:
        with suppress(ProcessLookupError):
            process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


@asynccontextmanager
async def joined(theatre: Theatre, agent: Agent[Any], **more: Any) -> AsyncGenerator[Worker, None]:
    """A running replica in this process, with a connection of its own."""
    subjects = theatre.subjects
    settings = AgentSettings(namespace=subjects.namespace, partitions=subjects.partitions, **more)
    bus = await connect(theatre.server.url, name="replica")
    worker = Worker(
        agent,
        bus,
        settings=settings,
        artifacts=ArtifactStore(str(theatre.folder / "artifacts")),
        now=utc_now,
        replica=new_replica_id(),
    )
    async with asyncio.TaskGroup() as group:
        running = group.create_task(worker.run())
        await until(lambda: worker.is_ready or running.done())
        yield worker
        worker.stop()
    await bus.close()


@pytest.fixture
async def theatre(
    nats_server: EmbeddedServer, namespace: str, tmp_path: Path
) -> AsyncGenerator[Theatre, None]:
    async with AsyncExitStack() as stack:
        yield await open_theatre(stack, nats_server, namespace, tmp_path)


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server that the test may kill."""
    server = EmbeddedServer(tmp_path / "nats")
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def own_theatre(
    own_server: EmbeddedServer, namespace: str, tmp_path: Path
) -> AsyncGenerator[Theatre, None]:
    async with AsyncExitStack() as stack:
        yield await open_theatre(stack, own_server, namespace, tmp_path)
