"""Questions to another agent, through the saga."""

import asyncio
import hashlib
import threading
from typing import Any

import pytest

from dalsegno_agents import Agent, QuestionFailed, TaskContext
from dalsegno_agents.questions import question_of
from dalsegno_bus.artifacts import check_in, check_out, is_claim
from dalsegno_bus.messages import CompletedReport, Failure, QuestionReport
from tests.unit.agents.conftest import Stage, Text, failure, until


async def asks(text: Text, context: TaskContext[None]) -> Any:
    return await context.ask("legal.opinion", text, timeout=60.0)


def asks_in_a_thread(text: Text, context: TaskContext[None]) -> Any:
    return context.ask_blocking("legal.opinion", text, timeout=60.0)


def asking(function: Any) -> Agent[None]:
    agent = Agent("scribe")
    agent.handles("text.do")(function)
    return agent


@pytest.mark.parametrize("function", [asks, asks_in_a_thread])
async def test_a_question_goes_to_the_inbox_and_its_answer_comes_back(
    stage: Stage, function: Any
) -> None:
    async with stage.worker(asking(function)):
        await stage.command("text.do", {"text": "may we?"})
        question = await stage.report()
        await stage.answer(question, {"verdict": "yes"})
        report = await stage.report()
        await stage.settled()

    assert isinstance(question, QuestionReport)
    assert (question.capability, question.input) == ("legal.opinion", {"text": "may we?"})
    assert question.timeout_seconds == 60.0
    assert isinstance(report, CompletedReport)
    assert report.output == {"verdict": "yes"}


def test_the_id_of_a_question_follows_from_what_is_asked() -> None:
    canonical = b'["legal.opinion",{"a":[1,2.5],"b":null}]'

    assert (
        question_of("legal.opinion", {"b": None, "a": [1, 2.5]})
        == (hashlib.sha256(canonical).hexdigest()[:16])
    )


async def test_the_next_attempt_asks_the_same_question(stage: Stage) -> None:
    async with stage.worker(asking(asks)):
        await stage.command("text.do", {"text": "x" * 100_000})
        first = await stage.report()
        await stage.answer(first, error=Failure(code="task.timeout", message="too late"))
        await stage.report()
        await stage.command("text.do", {"text": "x" * 100_000}, attempt=2)
        second = await stage.report()
        await stage.answer(second, 1)
        await stage.report()

    assert first.question == second.question
    assert is_claim(first.input["text"])
    assert check_out(first.input, stage.artifacts) == {"text": "x" * 100_000}


async def test_a_large_answer_comes_back_whole(stage: Stage) -> None:
    async def measure(text: Text, context: TaskContext[None]) -> int:
        return len((await context.ask("legal.opinion", text))["pages"])

    async with stage.worker(asking(measure)):
        await stage.command("text.do")
        small = check_in({"pages": "x" * 100_000}, stage.artifacts)
        await stage.answer(await stage.report(), small)
        report = await stage.report()

    assert report.output == 100_000


