"""While one orchestrator takes over from another, both work; nothing waits for a third."""

import asyncio
from collections import Counter
from datetime import timedelta

from pydantic import BaseModel

from dalsegno_agents import Agent, TaskContext
from dalsegno_bus.bus import Outgoing
from dalsegno_bus.clock import utc_now
from dalsegno_bus.codec import encode
from dalsegno_bus.ids import RunId, new_run_id
from dalsegno_bus.messages import CompletedReport, StartRun
from dalsegno_orchestrator.history import seal
from dalsegno_orchestrator.service import Orchestrator
from dalsegno_orchestrator.workflow.events import (
    RunCompleted,
    RunEvent,
    SignalReceived,
    TaskAssigned,
    TaskCompleted,
    TimerSet,
)
from support.world import World, until

RUNS = 40
STEPS = 4


class Number(BaseModel):
    value: int


def adder() -> Agent[None]:
    agent: Agent[None] = Agent("adder", deps=None, concurrency=20)

    @agent.handles("add")
    async def add(number: Number, context: TaskContext[None]) -> Number:
        del context
        return Number(value=number.value + 1)

    return agent


def chain(length: int) -> dict[str, dict[str, str]]:
    tasks = {"t0": {"capability": "add", "input": "${ input }"}}
    for number in range(1, length):
        tasks[f"t{number}"] = {"capability": "add", "input": f"${{ tasks.t{number - 1} }}"}
    return tasks


def append(world: World, run_id: RunId, *events: RunEvent) -> None:
    """What another orchestrator records."""
    last = world.history(run_id)[-1]
    version, previous = last.version, last.digest
    for event in events:
        version += 1
        sealed = seal(
            run_id, version, event, at=utc_now(), by="another", cause="test", previous=previous
        )
        world.store.append([sealed])
        previous = sealed.digest


def holds_nothing(orchestrator: Orchestrator) -> bool:
    return len(orchestrator.pipeline.runs) == 0


async def test_every_run_ends_and_every_task_is_completed_once(world: World) -> None:
    world.settings = world.settings.model_copy(update={"sweep_seconds": 1.0})
    runs = [new_run_id() for _ in range(RUNS)]
    starts = [StartRun(run_id=run_id, workflow="chain", input={"value": 0}) for run_id in runs]
    async with world.orchestrator() as one, world.orchestrator() as other, world.worker(adder()):
        await world.register("chain", chain(STEPS), output=f"${{ tasks.t{STEPS - 1}.value }}")
        await world.client.start_many(starts)
        for run_id in runs:
            ended = await world.result(run_id)
            assert (ended.status, ended.output) == ("completed", STEPS)
        await until(lambda: holds_nothing(one) and holds_nothing(other))
    for run_id in runs:
        completed = Counter(
            recorded.event.task_id
            for recorded in world.history(run_id)
            if isinstance(recorded.event, TaskCompleted)
        )
        assert completed == {f"t{number}": 1 for number in range(STEPS)}


async def test_a_report_on_what_another_one_assigned_is_taken_at_once(world: World) -> None:
    async with world.orchestrator() as orchestrator:
        await world.register("wait", {"go": {"wait": {"signal": "go"}}, **after("go")})
        accepted = await world.client.start("wait")
        received = SignalReceived(signal="go", message_id="m", task_id="go")
        assigned = TaskAssigned(task_id="then", attempt=1, agent="adder", capability="add")
        append(world, accepted.run_id, received, assigned)
        report = CompletedReport(
            run_id=accepted.run_id, task_id="then", attempt=1, agent="adder", replica="x"
        )
        subject = world.subjects.report("adder", accepted.run_id)
        await world.bus.store([Outgoing(subject, encode(report))])
        ended = await world.result(accepted.run_id)
        assert ended.status == "completed"
        await until(lambda: holds_nothing(orchestrator))


async def test_a_time_that_another_one_set_is_kept_after_it_is_gone(world: World) -> None:
    world.settings = world.settings.model_copy(update={"sweep_seconds": 0.1})
    tasks = {"go": {"wait": {"signal": "go"}}, "nap": {"sleep": "100ms", "after": ["go"]}}
    async with world.orchestrator():
        await world.register("nap", tasks)
        accepted = await world.client.start("nap")
        received = SignalReceived(signal="go", message_id="m", task_id="go")
        until_then = utc_now() + timedelta(milliseconds=100)
        append(world, accepted.run_id, received, TimerSet(task_id="nap", at=until_then))
        ended = await world.result(accepted.run_id)
    assert ended.status == "completed"


async def test_what_another_one_has_ended_is_let_go(world: World) -> None:
    world.settings = world.settings.model_copy(update={"sweep_seconds": 0.1})
    async with world.orchestrator() as orchestrator:
        await world.register("wait", {"go": {"wait": {"signal": "go"}}})
        accepted = await world.client.start("wait")
        await until(lambda: len(orchestrator.pipeline.runs) == 1)
        received = SignalReceived(signal="go", message_id="m", task_id="go")
        append(world, accepted.run_id, received, RunCompleted())
        world.store.append([], closed=[accepted.run_id])
        await until(lambda: holds_nothing(orchestrator))
        assert orchestrator.pipeline.timers.next_at() is None


async def test_an_agent_that_joins_long_after_another_one_died_gets_its_tasks(
    world: World,
) -> None:
    stuck: Agent[None] = Agent("a-stuck", deps=None)

    @stuck.handles("add")
    async def never(number: Number, context: TaskContext[None]) -> Number:
        del number, context
        await asyncio.Event().wait()
        raise AssertionError

    async with world.orchestrator() as orchestrator:
        await world.register("chain", chain(1))
        async with world.worker(stuck):
            accepted = await world.client.start("chain", {"value": 1})
            await world.until_recorded(accepted.run_id, "task-assigned")
        await until(lambda: "a-stuck" in orchestrator.directory.absent())
        async with world.worker(adder()):
            ended = await world.result(accepted.run_id)
    assert ended.status == "completed"


def after(task: str) -> dict[str, dict[str, object]]:
    return {"then": {"capability": "add", "input": {"value": 1}, "after": [task]}}
