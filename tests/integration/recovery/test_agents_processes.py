"""Agents as processes that die, block, flap, or are cut off: the task goes elsewhere, or fails."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from dalsegno_bus import health
from dalsegno_bus.embedded import EmbeddedServer
from dalsegno_bus.ids import RunId
from dalsegno_orchestrator.workflow.events import TaskCompleted, TaskFailed
from support.proxy import Proxy
from support.world import World, until

pytestmark = pytest.mark.slow

MODULE = '''
import asyncio, os, time
from pathlib import Path
from typing import Any
from pydantic import BaseModel
from dalsegno_agents import Agent, TaskContext

class Nothing(BaseModel):
    pass

scribe = Agent("scribe", concurrency=2)

def begun(context):
    Path(f"begun.{context.task_id}.{os.getpid()}").touch()

@scribe.handles("wait")
async def wait(nothing: Nothing, context: TaskContext) -> int:
    begun(context)
    while not Path("gate").exists():
        await asyncio.sleep(0.01)
    return os.getpid()

@scribe.handles("block")
async def block(nothing: Nothing, context: TaskContext) -> int:
    """Only the first one blocks its event loop."""
    is_first = not list(Path().glob("begun.*"))
    begun(context)
    while is_first and not Path("gate").exists():
        time.sleep(0.01)
    return os.getpid()

@scribe.handles("die")
async def die(nothing: Nothing, context: TaskContext) -> int:
    begun(context)
    os._exit(3)

@scribe.handles("pid")
async def pid(nothing: Nothing, context: TaskContext) -> int:
    return os.getpid()
'''


class Street:
    """A world whose agents are processes, in a folder of their own."""

    def __init__(self, world: World, server: EmbeddedServer, folder: Path) -> None:
        self.world = world
        self.server = server
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, url: str | None = None, **environment: object) -> subprocess.Popen[bytes]:
        """A replica, which connects to `url` or to the server itself."""
        said = (self.folder / f"said.{len(self.processes)}").open("wb")
        with said:
            process = subprocess.Popen(
                [sys.executable, "-m", "dalsegno_agents", "scribes:scribe"],
                cwd=self.folder,
                env={
                    **{key: value for key, value in os.environ.items() if "DALSEGNO" not in key},
                    "DALSEGNO_NATS_URL": url or self.server.url,
                    "DALSEGNO_NAMESPACE": self.world.subjects.namespace,
                    "DALSEGNO_PARTITIONS": "2",
                    "DALSEGNO_ACK_WAIT_SECONDS": "1",
                    "DALSEGNO_PRESENCE_SECONDS": "0.3",
                    **{f"DALSEGNO_{key.upper()}": str(one) for key, one in environment.items()},
                },
                stderr=said,
            )
        self.processes.append(process)
        return process

    def said(self, process: subprocess.Popen[bytes]) -> str:
        return (self.folder / f"said.{self.processes.index(process)}").read_text()

    def begun_by(self, task: str = "one") -> set[int]:
        return {int(path.suffix[1:]) for path in self.folder.glob(f"begun.{task}.*")}

    def open_gate(self) -> None:
        (self.folder / "gate").touch()

    async def run(self, capability: str) -> RunId:
        """Start a run of one task."""
        await self.world.until_known("scribe")
        task: dict[str, Any] = {"capability": capability, "input": {}}
        await self.world.register(capability, {"one": task}, output="${ tasks.one }")
        return (await self.world.client.start(capability)).run_id

    async def must_end_once(self, run_id: RunId) -> int:
        """The run completed, its task once; returns the process that did it."""
        ended = await self.world.result(run_id)
        assert ended.status == "completed", ended.error
        done = [r for r in self.world.history(run_id) if isinstance(r.event, TaskCompleted)]
        assert len(done) == 1
        assert isinstance(ended.output, int)
        return ended.output

    def end_all(self) -> None:
        for process in self.processes:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()


@pytest.fixture
async def street(
    own_world: World, own_server: EmbeddedServer, tmp_path: Path
) -> AsyncIterator[Street]:
    folder = tmp_path / "agents"
    folder.mkdir()
    (folder / "scribes.py").write_text(MODULE)
    made = Street(own_world, own_server, folder)
    yield made
    made.end_all()


async def test_the_task_of_a_killed_process_goes_to_another_and_is_completed_once(
    street: Street,
) -> None:
    async with street.world.orchestrator():
        first = street.start()
        run_id = await street.run("wait")
        await until(lambda: street.begun_by() == {first.pid})
        second = street.start()
        first.kill()
        await until(lambda: second.pid in street.begun_by())
        street.open_gate()
        assert await street.must_end_once(run_id) == second.pid


@pytest.mark.parametrize("fault", ["freeze", "cut", "stopped"])
async def test_the_task_of_a_replica_that_is_cut_off_goes_to_another(
    street: Street, fault: str
) -> None:
    """A half-open connection, none at all, or a process that stands still: it comes back late."""
    async with street.world.orchestrator(), Proxy(lambda: street.server.port) as proxy:
        first = street.start(proxy.url)
        run_id = await street.run("wait")
        await until(lambda: street.begun_by() == {first.pid})
        if fault == "stopped":
            first.send_signal(signal.SIGSTOP)
        elif fault == "freeze":
            proxy.freeze()
        else:
            proxy.cut()
        second = street.start()
        await until(lambda: second.pid in street.begun_by())
        street.open_gate()
        assert await street.must_end_once(run_id) == second.pid
        history = street.world.history(run_id)

        proxy.heal()
        first.send_signal(signal.SIGCONT)
        second.kill()
        later = await street.run("pid")  # the first one is back, and works
        assert await street.must_end_once(later) == first.pid
        assert street.world.history(run_id) == history


async def test_the_task_of_a_replica_that_blocks_its_event_loop_goes_to_another(
    street: Street,
) -> None:
    async with street.world.orchestrator():
        first = street.start()
        run_id = await street.run("block")
        await until(lambda: street.begun_by() == {first.pid})
        second = street.start()
        assert await street.must_end_once(run_id) == second.pid
        history = street.world.history(run_id)

        street.open_gate()
        second.kill()
        later = await street.run("pid")
        assert await street.must_end_once(later) == first.pid
        assert street.world.history(run_id) == history


async def test_a_task_that_ends_its_processes_is_failed_and_others_go_on(street: Street) -> None:
    """Replicas flap: each dies of the same task, and is started again."""
    async with street.world.orchestrator():
        street.start()
        poison = await street.run("die")
        healthy = [await street.run("pid") for _ in range(3)]

        async def keep_alive() -> None:
            while "task-failed" not in street.world.kinds(poison):
                if street.processes[-1].poll() is not None:
                    street.start()
                await asyncio.sleep(0.05)

        async with asyncio.timeout(60.0):
            await keep_alive()
        for run_id in healthy:
            await street.must_end_once(run_id)
        ended = await street.world.result(poison)
    assert ended.status == "failed"
    failures = [
        r.event.error for r in street.world.history(poison) if isinstance(r.event, TaskFailed)
    ]
    assert [failure.code for failure in failures] == ["task.poison"]
    assert "seems to end the process" in failures[0].message
    assert len(street.begun_by()) == 5
    exits = Counter(process.poll() for process in street.processes)
    assert exits[3] == 5


async def test_a_replica_waits_for_a_server_that_is_not_there_yet(street: Street) -> None:
    street.server.kill()
    port = free_port()
    process = street.start(health_port=port)
    await until(lambda: "start.waits" in street.said(process))
    problems = await asyncio.to_thread(health.check, port)
    assert str(street.server.port) in problems[0]

    street.server.start()
    async with street.world.orchestrator():
        run_id = await street.run("pid")
        assert await street.must_end_once(run_id) == process.pid
    assert await asyncio.to_thread(health.check, port) == []
    said = street.said(process)
    assert said.count("start.waits") == 1
    assert "start.goes_on" in said


async def test_a_replica_that_waits_for_a_server_ends_when_told(street: Street) -> None:
    street.server.kill()
    process = street.start()
    await until(lambda: "start.waits" in street.said(process))
    process.terminate()
    await until(lambda: process.poll() is not None)
    assert process.returncode == 0


async def test_a_replica_is_not_ready_while_the_server_is_away(street: Street) -> None:
    port = free_port()
    street.start(health_port=port)

    async def until_ready(*, ready: bool) -> None:
        async with asyncio.timeout(20.0):
            while bool(await asyncio.to_thread(health.check, port)) is ready:  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    await until_ready(ready=True)
    street.server.kill()
    await until_ready(ready=False)
    street.server.start()
    await until_ready(ready=True)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]
