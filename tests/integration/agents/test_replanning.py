"""An agent that changes the plan of its own run, with a real orchestrator and its store."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from dalsegno_agents import Agent, ReplanRefused, TaskContext, TaskRetry
from dalsegno_bus.bus import Bus
from dalsegno_bus.memory import MemoryBroker, MemoryBus
from dalsegno_orchestrator.workflow.events import RunReplanned
from support.world import World


class Empty(BaseModel):
    pass


PLAN: dict[str, Any] = {
    "read": {
        "capability": "read",
        "input": {},
        "retry": {"max_attempts": 3, "delay": "10ms", "jitter": 0},
    },
    "letter": {"capability": "work", "input": {}, "after": ["read"]},
}
CHECK: dict[str, Any] = {"check": {"capability": "work", "input": {}, "after": ["read"]}}


@pytest.fixture
async def world(tmp_path: Path, namespace: str) -> AsyncIterator[World]:
    broker, opened = MemoryBroker(), list[Bus]()

    async def open_one() -> Bus:
        opened.append(MemoryBus(broker))
        return opened[-1]

    made = World(open_one, namespace, tmp_path, await open_one())
    yield made
    made.store.close()
    for bus in reversed(opened):
        await bus.close()


def reader(read: Any) -> Agent[None]:
    agent = Agent("reader")
    agent.handles("read")(read)

    @agent.handles("work")
    async def work(value: Empty, context: TaskContext[None]) -> Empty:
        del context
        return value

    return agent


async def test_an_agent_changes_its_own_run_once_and_the_history_shows_who(world: World) -> None:
    async def read(value: Empty, context: TaskContext[None]) -> Empty:
        await context.replan(add=CHECK, drop=["letter"], reason=f"attempt {context.attempt}")
        if context.attempt == 1:
            raise TaskRetry("once more", after_seconds=0)
        return value

    async with world.orchestrator(), world.worker(reader(read)) as worker:
        await world.register("books", PLAN)
        started = await world.client.start("books")
        ended = await world.result(started.run_id)

    history = world.history(started.run_id)
    (replanned,) = [one for one in history if isinstance(one.event, RunReplanned)]
    assert ended.status == "completed"
    assert replanned.by == f"client:agent:reader/{worker.replica}"
    assert isinstance(replanned.event, RunReplanned)
    assert (replanned.event.reason, replanned.event.plan_version) == ("attempt 1", 2)
    assert (replanned.event.drop, replanned.event.add) == (("letter",), CHECK)
    tasks = [getattr(one.event, "task_id", None) for one in history]
    assert "check" in tasks
    assert "letter" not in tasks


async def test_a_change_that_does_not_fit_is_refused_with_every_reason(world: World) -> None:
    async def read(value: Empty, context: TaskContext[None]) -> list[str]:
        del value
        try:
            await context.replan(drop=["read", "nothing"])
        except ReplanRefused as error:
            return list(error.reasons)
        return []

    async with world.orchestrator(), world.worker(reader(read)):
        await world.register("books", PLAN, output="${ tasks.read }")
        started = await world.client.start("books")
        ended = await world.result(started.run_id)

    reasons: Any = ended.output
    assert len(reasons) == 2
    assert "run-replanned" not in world.kinds(started.run_id)
