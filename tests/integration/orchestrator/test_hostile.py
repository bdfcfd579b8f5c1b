"""What nobody should send, keep or break: it costs its sender something, and nobody else."""

import asyncio
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import BaseModel

from dalsegno_agents import Agent, TaskContext
from dalsegno_bus.bus import Outgoing
from dalsegno_bus.clock import utc_now
from dalsegno_bus.codec import MESSAGE_ID, REPLY_TO, REQUEST_ID, encode
from dalsegno_bus.errors import RunRejected
from dalsegno_bus.ids import RunId, new_run_id, workflow_id
from dalsegno_bus.messages import (
    AgentCard,
    CapabilityCard,
    CompletedReport,
    DeadLetter,
    FailedReport,
    Failure,
    Json,
    Rejected,
    StartRun,
)
from dalsegno_bus.topology import Consumer, dead_letters
from dalsegno_orchestrator.history import NO_DIGEST, seal
from dalsegno_orchestrator.service import Orchestrator
from dalsegno_orchestrator.workflow.events import RunStarted
from support.world import SECONDS_MAX, World, until

CHAIN = {"one": {"capability": "add", "input": "${ input }"}}


class Number(BaseModel):
    value: float


def adder() -> Agent[None]:
    agent: Agent[None] = Agent("adder", deps=None)

    @agent.handles("add")
    async def add(number: Number, context: TaskContext[None]) -> Number:
        del context
        return Number(value=number.value + 1)

    return agent


async def others_go_on(world: World) -> None:
    accepted = await world.client.start("chain", {"value": 1})
    async with world.worker(adder()):
        ended = await world.result(accepted.run_id)
    assert ended.status == "completed"


@asynccontextmanager
async def at_work(world: World) -> AsyncGenerator[Orchestrator]:
    """An orchestrator; afterwards another one, to which nothing is left that it cannot bear."""
    async with world.orchestrator() as orchestrator:
        await world.register("chain", CHAIN)
        yield orchestrator
        await others_go_on(world)
    async with world.orchestrator():
        await others_go_on(world)


async def test_a_run_under_the_id_of_a_workflow_is_refused(world: World) -> None:
    async with at_work(world):
        taken = RunId(workflow_id("chain"))
        with pytest.raises(RunRejected, match="history of a workflow"):
            await world.client.start("chain", {"value": 1}, run_id=taken)


async def test_a_workflow_whose_id_is_a_run_is_refused(world: World) -> None:
    async with at_work(world):
        await world.client.start("chain", {"value": 1}, run_id=RunId(workflow_id("later")))
        with pytest.raises(RunRejected, match="that of a run"):
            await world.register("later", CHAIN)
        with pytest.raises(RunRejected, match="that of a run"):
            await world.client.start("later", {"value": 1})


async def test_a_history_that_cannot_be_read_is_refused_and_stops_nobody(world: World) -> None:
    run_id = new_run_id()
    event = RunStarted(workflow="unheard-of", workflow_version=1, definition_digest="")
    world.store.append(
        [seal(run_id, 1, event, at=utc_now(), by="test", cause="test", previous=NO_DIGEST)]
    )
    async with at_work(world):
        with pytest.raises(RunRejected, match="cannot be loaded"):
            await world.client.start("chain", {"value": 1}, run_id=run_id)


async def test_an_agent_whose_name_fits_into_no_subject_gets_no_task(world: World) -> None:
    card = AgentCard(agent="No Token", capabilities=(CapabilityCard(name="add"),))
    async with at_work(world):
        await world.bus.bucket(world.subjects.agents_bucket).put("card.wild", encode(card))
        accepted = await world.client.start("chain", {"value": 1})
        assert world.kinds(accepted.run_id)[-1] == "task-parked"


@pytest.mark.parametrize("reply_to", ["two words", ">", "", "x" * 5_000, "$JS.API.INFO"])
async def test_nobody_is_answered_where_no_answer_belongs(world: World, reply_to: str) -> None:
    run_id = new_run_id()
    body = encode(StartRun(run_id=run_id, workflow="chain", input={"value": 1}))
    async with at_work(world):
        headers = {MESSAGE_ID: "m", REPLY_TO: reply_to}
        await world.bus.store([Outgoing(world.subjects.request(run_id), body, headers)])
    assert world.history(run_id) == []


async def test_who_asks_for_what_cannot_be_understood_is_told_so(world: World) -> None:
    async with at_work(world), world.bus.listen("_INBOX.mine") as heard:
        headers = {MESSAGE_ID: "m", REPLY_TO: "_INBOX.mine"}
        subject = world.subjects.request(new_run_id())
        await world.bus.store([Outgoing(subject, b"no message", headers)])
        answer = await anext(heard)
        assert answer.headers[REQUEST_ID] == "m"
        assert Rejected.model_validate_json(answer.body).reasons


