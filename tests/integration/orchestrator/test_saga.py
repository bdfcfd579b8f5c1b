"""The saga at work: real orchestrator, real workers, real store; in memory and over NATS."""

import asyncio
from dataclasses import replace
from itertools import pairwise

import pytest
from pydantic import BaseModel

from dalsegno_agents import Agent, TaskContext, TaskRetry
from dalsegno_bus.bus import Outgoing
from dalsegno_bus.codec import encode
from dalsegno_bus.errors import RunRejected
from dalsegno_bus.ids import RunId
from dalsegno_bus.messages import CompletedReport
from dalsegno_bus.topology import Consumer, agent_consumer
from dalsegno_orchestrator.history import seal
from dalsegno_orchestrator.workflow.events import RunStarted, SignalReceived, TaskCompleted
from support.world import ACK_WAIT_SECONDS, SECONDS_MAX, World, until


class Number(BaseModel):
    value: int


def adder(name: str = "adder", *, fail_first: int = 0) -> Agent[None]:
    """An agent that adds one, after so many failures."""
    agent: Agent[None] = Agent(name, deps=None, concurrency=8)
    failures = [fail_first]

    @agent.handles("add")
    async def add(number: Number, context: TaskContext[None]) -> Number:
        del context
        if failures[0]:
            failures[0] -= 1
            raise TaskRetry("not yet", after_seconds=0)
        return Number(value=number.value + 1)

    return agent


CHAIN = {
    "one": {"capability": "add", "input": "${ input }"},
    "two": {"capability": "add", "input": "${ tasks.one }"},
}
FAST_RETRY = {"max_attempts": 3, "delay": "10ms", "jitter": 0}


async def test_a_chain_runs_to_its_end_and_every_step_is_in_the_history(world: World) -> None:
    async with world.orchestrator(), world.worker(adder()):
        await world.register("chain", CHAIN, output="${ tasks.two.value }")
        accepted = await world.client.start("chain", {"value": 1})
        ended = await world.result(accepted.run_id)
    assert (ended.status, ended.output) == ("completed", 3)
    assert world.kinds(accepted.run_id) == [
        "run-started",
        "task-assigned",
        "task-completed",
        "task-assigned",
        "task-completed",
        "run-completed",
    ]


async def test_every_event_says_who_and_why_and_is_chained_to_the_one_before(world: World) -> None:
    async with world.orchestrator(), world.worker(adder()):
        await world.register("chain", CHAIN)
        accepted = await world.client.start("chain", {"value": 1}, requested_by="ada")
        await world.result(accepted.run_id)
    history = world.history(accepted.run_id)
    assert history[0].by == "client:ada"
    completed = next(r for r in history if isinstance(r.event, TaskCompleted))
    assert completed.by.startswith("agent:adder/")
    assert all(recorded.cause for recorded in history)
    for before, after in pairwise(history):
        assert after.previous == before.digest


async def test_accepted_means_that_it_is_in_the_event_store(world: World) -> None:
    async with world.orchestrator():
        await world.register("chain", CHAIN)
        accepted = await world.client.start("chain", {"value": 1})
        assert isinstance(world.history(accepted.run_id)[0].event, RunStarted)


async def test_a_repeated_start_is_the_same_run(world: World) -> None:
    async with world.orchestrator(), world.worker(adder()):
        await world.register("chain", CHAIN)
        first = await world.client.start("chain", {"value": 1}, key="monday")
        again = await world.client.start("chain", {"value": 1}, key="monday")
        await world.result(first.run_id)
        after = await world.client.start("chain", {"value": 1}, key="monday")
    assert first.run_id == again.run_id == after.run_id
    assert after.status == "completed"
    assert world.kinds(first.run_id).count("run-started") == 1


async def test_what_cannot_start_is_refused_with_every_reason(world: World) -> None:
    async with world.orchestrator():
        with pytest.raises(RunRejected, match="no workflow 'nothing' is registered"):
            await world.client.start("nothing", {})
        schema = {"type": "object", "required": ["value"]}
        await world.register("strict", CHAIN, input=schema)
        with pytest.raises(RunRejected, match="value"):
            await world.client.start("strict", {"other": 1})
        with pytest.raises(RunRejected, match="no version 7"):
            await world.client.start("strict", {"value": 1}, version=7)


async def test_registering_again_is_the_same_version_and_another_content_is_refused(
    world: World,
) -> None:
    async with world.orchestrator():
        await world.register("chain", CHAIN)
        await world.register("chain", CHAIN)
        with pytest.raises(RunRejected, match="version 2"):
            await world.register("chain", {"one": {"capability": "other"}})


async def test_a_bad_definition_is_refused_with_all_its_faults(world: World) -> None:
    async with world.orchestrator():
        with pytest.raises(RunRejected) as caught:
            await world.register("bad", {"a": {"capability": "x", "after": ["b"], "tineout": 3}})
    assert len(caught.value.reasons) == 2


