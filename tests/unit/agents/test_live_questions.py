"""Questions from agent to agent, answered at once and recorded nowhere."""

import asyncio
from typing import Any

import pytest

from dalsegno_agents import Agent, Handoff, QuestionFailed, TaskContext, TaskRejected
from dalsegno_agents.worker import LIVE_QUESTIONS_MORE
from dalsegno_bus import codec
from dalsegno_bus.bus import Outgoing
from dalsegno_bus.memory import MemoryBroker, MemoryBus
from dalsegno_bus.messages import LiveAnswer, Question
from tests.unit.agents.conftest import Stage, Text, until


def asking(function: Any = None) -> Agent[None]:
    """An agent that asks `text.translate` what it is given, unless `function` does else."""

    async def ask(text: Text, context: TaskContext[None]) -> Any:
        return await context.ask_live("text.translate", text, timeout=5.0)

    agent = Agent("scribe")
    agent.handles("text.do")(function or ask)
    return agent


def answering(function: Any, name: str = "translator", **more: Any) -> Agent[None]:
    agent = Agent(name, **more)
    agent.handles("text.translate")(function)
    return agent


async def shout(text: Text, context: TaskContext[None]) -> Text:
    del context
    return Text(text=text.text.upper())


async def failing(text: Text, context: TaskContext[None]) -> Any:
    """The code of how a live question fails."""
    try:
        return await context.ask_live("text.translate", text, timeout=1.0)
    except QuestionFailed as error:
        return [error.reason_code, str(error)]


async def told(stage: Stage, asker: Agent[None], value: object = None) -> Any:
    """What comes of one attempt."""
    async with stage.worker(asker):
        await stage.command("text.do", value)
        return (await stage.report()).output


async def direct(stage: Stage, **more: Any) -> LiveAnswer:
    """An answer to a question that is put on the wire."""
    question: dict[str, Any] = {
        "capability": "text.translate",
        "input": {"text": "la"},
        "asked_by": f"{stage.run_id}/a/1",
        "timeout_seconds": 5.0,
        **more,
    }
    message = Outgoing(stage.subjects.ask("translator"), codec.encode(Question(**question)))
    heard = await stage.bus.ask(message, timeout_seconds=5.0)
    return LiveAnswer.model_validate_json(heard.body)


async def test_an_agent_is_asked_and_answers(stage: Stage) -> None:
    async with stage.worker(answering(shout)):
        assert await told(stage, asking(), {"text": "la"}) == {"text": "LA"}

    assert not stage.held("T_INBOX")


async def test_a_plain_function_asks_and_answers_as_well(stage: Stage) -> None:
    def ask(text: Text, context: TaskContext[None]) -> Any:
        return context.ask_live_blocking("text.translate", text)

    def answer(text: Text, context: TaskContext[None]) -> str:
        context.progress(0.5)
        context.stream("not told to anybody")
        return f"{context.run_id}/{context.task_id}/{context.attempt} {text.text}"

    async with stage.listening() as heard, stage.worker(answering(answer)):
        output = await told(stage, asking(ask), {"text": "la"})

    assert output == f"{stage.run_id}/a/1 la"
    assert not [message for message in heard if message["agent"] == "translator"]


async def test_large_questions_and_answers_travel_by_reference(stage: Stage) -> None:
    async with stage.worker(answering(shout)):
        output = await told(stage, asking(), {"text": "x" * 100_000})

    assert output["text"]["$claim"]["size_bytes"] == 100_002


async def test_with_nobody_there_the_question_fails_and_says_what_to_do(stage: Stage) -> None:
    code, message = await told(stage, asking(failing))

    assert code == "question.nobody"
    assert "start one" in message


async def test_an_agent_without_a_living_replica_answers_nothing(stage: Stage) -> None:
    async with stage.worker(answering(shout)):
        pass
    assert stage.card("translator") is not None

    code, _ = await told(stage, asking(failing))

    assert code == "question.nobody"


async def test_a_failure_of_the_one_who_answers_comes_back(stage: Stage) -> None:
    async def reject(text: Text, context: TaskContext[None]) -> Text:
        del text, context
        raise TaskRejected("I know no Latin", code="text.unknown")

    async with stage.worker(answering(reject)):
        assert await told(stage, asking(failing)) == ["text.unknown", "I know no Latin"]


async def test_an_answer_that_takes_too_long_is_waited_for_no_longer(stage: Stage) -> None:
    async def dawdle(text: Text, context: TaskContext[None]) -> Text:
        del context
        await asyncio.Event().wait()
        return text

    async def ask(text: Text, context: TaskContext[None]) -> str:
        try:
            await context.ask_live("text.translate", text, timeout=0.02)
        except QuestionFailed as error:
            return error.reason_code
        return ""

    async with stage.worker(answering(dawdle)):
        assert await told(stage, asking(ask)) in {"question.timeout", "task.timeout"}


