"""Limits, priorities and fairness at work: one orchestrator or two, in memory and over NATS."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest
from pydantic import BaseModel

from dalsegno_agents import Agent, TaskContext
from dalsegno_bus.errors import RunRejected
from dalsegno_bus.ids import RunId
from dalsegno_orchestrator.directory.agents import queue_max
from dalsegno_orchestrator.history import Recorded
from dalsegno_orchestrator.store import Store
from dalsegno_orchestrator.workflow.events import TaskAssigned, TaskCompleted, TaskParked
from support.world import World, until

EVENTS_MAX = 10_000
SLOTS = 8


class Job(BaseModel):
    name: str


class Gate:
    """An agent whose tasks called `hold` wait until it is opened."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.under_way = 0
        self.peak = 0
        self.agent: Agent[None] = Agent("gate", deps=None, concurrency=SLOTS)

        @self.agent.handles("work")
        async def work(job: Job, context: TaskContext[None]) -> str:
            del context
            self.under_way += 1
            self.peak = max(self.peak, self.under_way)
            if job.name == "hold":
                await self.open.wait()
            else:
                for _ in range(20):  # others have the chance to come in between
                    await asyncio.sleep(0)
            self.under_way -= 1
            return job.name


ONE = {"one": {"capability": "work", "input": "${ input }"}}
THREE = {
    "all": {"capability": "work", "foreach": "${ input.names }", "input": {"name": "${ item }"}},
    "last": {"capability": "work", "input": {"name": "${ tasks.all[0] }"}},
}


def order(world: World) -> list[Recorded]:
    """The whole history, as it was stored."""
    return world.store.follow(after=0, limit=EVENTS_MAX)


def begun(world: World, runs: Sequence[RunId]) -> list[RunId]:
    """The runs in the order in which they were given to the agent."""
    return [
        RunId(recorded.stream_id)
        for recorded in order(world)
        if isinstance(recorded.event, TaskAssigned) and recorded.stream_id in runs
    ]


def most_at_the_same_time(world: World) -> int:
    now = most = 0
    for recorded in order(world):
        now += isinstance(recorded.event, TaskAssigned)
        now -= isinstance(recorded.event, TaskCompleted)
        most = max(most, now)
    return most


def standing(world: World) -> list[str]:
    return [row.limit for row in world.store.permits() if row.given_back_at is None]


async def hold(world: World) -> RunId:
    """A run that has the only permit until the gate opens."""
    accepted = await world.client.start("hold", {"name": "hold"})
    await world.until_recorded(accepted.run_id, "task-assigned")
    return accepted.run_id


async def parked(world: World, workflow: str, **more: str) -> RunId:
    accepted = await world.client.start(workflow, {"name": "x", **more})
    await world.until_recorded(accepted.run_id, "task-parked")
    return accepted.run_id


@pytest.mark.slow
async def test_two_orchestrators_together_never_exceed_a_concurrency_and_everything_ends(
    world: World,
) -> None:
    gate = Gate()
    async with world.orchestrator(), world.orchestrator(), world.worker(gate.agent):
        await world.client.set_limit("capability:work", concurrency=2)
        await world.register("three", THREE)
        names = {"names": ["a", "b", "c"]}
        accepted = [await world.client.start("three", names) for _ in range(12)]
        ended = [await world.result(one.run_id) for one in accepted]
    assert {one.status for one in ended} == {"completed"}
    assert most_at_the_same_time(world) == 2
    assert gate.peak <= 2
    assert standing(world) == []


@pytest.mark.slow
async def test_two_orchestrators_on_postgresql_share_limits_too(
    world: World, namespace: str, postgres_url: str
) -> None:
    world.store.close()
    world.settings = world.settings.model_copy(update={"store_url": postgres_url})
    world.store = Store(postgres_url, namespace=namespace)
    world.store.ensure_schema()
    gate = Gate()
    async with world.orchestrator(), world.orchestrator(), world.worker(gate.agent):
        await world.register("three", THREE, limits={"concurrency": 2})
        accepted = [await world.client.start("three", {"names": ["a", "b"]}) for _ in range(6)]
        ended = [await world.result(one.run_id) for one in accepted]
    assert {one.status for one in ended} == {"completed"}
    assert most_at_the_same_time(world) <= 2
    assert standing(world) == []


