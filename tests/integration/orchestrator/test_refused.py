"""What nobody can use, and what nobody may say: dead letters, and no effect on any run."""

import asyncio
import base64

import pytest
from pydantic import BaseModel

from dalsegno_agents import Agent, TaskContext
from dalsegno_bus.bus import Outgoing
from dalsegno_bus.codec import encode
from dalsegno_bus.ids import RunId, new_run_id
from dalsegno_bus.messages import CompletedReport, DeadLetter, StartRun
from dalsegno_bus.topology import Consumer, dead_letters
from support.world import SECONDS_MAX, World

CHAIN = {
    "one": {"capability": "add", "input": "${ input }"},
    "two": {"capability": "add", "input": "${ tasks.one }"},
}


class Number(BaseModel):
    value: int


def adder() -> Agent[None]:
    """An agent that adds one."""
    agent: Agent[None] = Agent("adder", deps=None)

    @agent.handles("add")
    async def add(number: Number, context: TaskContext[None]) -> Number:
        del context
        return Number(value=number.value + 1)

    return agent


BAD_BODIES = {
    "no JSON": b"\xff\x00 not json",
    "an unknown kind": b'{"kind": "dance.v1"}',
    "a wrong version": b'{"kind": "start-run.v99", "run_id": "x"}',
    "an unknown field": None,
    "about another run": None,
    "oversized": b'{"kind": "start-run.v1", "input": "' + b"x" * 600_000 + b'"}',
}


@pytest.mark.parametrize("fault", BAD_BODIES)
async def test_what_nobody_can_use_becomes_a_dead_letter_and_the_rest_goes_on(
    world: World, fault: str
) -> None:
    run_id = new_run_id()
    start = StartRun(run_id=run_id, workflow="chain", input={"value": 1})
    body = BAD_BODIES[fault]
    if fault == "an unknown field":
        body = encode(start).replace(b'"workflow"', b'"surprise":1,"workflow"')
    if fault == "about another run":
        body = encode(start.model_copy(update={"run_id": new_run_id()}))
    assert body is not None
    async with world.orchestrator(), world.worker(adder()):
        await world.register("chain", CHAIN)
        await world.bus.store([Outgoing(world.subjects.request(run_id), body)])
        accepted = await world.client.start("chain", {"value": 1})
        await world.result(accepted.run_id)
        letter = await _dead_letter(world)
    assert letter.reason
    assert body.startswith(base64.b64decode(letter.body_base64))
    assert world.history(run_id) == []


async def test_a_report_in_another_agents_name_has_no_effect(world: World) -> None:
    async with world.orchestrator():
        await world.register("chain", CHAIN)
        async with world.worker(adder()):
            await world.until_known("adder")
        accepted = await world.client.start("chain", {"value": 1})
        await world.until_recorded(accepted.run_id, "task-assigned")
        forged = CompletedReport(
            run_id=accepted.run_id,
            task_id="one",
            attempt=1,
            agent="adder",
            replica="x",
            output={"value": 99},
        )
        subject = world.subjects.report("intruder", accepted.run_id)
        await world.bus.store([Outgoing(subject, encode(forged))])
        letter = await _dead_letter(world)
    assert "belongs on" in letter.reason
    assert "task-completed" not in world.kinds(accepted.run_id)


async def test_a_report_on_an_attempt_that_is_with_another_agent_is_kept_for_people(
    world: World,
) -> None:
    async with world.orchestrator() as orchestrator:
        await world.register("chain", CHAIN)
        async with world.worker(adder()):
            await world.until_known("adder")
        accepted = await world.client.start("chain", {"value": 1})
        await world.until_recorded(accepted.run_id, "task-assigned")
        forged = CompletedReport(
            run_id=accepted.run_id, task_id="one", attempt=1, agent="intruder", replica="x"
        )
        subject = world.subjects.report("intruder", accepted.run_id)
        await world.bus.store([Outgoing(subject, encode(forged))])
        letter = await _dead_letter(world)
        assert orchestrator.counts()["messages_refused"] == 1
    assert letter.reason == ("agent 'intruder' reports on attempt 1 of one, which is with 'adder'")
    assert "task-completed" not in world.kinds(accepted.run_id)


async def test_a_report_on_a_run_that_does_not_exist_becomes_a_dead_letter(world: World) -> None:
    stray = RunId(new_run_id())
    report = CompletedReport(
        run_id=stray, task_id="one", attempt=1, agent="adder", replica="x", output=None
    )
    async with world.orchestrator():
        await world.register("chain", CHAIN)
        await world.bus.store([Outgoing(world.subjects.report("adder", stray), encode(report))])
        letter = await _dead_letter(world)
    assert "no run" in letter.reason


async def _dead_letter(world: World) -> DeadLetter:
    stream = dead_letters(world.subjects)
    consumer = Consumer(stream=stream, name="test", patterns=stream.subjects, ack_wait_seconds=30)
    async with asyncio.timeout(SECONDS_MAX), world.bus.pull([consumer], ahead=10) as pull:
        (delivery, *_) = await pull.batch(limit=10)
        return DeadLetter.model_validate_json(delivery.body)