async def test_a_replica_that_does_not_drain_is_preferred(stage: Stage) -> None:
    gate = asyncio.Event()

    async def wait(text: Text, context: TaskContext[None]) -> Text:
        del context
        await gate.wait()
        return text

    first = answering(shout, "a-translator")
    first.handles("text.wait")(wait)
    async with stage.worker(first) as leaving, stage.worker(answering(shout, "b-translator")):
        await stage.command("text.wait", agent="a-translator", task_id="w")
        await until(lambda: bool(stage.presences("a-translator")))
        leaving.stop()
        await until(lambda: stage.presences("a-translator")[0].draining)
        assert await told(stage, asking(), {"text": "la"}) == {"text": "LA"}
        gate.set()


async def test_the_bucket_is_not_read_for_every_question(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []

    class CountingBus(MemoryBus):
        def __init__(self, broker: MemoryBroker) -> None:
            super().__init__(broker)

        def bucket(self, name: str) -> Any:
            bucket = super().bucket(name)
            watch = bucket.watch

            def counted() -> Any:
                reads.append(name)
                return watch()

            monkeypatch.setattr(bucket, "watch", counted)
            return bucket

    async def ask(text: Text, context: TaskContext[None]) -> int:
        for _ in range(20):
            await context.ask_live("text.translate", text)
        return len(reads)

    async with (
        stage.worker(answering(shout)),
        stage.worker(asking(ask), bus=CountingBus(stage.broker)),
    ):
        await stage.command("text.do")
        assert (await stage.report()).output == 1


async def test_replicas_share_the_questions_and_one_answers_each(stage: Stage) -> None:
    heard: list[str] = []

    async def count(text: Text, context: TaskContext[None]) -> Text:
        heard.append(context.task_id)
        return text

    async with stage.worker(answering(count)), stage.worker(answering(count)):
        for _ in range(10):
            await direct(stage)

    assert len(heard) == 10


async def test_beyond_its_bound_a_replica_says_that_it_is_busy(stage: Stage) -> None:
    gate, begun = asyncio.Event(), list[int]()

    async def wait(text: Text, context: TaskContext[None]) -> Text:
        begun.append(context.attempt)
        await gate.wait()
        return text

    bound = 1 + LIVE_QUESTIONS_MORE
    async with stage.worker(answering(wait)), asyncio.TaskGroup() as group:
        open_ones = [group.create_task(direct(stage)) for _ in range(bound)]
        await until(lambda: len(begun) == bound)
        refused = await direct(stage)
        assert await told(stage, asking(failing)) == [
            "question.busy",
            "every replica that was asked is busy",
        ]
        gate.set()
        answers = [await one for one in open_ones]

    assert refused.error is not None
    assert refused.error.code == "question.busy"
    assert all(answer.error is None for answer in answers)


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"asked_by": "me"}, "question.malformed"),
        ({"asked_by": "a/b/c"}, "question.malformed"),
        ({"input": {"text": 7}}, "task.input"),
        ({"capability": "text.sing"}, "task.capability"),
    ],
)
async def test_a_question_that_cannot_be_answered_is_told_why(
    stage: Stage, more: dict[str, Any], code: str
) -> None:
    async with stage.worker(answering(shout)):
        answer = await direct(stage, **more)

    assert answer.error is not None
    assert answer.error.code == code


async def test_what_is_no_question_is_told_so(stage: Stage) -> None:
    async with stage.worker(answering(shout)):
        heard = await stage.bus.ask(
            Outgoing(stage.subjects.ask("translator"), b"what?"), timeout_seconds=5.0
        )

    assert LiveAnswer.model_validate_json(heard.body).error is not None


async def share(text: Text, context: TaskContext[None]) -> Text:
    context.share("words", 7)
    return text


async def ask_on(text: Text, context: TaskContext[None]) -> Any:
    return await context.ask("legal.opinion", text)


async def hand_on(text: Text, context: TaskContext[None]) -> Handoff:
    return Handoff(capability="text.other", input=[text, context.attempt])


@pytest.mark.parametrize(
    ("function", "code", "words"),
    [
        (share, "task.exception", "nothing is recorded"),
        (ask_on, "task.question", "use `ask_live`"),
        (hand_on, "task.handoff", "cannot be handed on"),
    ],
)
async def test_an_answer_does_nothing_that_would_have_to_be_recorded(
    stage: Stage, function: Any, code: str, words: str
) -> None:
    async with stage.worker(answering(function)):
        answer = await direct(stage)

    assert answer.error is not None
    assert answer.error.code == code
    assert words in answer.error.message


async def test_a_stopping_replica_answers_what_it_was_asked(stage: Stage) -> None:
    gate, begun = asyncio.Event(), asyncio.Event()

    async def wait(text: Text, context: TaskContext[None]) -> Text:
        del context
        begun.set()
        await gate.wait()
        return text

    async with asyncio.TaskGroup() as group:
        async with stage.worker(answering(wait)) as worker:
            asked = group.create_task(direct(stage))
            await begun.wait()
            worker.stop()
            gate.set()
        answer = await asked

    assert answer.output == {"text": "la"}