@pytest.mark.slow
async def test_what_an_orchestrator_took_before_it_died_is_not_lost_and_not_taken_twice(
    world: World,
) -> None:
    gate = Gate()
    async with world.worker(gate.agent):
        async with world.orchestrator():
            await world.client.set_limit("capability:work", concurrency=1)
            await world.register("hold", ONE)
            first = await hold(world)
            second = await parked(world, "hold")
        async with world.orchestrator():
            third = await parked(world, "hold")
            assert standing(world) == ["capability:work"]
            gate.open.set()
            for run_id in (first, second, third):
                assert (await world.result(run_id)).status == "completed"
    assert begun(world, [first, second, third]) == [first, second, third]
    assert most_at_the_same_time(world) == 1
    assert standing(world) == []


@pytest.mark.slow
async def test_of_those_that_wait_the_urgent_goes_first(world: World) -> None:
    gate = Gate()
    async with world.orchestrator(), world.worker(gate.agent):
        await world.client.set_limit("quota:slots", concurrency=1)
        for name, priority in (("hold", 5), ("low", 0), ("high", 9)):
            task = {**ONE["one"], "priority": priority, "quota": {"slots": 1}}
            await world.register(name, {"one": task})
        await hold(world)
        waiting = [await parked(world, name) for name in ("low", "high", "low", "high")]
        gate.open.set()
        for run_id in waiting:
            await world.result(run_id)
    low, high, other_low, other_high = waiting
    assert begun(world, waiting) == [high, other_high, low, other_low]


@pytest.mark.slow
async def test_when_the_queue_of_every_agent_is_full_the_urgent_goes_first(world: World) -> None:
    gate = Gate()
    async with world.orchestrator() as orchestrator, world.worker(gate.agent):
        for name, priority in (("hold", 5), ("low", 0), ("high", 9)):
            await world.register(name, {"one": {**ONE["one"], "priority": priority}})
        await until(lambda: any(v.slots for v in orchestrator.directory.capable("work")))
        for _ in range(queue_max(SLOTS, 0.0)):
            await hold(world)
        waiting = [await parked(world, name) for name in ("low", "high", "low", "high")]
        gate.open.set()
        for run_id in waiting:
            await world.result(run_id)
    low, high, other_low, other_high = waiting
    assert begun(world, waiting) == [high, other_high, low, other_low]


@pytest.mark.slow
async def test_tenants_take_turns_in_a_workflow_with_a_limit_of_its_own(world: World) -> None:
    gate = Gate()
    async with world.orchestrator(), world.worker(gate.agent):
        await world.register(
            "hold", ONE, limits={"concurrency": 1}, fair_by="${ has(input.by) ? input.by : '' }"
        )
        await hold(world)
        many = [await parked(world, "hold", by="a") for _ in range(5)]
        few = [await parked(world, "hold", by="b") for _ in range(2)]
        gate.open.set()
        for run_id in (*many, *few):
            await world.result(run_id)
    assert begun(world, [*many, *few]) == [
        many[0], few[0], many[1], few[1], many[2], many[3], many[4],
    ]  # fmt: skip


@pytest.mark.slow
async def test_a_rate_lets_no_more_begin_in_its_time_and_then_the_rest(world: World) -> None:
    gate = Gate()
    async with world.orchestrator(), world.worker(gate.agent):
        await world.client.set_limit("capability:work", rate=2, rate_seconds=0.4)
        await world.register("one", ONE)
        accepted = [await world.client.start("one", {"name": "x"}) for _ in range(5)]
        for one in accepted:
            await world.result(one.run_id)
    times = [recorded.at for recorded in order(world) if isinstance(recorded.event, TaskAssigned)]
    assert len(times) == 5
    for first, third in zip(times, times[2:], strict=False):
        assert third - first >= timedelta(seconds=0.4)


async def test_a_quota_that_is_not_set_parks_and_goes_out_when_it_is(world: World) -> None:
    gate = Gate()
    async with world.orchestrator(), world.worker(gate.agent):
        await world.register("one", {"one": {**ONE["one"], "quota": {"slots": 3}}})
        run_id = await parked(world, "one")
        event = next(r.event for r in world.history(run_id) if isinstance(r.event, TaskParked))
        assert event.waits_for == "quota:slots"
        assert "dalsegno limits set quota:slots" in event.reason
        await world.client.set_limit("quota:slots", concurrency=2)
        await world.client.set_limit("quota:slots", concurrency=3)
        assert (await world.result(run_id)).status == "completed"
        removed = await world.client.set_limit("quota:slots")
    assert (removed.workflow, removed.status, removed.version) == ("quota:slots", "removed", 3)


async def test_what_can_be_no_limit_is_refused(world: World) -> None:
    async with world.orchestrator():
        with pytest.raises(RunRejected, match="is set by the workflow itself"):
            await world.client.set_limit("workflow:one", concurrency=1)
    assert order(world) == []
