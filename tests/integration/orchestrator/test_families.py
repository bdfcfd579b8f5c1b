"""Sub-workflows at work: runs of their own, linked both ways, also when messages are lost."""

import asyncio

from pydantic import BaseModel

from dalsegno_agents import Agent, TaskContext, TaskRejected
from dalsegno_bus.ids import RunId, child_run_id
from dalsegno_bus.topology import inbox
from dalsegno_orchestrator.workflow.events import ChildEnded, ChildStarted, RunStarted, TaskAssigned
from support.world import World, until


class Number(BaseModel):
    value: int


def worker() -> Agent[None]:
    """Adds one; refuses what is below 0; never ends what is above 100."""
    agent: Agent[None] = Agent("adder", deps=None, concurrency=8)

    @agent.handles("add")
    async def add(number: Number, context: TaskContext[None]) -> Number:
        del context
        if number.value < 0:
            raise TaskRejected("below nothing")
        if number.value > 100:
            await asyncio.Event().wait()
        return Number(value=number.value + 1)

    return agent


PARENT = {"part": {"workflow": "child", "input": "${ input }"}}
CHILD = {"add": {"capability": "add", "input": "${ input }"}}


async def begin(world: World, value: int, **parent: object) -> tuple[RunId, RunId]:
    """A parent with its child; returns both ids."""
    await world.register("child", CHILD, output="${ tasks.add.value }")
    tasks = {"part": {**PARENT["part"], **parent}}
    await world.register("parent", tasks, output="${ tasks.part }", cancel_grace=0)
    accepted = await world.client.start("parent", {"value": value})
    return accepted.run_id, child_run_id(accepted.run_id, "part", 1)


async def test_a_task_is_done_by_a_run_of_its_own_and_both_know_each_other(world: World) -> None:
    async with world.orchestrator(), world.worker(worker()):
        parent, child = await begin(world, 1)
        ended = await world.result(parent)
    assert (ended.status, ended.output) == ("completed", 2)
    started = next(r.event for r in world.history(parent) if isinstance(r.event, ChildStarted))
    assert started.run_id == child
    begun = world.history(child)[0].event
    assert isinstance(begun, RunStarted)
    assert begun.parent is not None
    assert (begun.parent.run_id, begun.parent.task_id) == (parent, "part")
    assert world.history(child)[0].by == f"run:{parent}"


async def test_a_child_that_fails_fails_its_task(world: World) -> None:
    async with world.orchestrator(), world.worker(worker()):
        parent, child = await begin(world, -1)
        ended = await world.result(parent)
        assert (await world.result(child)).status == "failed"
    assert ended.status == "failed"
    assert ended.error is not None
    assert "below nothing" in ended.error.message


async def test_a_failed_child_is_followed_by_another_only_where_that_is_asked_for(
    world: World,
) -> None:
    async with world.orchestrator(), world.worker(worker()):
        retry = {"max_attempts": 2, "delay": "10ms"}
        parent, _ = await begin(world, -1, retry=retry)
        assert (await world.result(parent)).status == "failed"
        again = await world.result(child_run_id(parent, "part", 2))
        assert again.status == "failed"


async def test_a_child_that_cannot_be_started_fails_its_task_with_the_reason(world: World) -> None:
    async with world.orchestrator():
        await world.register("parent", {"part": {"workflow": "nowhere"}})
        accepted = await world.client.start("parent")
        ended = await world.result(accepted.run_id)
    assert ended.error is not None
    assert "nowhere" in ended.error.message


async def test_cancelling_a_parent_cancels_its_child_first(world: World) -> None:
    async with world.orchestrator(), world.worker(worker()):
        parent, child = await begin(world, 101)
        await world.until_recorded(child, "task-assigned")
        await world.client.cancel(parent, "enough")
        ended = await world.result(parent)
        assert (await world.result(child)).status == "cancelled"
    assert ended.status == "cancelled"
    over = next(r.event for r in world.history(parent) if isinstance(r.event, ChildEnded))
    assert over.status == "cancelled"


async def test_a_start_that_was_lost_is_sent_again(world: World) -> None:
    async with world.orchestrator() as orchestrator, world.worker(worker()):
        parent, child = await begin(world, 101)
        await world.until_recorded(child, "task-assigned")
        run = orchestrator.pipeline.runs.held(parent)
        assert run is not None
        await orchestrator.pipeline.send_again([run])  # as after a loss: it is there already
        await world.client.cancel(child)
        ended = await world.result(parent)
    assert ended.status == "failed"
    assert world.kinds(child).count("run-started") == 1


async def test_an_end_that_was_lost_is_told_again(world: World) -> None:
    """The child ends while nobody hears its parent: the inbox is emptied meanwhile."""
    async with world.orchestrator() as orchestrator, world.worker(worker()):
        parent, child = await begin(world, 1)
        await world.result(child)
    # What the child told is lost with the stream; whoever starts next asks for it again.
    if "child-ended" not in world.kinds(parent):
        await world.bus.purge(inbox(world.subjects), world.subjects.request(parent))
    del orchestrator
    async with world.orchestrator():
        ended = await world.result(parent)
    assert ended.status == "completed"


async def test_a_run_that_failed_is_retried_and_goes_on_where_it_was(world: World) -> None:
    async with world.orchestrator() as orchestrator, world.worker(worker()):
        await world.register("steps", {
            "one": {"capability": "add", "input": {"value": 1}},
            "two": {"capability": "missing", "after": ["one"], "queue_timeout": "10ms",
                    "retry": {"max_attempts": 1}},
        })  # fmt: skip
        accepted = await world.client.start("steps")
        assert (await world.result(accepted.run_id)).status == "failed"
        other: Agent[None] = Agent("other", deps=None)

        @other.handles("missing")
        async def missing(number: Empty, context: TaskContext[None]) -> Empty:
            del context
            return number

        async with world.worker(other):
            await until(lambda: any(a.slots for a in orchestrator.directory.capable("missing")))
            await world.client.retry(accepted.run_id, requested_by="ada")
            await until(lambda: "run-completed" in world.kinds(accepted.run_id))
    kinds = world.kinds(accepted.run_id)
    assert kinds.count("task-completed") == 2
    reopened = next(r for r in world.history(accepted.run_id) if r.event.kind == "run-reopened.v1")
    assert reopened.by == "client:ada"


async def test_a_run_that_completed_is_taken_back_and_runs_again(world: World) -> None:
    async with world.orchestrator(), world.worker(worker()):
        await world.register("steps", {
            "one": {"capability": "add", "input": {"value": 1}},
            "two": {"capability": "add", "input": "${ tasks.one }"},
        })  # fmt: skip
        accepted = await world.client.start("steps")
        await world.result(accepted.run_id)
        await world.client.rewind(accepted.run_id, "two")
        await until(lambda: world.kinds(accepted.run_id).count("run-completed") == 2)
    assigned = [
        (r.event.task_id, r.event.attempt)
        for r in world.history(accepted.run_id)
        if isinstance(r.event, TaskAssigned)
    ]
    assert assigned == [("one", 1), ("two", 1), ("two", 2)]


class Empty(BaseModel):
    """Nothing to say."""
