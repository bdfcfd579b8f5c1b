"""Servers go away, come back, and go away again while one is still busy with the first time."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from pydantic import BaseModel

from dalsegno_agents import Agent, TaskContext
from dalsegno_bus.bus import Bus, Outgoing
from dalsegno_bus.codec import encode
from dalsegno_bus.embedded import EmbeddedServer
from dalsegno_bus.errors import PublishFailed
from dalsegno_bus.messages import SignalRun
from dalsegno_bus.nats.connection import Connection
from dalsegno_orchestrator import service
from support.world import SECONDS_MAX, World, until

FLAPS = 5
LOCKED_SECONDS = 0.5


class Number(BaseModel):
    value: int


def adder() -> Agent[None]:
    agent: Agent[None] = Agent("adder", deps=None, concurrency=20)

    @agent.handles("add")
    async def add(number: Number, context: TaskContext[None]) -> Number:
        del context
        return Number(value=number.value + 1)

    return agent


NAP = {
    "nap": {"sleep": "300ms"},
    "add": {"capability": "add", "input": {"value": 1}, "after": ["nap"]},
}


async def stored(bus: Bus, message: Outgoing) -> bool:
    """Store a message; False: the connection is not there yet."""
    try:
        await bus.store([message])
    except PublishFailed:
        return False
    return True


@asynccontextmanager
async def napping(world: World) -> AsyncGenerator[service.Orchestrator]:
    """An orchestrator and an agent that it knows."""
    async with world.orchestrator() as orchestrator, world.worker(adder()):
        await world.register("nap", NAP)
        await world.until_known("adder")
        yield orchestrator


async def test_nats_may_go_away_while_what_it_lost_is_being_restored(
    own_world: World,
    own_server: EmbeddedServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr("dalsegno_bus.nats.connection.API_SECONDS_MAX", 0.05)
    async with napping(own_world):
        for _ in range(FLAPS):
            epoch = own_world.bus.epoch
            own_server.restart(wipe=True)
            await until(lambda epoch=epoch: own_world.bus.epoch > epoch)
            own_server.kill()
            await asyncio.sleep(0.1)  # meanwhile whoever restores or looks is refused
        own_server.start()
        accepted = await own_world.client.start("nap")
        ended = await own_world.result(accepted.run_id)
    assert ended.status == "completed"


async def test_work_that_was_reported_while_no_orchestrator_ran_is_not_asked_for_again(
    world: World,
) -> None:
    worked: list[str] = []
    careful: Agent[None] = Agent("careful", deps=None)

    @careful.handles("add")
    async def add(number: Number, context: TaskContext[None]) -> Number:
        worked.append(context.task_id)
        return number

    tasks = {
        "one": {"capability": "add", "input": "${ input }"},
        "two": {"capability": "add", "input": "${ tasks.one }"},
    }
    async with world.orchestrator():
        await world.register("chain", tasks)
        async with world.worker(careful):
            await world.until_known("careful")
        accepted = await world.client.start("chain", {"value": 1})
        await world.until_recorded(accepted.run_id, "task-assigned")
    async with world.worker(careful) as worker:
        await until(lambda: worker.tally.answered == 1)
    async with world.worker(careful), world.orchestrator():  # it remembers nothing
        await world.result(accepted.run_id)
    assert worked == ["one", "two"]


async def test_signals_without_an_id_are_told_apart_though_the_stream_counts_anew(
    own_world: World, own_server: EmbeddedServer
) -> None:
    waits = {"a": {"wait": {"signal": "a"}}, "b": {"wait": {"signal": "b"}}}
    async with own_world.orchestrator():
        await own_world.register("wait", waits)
        accepted = await own_world.client.start("wait")
        for number, name in enumerate(waits, start=1):
            own_server.restart(wipe=True)  # the next message is the first again
            signal = SignalRun(run_id=accepted.run_id, signal=name)
            subject = own_world.subjects.request(accepted.run_id)
            async with asyncio.timeout(SECONDS_MAX):
                while not await stored(own_world.bus, Outgoing(subject, encode(signal))):
                    pass
            await own_world.until_recorded(accepted.run_id, "signal-received", number)
        ended = await own_world.result(accepted.run_id)
    assert ended.status == "completed"


async def test_a_stream_that_was_deleted_and_made_anew_by_an_agent_gets_its_commands_again(
    own_world: World, own_server: EmbeddedServer
) -> None:
    tasks = {"add": {"capability": "add", "input": "${ input }"}}
    async with own_world.orchestrator():
        await own_world.register("add", tasks)
        async with own_world.worker(adder()):
            await own_world.until_known("adder")
        accepted = await own_world.client.start("add", {"value": 1})
        await own_world.until_recorded(accepted.run_id, "task-assigned")
        admin = Connection(own_server.url)
        await admin.open("admin")
        await admin.call(f"$JS.API.STREAM.DELETE.{own_world.subjects.task_stream}")
        await admin.shut()
        async with own_world.worker(adder()):
            ended = await own_world.result(accepted.run_id)
    assert ended.status == "completed"


async def test_whoever_is_told_to_stop_does_not_wait_for_nats_to_come_back(
    own_world: World, own_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "STOP_SECONDS_MAX", 0.1)
    async with own_world.worker(adder()):
        async with own_world.orchestrator() as orchestrator:
            await own_world.register("nap", NAP)
            await own_world.until_known("adder")
            accepted = await own_world.client.start("nap")
            own_server.kill()
            await own_world.until_recorded(accepted.run_id, "task-assigned")
            orchestrator.stop()
            await until(lambda: not orchestrator.is_ready)
            own_server.start()
        async with own_world.orchestrator():
            ended = await own_world.result(accepted.run_id)
    assert ended.status == "completed"


async def test_a_store_that_somebody_else_locks_delays_and_loses_nothing(world: World) -> None:
    async with napping(world):
        await world.client.start("nap")
        path = world.settings.store_url.removeprefix("sqlite:///")
        blocker = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        blocker.execute("BEGIN IMMEDIATE")
        freeing = threading.Timer(LOCKED_SECONDS, _free, [blocker])
        freeing.start()
        accepted = await world.client.start("nap")
        ended = await world.result(accepted.run_id)
        freeing.join()
    assert ended.status == "completed"


def _free(blocker: sqlite3.Connection) -> None:
    blocker.execute("ROLLBACK")
    blocker.close()
