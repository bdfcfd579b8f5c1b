"""Replicas that share their work over a real server."""

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel

from dalsegno_agents.agent import Agent
from dalsegno_agents.context import TaskContext
from dalsegno_agents.worker import Worker
from dalsegno_bus.bus import Outgoing
from dalsegno_bus.codec import encode
from dalsegno_bus.messages import CancelAttempt
from dalsegno_bus.topology import agent_consumer
from tests.integration.agents.conftest import Theatre, joined, until

pytestmark = pytest.mark.slow


class Text(BaseModel):
    text: str = ""


class Scribe:
    """An agent that counts its work; `text.wait` ends when `gate` opens."""

    def __init__(self, *, concurrency: int = 1) -> None:
        self.agent = Agent("scribe", concurrency=concurrency)
        self.worked: list[str] = []
        self.at_work = 0
        self.gate = asyncio.Event()
        self.agent.handles("text.echo")(self.echo)
        self.agent.handles("text.wait")(self.wait)

    async def echo(self, text: Text, context: TaskContext[None]) -> Text:
        self.worked.append(context.task_id)
        return text

    async def wait(self, text: Text, context: TaskContext[None]) -> Text:
        self.worked.append(context.task_id)
        self.at_work += 1
        try:
            await self.gate.wait()
        finally:
            self.at_work -= 1
        return text


def replica(theatre: Theatre, scribe: Scribe, **more: Any) -> AbstractAsyncContextManager[Worker]:
    """A running replica in this process, with a connection of its own."""
    return joined(theatre, scribe.agent, **more)


async def test_a_full_replica_holds_back_nothing_from_an_idle_one(theatre: Theatre) -> None:
    full, idle = Scribe(), Scribe()
    async with replica(theatre, full):
        await theatre.command("text.wait", task_id="long")
        await until(lambda: full.at_work == 1)
        for task in range(20):
            await theatre.command("text.echo", task_id=f"t{task}")
        async with replica(theatre, idle):
            await theatre.reports(20)
        full.gate.set()
        await theatre.report()

    assert full.worked == ["long"]
    assert len(idle.worked) == 20


async def test_a_replica_with_room_gets_to_speed_and_works_each_attempt_once(
    theatre: Theatre,
) -> None:
    scribe = Scribe(concurrency=8)
    async with replica(theatre, scribe):
        for task in range(3_000):
            await theatre.command("text.echo", task_id=f"t{task}")
        reports = await theatre.reports(3_000)

    assert len({report.task_id for report in reports}) == 3_000
    assert len(scribe.worked) == 3_000


async def test_a_cancelled_attempt_stops_wherever_it_is_worked_on(theatre: Theatre) -> None:
    one, other = Scribe(), Scribe()
    async with replica(theatre, one), replica(theatre, other):
        command = await theatre.command("text.wait")
        await until(lambda: one.at_work + other.at_work == 1)
        cancel = CancelAttempt(run_id=command.run_id, task_id=command.task_id, attempt=1)
        await theatre.bus.tell(Outgoing(theatre.subjects.control("scribe"), encode(cancel)))
        await until(lambda: one.at_work + other.at_work == 0)
        await theatre.publish(command)  # the server takes it: the first was acknowledged
        await theatre.command("text.echo", task_id="b")
        report = await theatre.report()

    assert report.task_id == "b"
    assert one.worked + other.worked == ["a", "b"]


async def two_ack_waits(theatre: Theatre) -> None:
    """Return when what nobody extends has been delivered three times, by the server's clock."""
    witness = replace(agent_consumer(theatre.subjects, "witness"), ack_wait_seconds=1.0)
    subject = theatre.subjects.task("witness", theatre.run_id, "a", 1)
    async with theatre.bus.pull([witness], ahead=1) as pull:
        await theatre.bus.store([Outgoing(subject, b"tick")])
        while True:
            (delivery,) = await pull.batch(limit=1)
            if delivery.deliveries > 2:
                await delivery.ack()
                return


async def test_a_long_attempt_is_delivered_once(theatre: Theatre) -> None:
    one, other = Scribe(), Scribe()
    async with (
        replica(theatre, one, ack_wait_seconds=1.0),
        replica(theatre, other, ack_wait_seconds=1.0),
    ):
        await theatre.command("text.wait")
        await until(lambda: one.at_work + other.at_work == 1)
        await two_ack_waits(theatre)
        one.gate.set()
        other.gate.set()
        await theatre.report()

    assert len(one.worked + other.worked) == 1
