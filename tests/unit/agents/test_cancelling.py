"""Attempts that nobody waits for any more."""

import asyncio
from contextlib import suppress

from dalsegno_agents import Agent, TaskContext
from dalsegno_bus.bus import Outgoing
from dalsegno_bus.messages import CompletedReport
from tests.unit.agents.conftest import Scribe, Stage, Text, until


async def test_a_cancelled_attempt_stops_and_is_acknowledged_without_a_report(
    stage: Stage,
) -> None:
    scribe = Scribe()
    async with stage.worker(scribe.agent):
        command = await stage.command("text.wait")
        await until(lambda: scribe.at_work == 1)
        await stage.cancel(command)
        await stage.cancel(command)
        await stage.settled()
        await stage.command("text.echo", task_id="b")
        assert (await stage.report()).task_id == "b"

    assert scribe.at_work == 0


async def test_a_cancelled_attempt_that_comes_again_is_not_begun(stage: Stage) -> None:
    scribe = Scribe()
    async with stage.worker(scribe.agent):
        command = await stage.command("text.wait")
        await until(lambda: scribe.at_work == 1)
        await stage.cancel(command)
        await stage.settled()
        await stage.publish(command)
        await stage.settled()

    assert scribe.worked == ["a"]


async def test_a_cancellation_may_come_before_its_attempt(stage: Stage) -> None:
    scribe = Scribe(concurrency=1)
    async with stage.worker(scribe.agent) as worker:
        await stage.command("text.wait", task_id="first")
        await until(lambda: scribe.at_work == 1)
        command = await stage.command("text.wait", task_id="second")
        await stage.cancel(command)
        await until(lambda: worker.tally.cancelled == 1)
        scribe.gate.set()
        assert (await stage.report()).task_id == "first"
        await stage.settled()

    assert scribe.worked == ["first"]


async def test_a_cancellation_of_a_finished_attempt_does_not_undo_its_answer(
    stage: Stage,
) -> None:
    scribe = Scribe()
    async with stage.worker(scribe.agent):
        command = await stage.command("text.echo", {"text": "la"})
        first = await stage.report()
        await stage.settled()
        await stage.cancel(command)
        await stage.publish(command)
        second = await stage.report()

    assert first == second


async def test_a_handler_that_does_not_hear_its_cancellation_reports_nothing_either(
    stage: Stage,
) -> None:
    agent = Agent("scribe")
    begun: list[str] = []

    @agent.handles("text.stubborn")
    async def stubborn(text: Text, context: TaskContext[None]) -> Text:
        begun.append(context.task_id)
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return text

    async with stage.worker(agent):
        command = await stage.command("text.stubborn")
        await until(lambda: bool(begun))
        await stage.cancel(command)
        await stage.settled()

    assert not stage.held("T_INBOX")


async def test_what_is_no_cancellation_is_ignored(stage: Stage) -> None:
    scribe = Scribe()
    async with stage.worker(scribe.agent):
        await stage.bus.tell(Outgoing(stage.subjects.control("scribe"), b"stop!"))
        await stage.command("text.echo")
        report = await stage.report()

    assert isinstance(report, CompletedReport)
