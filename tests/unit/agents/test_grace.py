"""Attempts that are cancelled, and granted time to put things in order."""

import asyncio
import threading
from contextlib import suppress
from typing import Any

from dalsegno_agents import Agent, Handoff, TaskContext, TaskRetry
from dalsegno_bus.messages import CompletedReport, FailedReport, HandoffReport, TaskCommand
from tests.unit.agents.conftest import Scribe, Stage, Text, failure, until

LONG = 60.0


class Interrupted:
    """An agent whose handler waits, and ends as `ending` says once it is cancelled."""

    def __init__(self, ending: Any) -> None:
        self.agent = Agent("scribe")
        self.begun = 0
        self._ending = ending
        self.agent.handles("text.wait")(self.wait)
        self.agent.handles("text.echo")(self.echo)

    async def wait(self, text: Text, context: TaskContext[None]) -> Text | Handoff:
        del text
        self.begun += 1
        context.spend(tokens=7)
        try:
            await asyncio.Event().wait()
        finally:
            assert context.cancelled
            ended = await self._ending()
        return ended

    async def echo(self, text: Text, context: TaskContext[None]) -> Text:
        del context
        return text


async def begin(stage: Stage, agent: Interrupted, **more: Any) -> TaskCommand:
    command = await stage.command("text.wait", **more)
    await until(lambda: agent.begun == 1)
    return command


async def test_a_cancelled_attempt_says_what_it_spent(stage: Stage) -> None:
    async def tidy() -> None:
        await asyncio.sleep(0)

    agent = Interrupted(tidy)
    async with stage.worker(agent.agent):
        command = await begin(stage, agent)
        await stage.cancel(command, grace_seconds=LONG, reason="the run was cancelled")
        report = await stage.report()
        await stage.settled()

    assert failure(report) == ("task.cancelled", False)
    assert report.error.message == "cancelled: the run was cancelled"
    assert report.usage.tokens == 7


async def test_a_value_that_comes_within_the_grace_is_reported(stage: Stage) -> None:
    agent = Agent("scribe")
    begun = asyncio.Event()

    @agent.handles("text.wait")
    async def wait(text: Text, context: TaskContext[None]) -> Text:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            context.share("half", 0.5)
        return text

    async with stage.worker(agent):
        command = await stage.command("text.wait", {"text": "half"})
        await begun.wait()
        await stage.cancel(command, grace_seconds=LONG)
        shared, report = await stage.reports(2)
        await stage.settled()

    assert shared.key == "half"
    assert isinstance(report, CompletedReport)
    assert report.output == {"text": "half"}


async def test_a_handoff_that_comes_within_the_grace_is_reported(stage: Stage) -> None:
    agent = Agent("scribe")
    begun = asyncio.Event()

    @agent.handles("text.wait")
    async def wait(text: Text, context: TaskContext[None]) -> Handoff:
        del context
        begun.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return Handoff(capability="text.other", input=text)

    async with stage.worker(agent):
        command = await stage.command("text.wait")
        await begun.wait()
        await stage.cancel(command, grace_seconds=LONG)
        assert isinstance(await stage.report(), HandoffReport)


async def test_whatever_else_a_cancelled_attempt_ends_with_is_final(stage: Stage) -> None:
    async def stumble() -> None:
        raise TaskRetry("the file is locked")

    agent = Interrupted(stumble)
    async with stage.worker(agent.agent):
        command = await begin(stage, agent)
        await stage.cancel(command, grace_seconds=LONG)
        report = await stage.report()

    assert failure(report) == ("task.cancelled", False)
    assert "the file is locked" in report.error.message


async def test_after_the_grace_an_attempt_is_let_go(stage: Stage) -> None:
    gate = asyncio.Event()

    async def dawdle() -> None:
        while not gate.is_set():
            with suppress(asyncio.CancelledError):
                await gate.wait()

    agent = Interrupted(dawdle)
    async with stage.worker(agent.agent) as worker:
        command = await begin(stage, agent)
        await stage.cancel(command, grace_seconds=0.02)
        report = await stage.report()
        await stage.settled()
        gate.set()
        await stage.command("text.echo", task_id="b")
        assert (await stage.report()).task_id == "b"

    assert failure(report) == ("task.cancelled", False)
    assert report.usage.tokens == 7
    assert worker.tally.answered == 2
    assert not stage.held("T_INBOX")