async def test_a_failing_task_is_tried_again_until_it_succeeds(world: World) -> None:
    async with world.orchestrator(), world.worker(adder(fail_first=2)):
        await world.register(
            "chain", {"one": {"capability": "add", "input": "${ input }", "retry": FAST_RETRY}}
        )
        accepted = await world.client.start("chain", {"value": 1})
        ended = await world.result(accepted.run_id)
    assert ended.status == "completed"
    assert world.kinds(accepted.run_id).count("task-failed") == 2


async def test_an_input_that_no_model_fits_fails_for_good_and_names_the_field(
    world: World,
) -> None:
    async with world.orchestrator(), world.worker(adder()):
        await world.register("chain", CHAIN)
        accepted = await world.client.start("chain", {"value": "many"})
        ended = await world.result(accepted.run_id)
    assert ended.status == "failed"
    assert ended.error is not None
    assert "value" in ended.error.message
    assert world.kinds(accepted.run_id).count("task-assigned") == 1


async def test_a_task_waits_visibly_for_an_agent_and_goes_on_when_one_joins(world: World) -> None:
    async with world.orchestrator():
        await world.register("chain", CHAIN)
        accepted = await world.client.start("chain", {"value": 1})
        assert world.kinds(accepted.run_id)[-1] == "task-parked"
        async with world.worker(adder()):
            ended = await world.result(accepted.run_id)
    assert ended.status == "completed"


async def test_a_new_orchestrator_goes_on_where_the_last_one_fell(world: World) -> None:
    async with world.worker(adder()):
        async with world.orchestrator():
            await world.register(
                "pause", {"ok": {"wait": {"signal": "go"}}, **CHAIN}, output="${ tasks.two.value }"
            )
            accepted = await world.client.start("pause", {"value": 1})
            await world.until_recorded(accepted.run_id, "task-completed", 2)
        async with world.orchestrator():
            await world.client.signal(accepted.run_id, "go")
            ended = await world.result(accepted.run_id)
    assert ended.output == 3


async def test_messages_sent_while_no_orchestrator_runs_are_not_lost(world: World) -> None:
    release = asyncio.Event()
    slow: Agent[None] = Agent("slow", deps=None)

    @slow.handles("add")
    async def add(number: Number, context: TaskContext[None]) -> Number:
        del context
        await release.wait()
        return Number(value=number.value + 1)

    async with world.worker(slow):
        async with world.orchestrator():
            await world.register("chain", CHAIN)
            accepted = await world.client.start("chain", {"value": 1})
            await world.until_recorded(accepted.run_id, "task-assigned")
        release.set()
        async with world.orchestrator():
            ended = await world.result(accepted.run_id)
    assert ended.status == "completed"


async def test_tasks_of_an_agent_that_died_go_to_another(world: World) -> None:
    stuck: Agent[None] = Agent("a-stuck", deps=None)

    @stuck.handles("add")
    async def never(number: Number, context: TaskContext[None]) -> Number:
        del number, context
        await asyncio.Event().wait()
        raise AssertionError

    async with world.orchestrator():
        await world.register("chain", CHAIN)
        async with world.worker(stuck):
            accepted = await world.client.start("chain", {"value": 1})
            await world.until_recorded(accepted.run_id, "task-assigned")
        async with world.worker(adder("b-well")):
            ended = await world.result(accepted.run_id)
    assert ended.status == "completed"
    assert "task-rerouted" in world.kinds(accepted.run_id)


@pytest.mark.parametrize("reported", [True, False])
async def test_what_came_again_is_worked_only_if_nobody_has_its_report(
    world: World, *, reported: bool
) -> None:
    """A replica dies after its report was stored, or before, and could not acknowledge."""
    worked: list[int] = []
    agent: Agent[None] = Agent("adder", deps=None)

    @agent.handles("add")
    async def add(number: Number, context: TaskContext[None]) -> Number:
        del context
        worked.append(number.value)
        return Number(value=number.value + 1)

    consumer = replace(agent_consumer(world.subjects, "adder"), ack_wait_seconds=ACK_WAIT_SECONDS)
    async with world.orchestrator():
        await world.register("one", {"one": CHAIN["one"]}, output="${ tasks.one.value }")
        async with world.worker(agent):
            await world.until_known("adder")
        accepted = await world.client.start("one", {"value": 1})
        await _die_with_it(world, consumer, accepted.run_id, reported=reported)
        async with world.worker(agent) as worker:
            ended = await world.result(accepted.run_id)
            await until(lambda: worker.tally.answered == 1)
    assert ended.output == (99 if reported else 2)
    assert worked == ([] if reported else [1])