async def test_a_number_that_json_holds_only_roughly_travels_in_a_large_value(
    world: World,
) -> None:
    run_id = new_run_id()
    large = {"value": 10**40, "text": "x" * 100_000}
    body = encode(StartRun(run_id=run_id, workflow="chain", input=large))
    async with at_work(world), world.worker(adder()):
        await world.bus.store([Outgoing(world.subjects.request(run_id), body)])
        ended = await world.result(run_id)
        assert ended.status == "completed"


async def test_what_cannot_be_stored_by_reference_goes_out_when_it_can(world: World) -> None:
    world.settings = world.settings.model_copy(update={"sweep_seconds": 0.1})
    _block(world.settings.artifacts_url)
    run_id = new_run_id()
    start = StartRun(run_id=run_id, workflow="chain", input={"value": 1, "text": "x" * 100_000})
    async with at_work(world):
        async with world.worker(adder()):
            await world.until_known("adder")
        await world.bus.store([Outgoing(world.subjects.request(run_id), encode(start))])
        await world.until_recorded(run_id, "task-assigned")
        await others_go_on(world)
        _unblock(world.settings.artifacts_url)
        async with world.worker(adder()):
            ended = await world.result(run_id)
        assert ended.status == "completed"


async def test_a_report_on_a_run_that_has_ended_is_ignored_without_a_look_into_its_history(
    world: World,
) -> None:
    async with at_work(world) as orchestrator:
        async with world.worker(adder()):
            accepted = await world.client.start("chain", {"value": 1})
            await world.result(accepted.run_id)
        before = orchestrator.pipeline.ignored
        late = CompletedReport(
            run_id=accepted.run_id, task_id="one", attempt=1, agent="adder", replica="x"
        )
        subject = world.subjects.report("adder", accepted.run_id)
        await world.bus.store([Outgoing(subject, encode(late))])
        await until(lambda: orchestrator.pipeline.ignored > before)
        assert orchestrator.pipeline.runs.has_ended(accepted.run_id)


async def test_a_decision_that_cannot_be_stored_is_kept_to_its_run_and_counts_nothing(
    world: World,
) -> None:
    output: Json = "${ input.deep }"
    for _ in range(62):  # deeper than this no definition may be, nor any message than 200
        output = {"v": output}
    deep: Json = 1
    for _ in range(195):
        deep = [deep]
    run_id = new_run_id()
    start = StartRun(run_id=run_id, workflow="deep", input={"value": 1, "deep": deep})
    report = CompletedReport(
        run_id=run_id, task_id="one", attempt=1, agent="adder", replica="x", output=1
    )
    async with at_work(world) as orchestrator:
        async with world.worker(adder()):
            await world.until_known("adder")
        await world.register("deep", {"one": {"capability": "add", "input": 1}}, output=output)
        await world.bus.store([Outgoing(world.subjects.request(run_id), encode(start))])
        await world.until_recorded(run_id, "task-assigned")
        (agent,) = orchestrator.directory.capable("add")
        assert agent.open_attempts == 1
        await world.bus.store([Outgoing(world.subjects.report("adder", run_id), encode(report))])
        assert await dead_letter(world)
        assert agent.open_attempts == 1
        assert world.kinds(run_id) == ["run-started", "task-assigned"]
        await world.client.cancel(run_id)


async def test_an_attempt_that_fails_with_an_absurd_wish_is_tried_again(world: World) -> None:
    async with at_work(world):
        async with world.worker(adder()):
            await world.until_known("adder")
        accepted = await world.client.start("chain", {"value": 1})
        report = FailedReport(
            run_id=accepted.run_id,
            task_id="one",
            attempt=1,
            agent="adder",
            replica="x",
            error=Failure(code="x", message="milliseconds for seconds"),
            retryable=True,
            retry_after_seconds=1.7e12,
        )
        subject = world.subjects.report("adder", accepted.run_id)
        await world.bus.store([Outgoing(subject, encode(report))])
        await world.until_recorded(accepted.run_id, "retry-scheduled")


async def dead_letter(world: World) -> str:
    """Why something was set aside, as soon as something is."""
    stream = dead_letters(world.subjects)
    consumer = Consumer(stream=stream, name="test", patterns=stream.subjects, ack_wait_seconds=30)
    async with asyncio.timeout(SECONDS_MAX), world.bus.pull([consumer], ahead=10) as pull:
        (delivery, *_) = await pull.batch(limit=10)
        return DeadLetter.model_validate_json(delivery.body).reason


def _block(folder: str) -> None:
    """Nothing can be put here any more."""
    shutil.rmtree(folder, ignore_errors=True)
    Path(folder).write_text("no folder")


def _unblock(folder: str) -> None:
    Path(folder).unlink()