async def test_a_question_is_sent_again_until_it_is_answered(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dalsegno_agents.questions.RESEND_SECONDS_MIN", 0.01)
    monkeypatch.setattr("dalsegno_agents.questions.RESEND_SECONDS_MAX", 0.02)
    async with stage.worker(asking(asks)):
        await stage.command("text.do")
        first, second, third = await stage.reports(3)
        await stage.answer(third, 1)
        await until(lambda: not stage.held("T_TASKS"))

    assert first == second == third


async def test_a_question_that_the_inbox_refuses_is_sent_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dalsegno_agents.questions.RESEND_SECONDS_MIN", 0.01)
    begun = asyncio.Event()

    async def ask(text: Text, context: TaskContext[None]) -> Any:
        stage.fill_inbox(full=True)
        begun.set()
        return await context.ask("legal.opinion", text)

    async with stage.worker(asking(ask)):
        await stage.command("text.do")
        await begun.wait()
        await asyncio.sleep(0.02)
        stage.fill_inbox(full=False)
        await stage.answer(await stage.report(), 1)
        await stage.settled()


async def test_answers_to_other_questions_and_live_words_are_no_answers(stage: Stage) -> None:
    async def ask(text: Text, context: TaskContext[None]) -> Any:
        context.stream("question-answered.v1")
        return await context.ask("legal.opinion", text)

    async with stage.worker(asking(ask)):
        await stage.command("text.do")
        question = await stage.report()
        await stage.answer(question.model_copy(update={"question": "0" * 16}), "wrong")
        await stage.answer(question, "right")
        report = await stage.report()

    assert report.output == "right"


@pytest.mark.parametrize("function", [asks, asks_in_a_thread])
async def test_a_question_that_fails_fails_its_attempt_as_retryable(
    stage: Stage, function: Any
) -> None:
    error = Failure(code="law.none", message="there is no such law", detail={"law": 7})
    async with stage.worker(asking(function)):
        await stage.command("text.do")
        await stage.answer(await stage.report(), error=error)
        report = await stage.report()

    assert failure(report) == ("task.question", True)
    assert report.error.message == "there is no such law"
    assert report.error.detail == {"code": "law.none", "detail": {"law": 7}}


async def test_a_question_that_fails_may_be_caught(stage: Stage) -> None:
    async def ask(text: Text, context: TaskContext[None]) -> str:
        try:
            return await context.ask("legal.opinion", text, timeout=0.02)
        except QuestionFailed as error:
            return f"{error.reason_code}: {error}"

    async with stage.worker(asking(ask)):
        await stage.command("text.do")
        _, report = await stage.reports(2)

    assert report.output.startswith("question.timeout: the question to 'legal.opinion' was not")


@pytest.mark.parametrize("function", [asks, asks_in_a_thread])
async def test_the_wait_counts_in_the_attempts_timeout(stage: Stage, function: Any) -> None:
    async with stage.worker(asking(function)) as worker:
        await stage.command("text.do", timeout_seconds=0.05)
        _, report = await stage.reports(2)
        await until(lambda: worker.threads.abandoned == 0)

    assert failure(report) == ("task.timeout", True)


async def test_a_replica_works_on_others_while_one_waits_for_an_answer(stage: Stage) -> None:
    agent = Agent("scribe", concurrency=2)
    agent.handles("text.do")(asks)

    @agent.handles("text.echo")
    async def echo(text: Text, context: TaskContext[None]) -> Text:
        del context
        return text

    async with stage.worker(agent):
        await stage.command("text.do")
        question = await stage.report()
        await stage.command("text.echo", task_id="b")
        assert (await stage.report()).task_id == "b"
        await stage.answer(question, 1)
        assert (await stage.report()).task_id == "a"


async def test_a_thread_that_waits_for_an_answer_hears_its_cancellation(stage: Stage) -> None:
    codes: list[str] = []

    def ask(text: Text, context: TaskContext[None]) -> Text:
        try:
            context.ask_blocking("legal.opinion")
        except QuestionFailed as error:
            codes.append(error.reason_code)
        return text

    async with stage.worker(asking(ask)):
        command = await stage.command("text.do")
        await stage.report()
        await stage.cancel(command, grace_seconds=60.0)
        report = await stage.report()

    assert codes == ["task.cancelled"]
    assert isinstance(report, CompletedReport)


async def test_an_abandoned_thread_can_ask_nobody(stage: Stage) -> None:
    gate, codes = threading.Event(), list[str]()

    def ask(text: Text, context: TaskContext[None]) -> Text:
        gate.wait(10.0)
        try:
            context.ask_blocking("legal.opinion")
        except QuestionFailed as error:
            codes.append(error.reason_code)
        return text

    async with stage.worker(asking(ask)):
        await stage.command("text.do", timeout_seconds=0.02)
        assert failure(await stage.report()) == ("task.timeout", True)
        gate.set()
        await until(lambda: bool(codes))

    assert codes == ["task.cancelled"]
    assert not stage.held("T_INBOX")


async def test_an_async_handler_is_kept_from_blocking(stage: Stage) -> None:
    async def ask(text: Text, context: TaskContext[None]) -> Any:
        return context.ask_blocking("legal.opinion", text)

    async with stage.worker(asking(ask)):
        await stage.command("text.do")
        report = await stage.report()

    assert "use `await context.ask(...)`" in report.error.message


@pytest.mark.parametrize(
    ("capability", "value", "seconds"), [("", 1, 1.0), ("a.b", object(), 1.0), ("a.b", 1, 0.0)]
)
async def test_what_cannot_be_asked_fails_where_it_is_asked(
    stage: Stage, capability: str, value: object, seconds: float
) -> None:
    async def ask(text: Text, context: TaskContext[None]) -> Any:
        del text
        return await context.ask(capability, value, timeout=seconds)

    async with stage.worker(asking(ask)):
        await stage.command("text.do")
        report = await stage.report()

    assert "UsageError" in report.error.message