async def _die_with_it(world: World, consumer: Consumer, run_id: RunId, *, reported: bool) -> None:
    """Take the attempt as a replica does, report on it or not, and never acknowledge."""
    async with asyncio.timeout(SECONDS_MAX), world.bus.pull([consumer], ahead=1) as pull:
        await pull.batch(limit=1)
        if not reported:
            return
        report = CompletedReport(
            run_id=run_id,
            task_id="one",
            attempt=1,
            agent="adder",
            replica="x",
            output={"value": 99},
        )
        await world.bus.store([Outgoing(world.subjects.report("adder", run_id), encode(report))])
        await world.until_recorded(run_id, "task-completed")


async def test_a_large_value_travels_by_reference_and_arrives_whole(world: World) -> None:
    class Text(BaseModel):
        text: str
        size: int = 0

    big: Agent[None] = Agent("big", deps=None)

    @big.handles("grow")
    async def grow(text: Text, context: TaskContext[None]) -> Text:
        del context
        return Text(text=text.text * 2, size=len(text.text))

    tasks = {
        "one": {"capability": "grow", "input": "${ input }"},
        "two": {"capability": "grow", "input": "${ tasks.one }", "when": "${ tasks.one.size > 5 }"},
    }
    async with world.orchestrator(), world.worker(big):
        await world.register("grow", tasks, output="${ tasks.two.size }")
        accepted = await world.client.start("grow", {"text": "x" * 100_000})
        ended = await world.result(accepted.run_id)
    assert ended.output == 200_000
    assert all(len(encode(r.event)) < 20_000 for r in world.history(accepted.run_id))


async def test_cancelling_ends_a_run_and_its_queued_attempts_are_taken_back(world: World) -> None:
    async with world.orchestrator():
        await world.register("chain", CHAIN, cancel_grace="100ms")
        async with world.worker(adder()):
            await world.until_known("adder")
        accepted = await world.client.start("chain", {"value": 1})
        await world.until_recorded(accepted.run_id, "task-assigned")
        await world.client.cancel(accepted.run_id, reason="enough")
        ended = await world.result(accepted.run_id)
        assert ended.status == "cancelled"
        with pytest.raises(RunRejected, match="nothing waits"):
            await world.client.signal(accepted.run_id, "late")


async def test_a_signal_that_is_sent_twice_counts_once(world: World) -> None:
    async with world.orchestrator():
        await world.register(
            "wait", {"a": {"wait": {"signal": "go"}}, "b": {"wait": {"signal": "x"}}}
        )
        accepted = await world.client.start("wait")
        await world.client.signal(accepted.run_id, "go", {"n": 1})
        await world.client.signal(accepted.run_id, "x")
        await world.result(accepted.run_id)
    signals = [r for r in world.history(accepted.run_id) if isinstance(r.event, SignalReceived)]
    assert len(signals) == 2


async def test_a_writer_from_elsewhere_makes_the_batch_be_decided_again(world: World) -> None:
    async with world.orchestrator():
        await world.register("wait", {"a": {"wait": {"signal": "go"}}})
        accepted = await world.client.start("wait")
        last = world.history(accepted.run_id)[-1]
        foreign = SignalReceived(signal="other", message_id="elsewhere")
        world.store.append(
            [
                seal(
                    accepted.run_id,
                    last.version + 1,
                    foreign,
                    at=last.at,
                    by="test",
                    cause="test",
                    previous=last.digest,
                )
            ]
        )
        await world.client.signal(accepted.run_id, "go")
        ended = await world.result(accepted.run_id)
    assert ended.status == "completed"
    assert world.kinds(accepted.run_id).count("signal-received") == 2


async def test_a_paused_run_goes_on_where_it_stood_also_with_another_orchestrator(
    world: World,
) -> None:
    tasks = {"ok": {"wait": {"signal": "go"}}, "one": {**CHAIN["one"], "after": ["ok"]}}
    async with world.worker(adder()):
        async with world.orchestrator():
            await world.register("gate", tasks, output="${ tasks.one.value }")
            accepted = await world.client.start("gate", {"value": 1})
            paused = await world.client.pause(accepted.run_id, "a look first", requested_by="ada")
            await world.client.signal(accepted.run_id, "go")
        async with world.orchestrator():
            resumed = await world.client.resume(accepted.run_id)
            ended = await world.result(accepted.run_id)
            with pytest.raises(RunRejected, match="nothing can be changed"):
                await world.client.pause(accepted.run_id)
    assert (paused.status, resumed.status, ended.output) == ("paused", "running", 2)
    kinds = world.kinds(accepted.run_id)
    assert kinds.index("run-resumed") < kinds.index("task-assigned")
    told = next(r for r in world.history(accepted.run_id) if r.event.kind == "run-paused.v1")
    assert told.by == "client:ada"