async def test_a_plain_function_sees_that_it_is_cancelled(stage: Stage) -> None:
    agent = Agent("scribe")
    begun, seen = threading.Event(), threading.Event()

    @agent.handles("text.wait")
    def wait(text: Text, context: TaskContext[None]) -> Text:
        assert not context.cancelled
        begun.set()
        while not context.cancelled:
            seen.wait(0.001)
        return text

    async with stage.worker(agent) as worker:
        command = await stage.command("text.wait", {"text": "half"})
        await until(begun.is_set)
        await stage.cancel(command, grace_seconds=LONG)
        report = await stage.report()
        assert worker.threads.abandoned_ever == 0

    assert isinstance(report, CompletedReport)
    assert report.output == {"text": "half"}


async def test_after_the_grace_a_thread_is_abandoned(stage: Stage) -> None:
    agent = Agent("scribe")
    begun, gate = threading.Event(), threading.Event()

    @agent.handles("text.wait")
    def wait(text: Text, context: TaskContext[None]) -> Text:
        del context
        begun.set()
        gate.wait(10.0)
        return text

    async with stage.worker(agent) as worker:
        command = await stage.command("text.wait")
        await until(begun.is_set)
        await stage.cancel(command, grace_seconds=0.02)
        report = await stage.report()
        assert worker.threads.abandoned == 1
        gate.set()
        await until(lambda: worker.threads.abandoned == 0)
        await stage.settled()

    assert failure(report) == ("task.cancelled", False)
    assert not stage.held("T_INBOX")


async def test_a_cancelled_attempt_that_comes_again_is_answered_and_not_begun(
    stage: Stage,
) -> None:
    async def tidy() -> None:
        await asyncio.sleep(0)

    agent = Interrupted(tidy)
    async with stage.worker(agent.agent):
        command = await begin(stage, agent)
        await stage.cancel(command, grace_seconds=LONG)
        first = await stage.report()
        await stage.settled()
        await stage.publish(command)
        second = await stage.report()

    assert first == second
    assert agent.begun == 1


async def test_an_attempt_that_was_cancelled_before_it_came_is_answered_at_once(
    stage: Stage,
) -> None:
    scribe = Scribe()
    async with stage.worker(scribe.agent) as worker:
        await stage.command("text.wait", task_id="first")
        await until(lambda: scribe.at_work == 1)
        command = await stage.command("text.wait", task_id="second")
        await stage.cancel(command, grace_seconds=LONG)
        await until(lambda: worker.tally.cancelled == 1)
        scribe.gate.set()
        reports = await stage.reports(2)

    assert scribe.worked == ["first"]
    assert [report.task_id for report in reports] == ["first", "second"]
    assert failure(reports[1]) == ("task.cancelled", False)


async def test_a_second_cancellation_changes_nothing(stage: Stage) -> None:
    gate = asyncio.Event()
    agent = Interrupted(gate.wait)
    async with stage.worker(agent.agent) as worker:
        command = await begin(stage, agent)
        await stage.cancel(command, grace_seconds=LONG)
        await stage.cancel(command, grace_seconds=LONG)
        await until(lambda: worker.tally.cancelled == 2)
        gate.set()
        report = await stage.report()
        await stage.settled()

    assert isinstance(report, FailedReport)
    assert not stage.held("T_INBOX")


async def test_a_cancellation_without_a_grace_ends_one_with_it(stage: Stage) -> None:
    agent = Interrupted(asyncio.Event().wait)
    async with stage.worker(agent.agent):
        command = await begin(stage, agent)
        await stage.cancel(command, grace_seconds=LONG)
        await stage.cancel(command)
        await stage.settled()

    assert not stage.held("T_INBOX")


async def test_a_replica_that_stops_reports_what_is_in_its_grace(stage: Stage) -> None:
    agent = Interrupted(asyncio.Event().wait)
    async with stage.worker(agent.agent, drain_seconds=0.02) as worker:
        command = await begin(stage, agent)
        await stage.cancel(command, grace_seconds=LONG)
        await until(lambda: worker.tally.cancelled == 1)

    assert failure(await stage.report()) == ("task.cancelled", False)
    assert worker.tally.returned == 0


async def test_being_stopped_is_no_cancellation(stage: Stage) -> None:
    agent = Agent("scribe")
    begun = asyncio.Event()

    @agent.handles("text.wait")
    async def wait(text: Text, context: TaskContext[None]) -> Text:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            assert not context.cancelled
            raise TaskRetry("interrupted") from error
        return text

    async with stage.worker(agent, drain_seconds=0.02):
        await stage.command("text.wait")
        await begun.wait()

    assert failure(await stage.report()) == ("task.retry", True)
