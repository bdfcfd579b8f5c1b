"""Agents that talk while they work, over a real server."""

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel

from dalsegno_agents import Agent, Handoff, QuestionFailed, TaskContext
from dalsegno_bus.bus import Outgoing
from dalsegno_bus.clock import utc_now
from dalsegno_bus.codec import encode
from dalsegno_bus.messages import (
    CancelAttempt,
    CompletedReport,
    DrainAgent,
    Drained,
    FailedReport,
    HandoffReport,
    HeartbeatReport,
    Output,
    QuestionAnswered,
    QuestionReport,
)
from tests.integration.agents.conftest import SECONDS_MAX, Theatre, joined, until

pytestmark = pytest.mark.slow


class Text(BaseModel):
    text: str = ""


def doing(function: Any, name: str = "scribe", capability: str = "text.do") -> Agent[None]:
    agent = Agent(name)
    agent.handles(capability)(function)
    return agent


async def answer(theatre: Theatre, question: QuestionReport, output: object) -> None:
    """Answer a question, as the orchestrator does."""
    answered = QuestionAnswered(
        run_id=question.run_id,
        task_id=question.task_id,
        question=question.question,
        output=output,
    )
    subject = theatre.subjects.live_task(question.run_id, question.task_id)
    await theatre.bus.tell(Outgoing(subject, encode(answered)))


async def order(theatre: Theatre, message: CancelAttempt | DrainAgent) -> None:
    """Tell all replicas."""
    await theatre.bus.tell(Outgoing(theatre.subjects.control("scribe"), encode(message)))


async def asks(text: Text, context: TaskContext[None]) -> Any:
    return await context.ask("legal.opinion", text)


def asks_in_a_thread(text: Text, context: TaskContext[None]) -> Any:
    return context.ask_blocking("legal.opinion", text)


@pytest.mark.parametrize("function", [asks, asks_in_a_thread])
async def test_a_question_is_answered_even_if_an_answer_is_lost(
    theatre: Theatre, function: Any
) -> None:
    async with joined(theatre, doing(function)):
        await theatre.command("text.do", "may we?")
        first = await theatre.report()  # and nobody answers
        second = await theatre.report()
        await answer(theatre, second, {"verdict": "yes"})
        report = await theatre.report()

    assert first == second
    assert isinstance(report, CompletedReport)
    assert report.output == {"verdict": "yes"}


async def test_an_agent_answers_another_one_live(theatre: Theatre) -> None:
    async def shout(text: Text, context: TaskContext[None]) -> Text:
        del context
        return Text(text=text.text.upper())

    async def ask(text: Text, context: TaskContext[None]) -> Any:
        async with asyncio.timeout(SECONDS_MAX):
            while True:
                try:
                    return await context.ask_live("text.shout", text)
                except QuestionFailed:  # it is seen before it listens
                    await asyncio.sleep(0.1)

    async with joined(theatre, doing(shout, "shouter", "text.shout")), joined(theatre, doing(ask)):
        await theatre.command("text.do", "la")
        report = await theatre.report()

    assert report.output == {"text": "LA"}


async def test_with_nobody_there_a_live_question_fails_at_once(theatre: Theatre) -> None:
    async def ask(text: Text, context: TaskContext[None]) -> str:
        try:
            await context.ask_live("text.shout", text)
        except QuestionFailed as error:
            return error.reason_code
        return ""

    async with asyncio.timeout(SECONDS_MAX / 2), joined(theatre, doing(ask)):
        await theatre.command("text.do", "la")
        assert (await theatre.report()).output == "question.nobody"


async def test_pieces_and_heartbeats_leave_while_an_attempt_works(theatre: Theatre) -> None:
    gate = asyncio.Event()

    def tell(text: Text, context: TaskContext[None]) -> Text:
        for number in range(200):
            context.progress(number / 200, state=number)
            context.stream(number)
        asyncio.run_coroutine_threadsafe(gate.wait(), loop).result(SECONDS_MAX)
        return text

    loop = asyncio.get_running_loop()
    pieces: list[Output] = []
    subject = theatre.subjects.live_tasks(theatre.run_id)
    async with (
        asyncio.timeout(SECONDS_MAX),
        theatre.bus.listen(subject) as heard,
        joined(theatre, doing(tell)),
    ):
        await theatre.command("text.do", "la", heartbeat_seconds=0.6)
        async for message in heard:
            if b"output.v1" in message.body:
                pieces.append(Output.model_validate_json(message.body))
            if len(pieces) == 200:
                break
        beats = [await theatre.report()]
        while beats[-1].progress["state"] != 199:
            beats.append(await theatre.report())
        gate.set()
        done = await theatre.report()

    assert [piece.piece for piece in pieces] == [piece.number for piece in pieces]
    assert all(isinstance(beat, HeartbeatReport) for beat in beats)
    assert isinstance(done, CompletedReport)


async def test_a_task_is_handed_on(theatre: Theatre) -> None:
    async def hand_on(text: Text, context: TaskContext[None]) -> Handoff:
        del context
        return Handoff(capability="text.other", input=text)

    async with joined(theatre, doing(hand_on)):
        await theatre.command("text.do", "la")
        report = await theatre.report()

    assert isinstance(report, HandoffReport)
    assert report.input == {"text": "la"}


async def test_a_cancelled_attempt_tidies_up_within_its_grace(theatre: Theatre) -> None:
    begun, tidied = asyncio.Event(), asyncio.Event()

    async def wait(text: Text, context: TaskContext[None]) -> Text:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            context.spend(tokens=7)
            tidied.set()
        return text

    async with joined(theatre, doing(wait)):
        command = await theatre.command("text.do", "la")
        await begun.wait()
        cancel = CancelAttempt(
            run_id=command.run_id, task_id="a", attempt=1, grace_seconds=SECONDS_MAX
        )
        await order(theatre, cancel)
        report = await theatre.report()

    assert tidied.is_set()
    assert isinstance(report, FailedReport)
    assert (report.error.code, report.retryable) == ("task.cancelled", False)
    assert report.usage is not None
    assert report.usage.tokens == 7


async def test_drained_processes_finish_and_leave_and_new_ones_wait(theatre: Theatre) -> None:
    bucket = theatre.bus.bucket(theatre.subjects.agents_bucket)
    first, second = theatre.start(), theatre.start()
    await theatre.until_present(2)
    await theatre.command("text.wait")
    await until(lambda: bool(theatre.begun_by()))
    await bucket.put("drained.scribe", encode(Drained(agent="scribe", at=utc_now())))
    await order(theatre, DrainAgent(agent="scribe", reason="a new version"))
    theatre.gate.touch()
    report = await theatre.report()
    ends = [await theatre.ended(process) for process in (first, second)]

    assert isinstance(report, CompletedReport)
    assert [exit_code for exit_code, _ in ends] == [0, 0]
    assert all("agent.told_to_drain" in said for _, said in ends)
    assert await theatre.presences() == []

    theatre.start()
    await theatre.until_present(1)
    await theatre.until_draining()
    await theatre.command("text.echo", "la", task_id="b")
    await bucket.delete("drained.scribe")
    assert (await theatre.report()).task_id == "b"
