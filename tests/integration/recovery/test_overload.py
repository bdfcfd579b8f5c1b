"""Far more starts than can be done: nobody grows, and all ends that was accepted, nothing else."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import psutil
import pytest
from pydantic import BaseModel

from dalsegno_agents import Agent, TaskContext
from dalsegno_bus.bus import Bus, Outgoing
from dalsegno_bus.client import Client
from dalsegno_bus.codec import encode
from dalsegno_bus.embedded import EmbeddedServer
from dalsegno_bus.errors import PublishFailed
from dalsegno_bus.ids import RunId, new_run_id
from dalsegno_bus.messages import Accepted, StartRun
from dalsegno_bus.nats import connect
from dalsegno_bus.topology import topology_of
from support.world import World

INBOX_MAX = 100
"""What the inbox holds in these tests."""
WORK_SECONDS = 0.05
CONCURRENCY = 10
"""Two hundred tasks a second, then."""
FLOOD = 600
"""Begun at once by each kind of starter: ten times as much as is done meanwhile, and more."""
GROWTH_MAX = 1.6
"""How much larger a process may be at most than before the flood."""
SECONDS_MAX = 90.0

ORCHESTRATOR = f"""
import sys
import dalsegno_bus.topology as topology
topology.INBOX_MESSAGES_MAX = {INBOX_MAX}
from dalsegno_orchestrator.__main__ import main
sys.exit(main())
"""
"""The real process, with a small inbox."""


class Number(BaseModel):
    value: int


def slow() -> Agent[None]:
    agent: Agent[None] = Agent("slow", deps=None, concurrency=CONCURRENCY)

    @agent.handles("count")
    async def count(number: Number, context: TaskContext[None]) -> Number:
        del context
        await asyncio.sleep(WORK_SECONDS)
        return number

    return agent


@asynccontextmanager
async def orchestrator_process(
    world: World, server: EmbeddedServer
) -> AsyncGenerator[psutil.Process]:
    """An orchestrator as a process of its own."""
    settings = world.settings
    environment = {
        **{key: value for key, value in os.environ.items() if "DALSEGNO" not in key},
        "DALSEGNO_NATS_URL": server.url,
        "DALSEGNO_NAMESPACE": settings.namespace,
        "DALSEGNO_PARTITIONS": str(settings.partitions),
        "DALSEGNO_STORE_URL": settings.store_url,
        "DALSEGNO_ARTIFACTS_URL": settings.artifacts_url,
        "DALSEGNO_LOG_LEVEL": "ERROR",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ORCHESTRATOR, env=environment
    )
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        await process.wait()


@dataclass
class Scales:
    """The largest size that each process had."""

    processes: Sequence[psutil.Process]
    largest: dict[int, int] = field(default_factory=dict[int, int])

    def weigh(self) -> None:
        for process in self.processes:
            size = process.memory_info().rss
            self.largest[process.pid] = max(size, self.largest.get(process.pid, 0))

    async def run(self) -> None:
        """Weigh for ever."""
        while True:
            self.weigh()
            await asyncio.sleep(0.05)


@dataclass
class Heard:
    """What those who started runs were told."""

    accepted: list[RunId] = field(default_factory=list[RunId])
    stored: list[RunId] = field(default_factory=list[RunId])
    refused: dict[RunId, str] = field(default_factory=dict[RunId, str])


async def push(world: World, bus: Bus, heard: Heard, count: int) -> None:
    """Start runs one by one without a client's patience: what has no room is refused for good."""
    for _ in range(count):
        start = StartRun(run_id=new_run_id(), workflow="count", input={"value": 1})
        message = Outgoing(world.subjects.request(start.run_id), encode(start))
        try:
            await bus.store([message])
        except PublishFailed as error:
            heard.refused[start.run_id] = str(error)
        else:
            heard.stored.append(start.run_id)


async def ask(world: World, bus: Bus, heard: Heard, count: int) -> None:
    """Start runs as programs do; a full inbox makes it take longer."""
    client = Client(bus, world.subjects, source="flood")
    starts = [
        StartRun(run_id=new_run_id(), workflow="count", input={"value": 1}) for _ in range(count)
    ]
    answers = await client.start_many(starts, timeout_seconds=SECONDS_MAX)
    heard.accepted += [one.run_id for one in answers if isinstance(one, Accepted)]
    assert len(answers) == count


@pytest.mark.slow
async def test_a_flood_of_starts_is_held_back_done_and_leaves_no_process_large(
    own_world: World, own_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dalsegno_bus.topology.INBOX_MESSAGES_MAX", INBOX_MAX)
    world, heard = own_world, Heard()
    buses = [await connect(own_server.url, name="flood") for _ in range(6)]
    async with (
        asyncio.timeout(SECONDS_MAX),
        orchestrator_process(world, own_server) as orchestrator,
        world.worker(slow()),
    ):
        await world.bus.provision(topology_of(world.subjects))
        await world.client.register(
            {"workflow": "count", "version": 1,
             "tasks": {"one": {"capability": "count", "input": "${ input }"}}}
        )  # fmt: skip
        await world.until_known("slow")
        for _ in range(3):
            await ask(world, buses[0], Heard(), 100)
        assert own_server.pid is not None
        here = psutil.Process()
        processes = [here, orchestrator, psutil.Process(own_server.pid)]
        before = {process.pid: process.memory_info().rss for process in processes}
        scales = Scales(processes)
        async with asyncio.TaskGroup() as group:
            weighing = group.create_task(scales.run())
            async with asyncio.TaskGroup() as crowd:
                for bus in buses[:3]:
                    crowd.create_task(push(world, bus, heard, FLOOD // 4))
                for bus in buses[3:]:
                    crowd.create_task(ask(world, bus, heard, FLOOD // 4))
            wanted = {*heard.accepted, *heard.stored}
            while not await asyncio.to_thread(ended, world, wanted):  # noqa: ASYNC110 - no bell
                await asyncio.sleep(0.2)
            weighing.cancel()
        growth = {pid: scales.largest[pid] / before[pid] for pid in before}
        assert heard.refused, "the inbox was never full: this was no flood"
        assert all("full" in reason for reason in heard.refused.values())
        assert len(heard.accepted) == 3 * (FLOOD // 4)
        assert max(growth.values()) < GROWTH_MAX, growth
        assert not [run_id for run_id in heard.refused if world.history(run_id)]
        for bus in buses:
            await bus.close()
        accepted = await world.client.start("count", {"value": 2})
        assert (await world.result(accepted.run_id)).output is None


def ended(world: World, runs: set[RunId]) -> bool:
    """Whether all of these have completed."""
    seen: dict[RunId, str] = {}
    position = 0
    while found := world.store.follow(after=position, limit=5_000):
        position = found[-1].position
        seen.update({RunId(one.stream_id): one.event.kind for one in found})
    return all(seen.get(run_id) == "run-completed.v1" for run_id in runs)
