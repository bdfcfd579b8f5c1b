"""Pieces of output, as watchers hear them."""

import asyncio
from typing import Any

from dalsegno_agents import Agent, TaskContext
from dalsegno_agents.live import PIECE_BYTES_MAX, PIECES_BYTES_MAX, PIECES_MAX
from dalsegno_bus.messages import CompletedReport
from tests.unit.agents.conftest import Stage, Text, only, until


async def streamed(stage: Stage, function: Any, count: int) -> list[dict[str, Any]]:
    """The pieces that watchers hear of one attempt, once there are `count`."""
    agent = Agent("scribe")
    agent.handles("text.do")(function)

    def pieces() -> list[dict[str, Any]]:
        return [message for message in heard if message["kind"] == "output.v1"]

    async with stage.listening() as heard, stage.worker(agent):
        await stage.command("text.do")
        assert isinstance(await stage.report(), CompletedReport)
        await until(lambda: len(pieces()) >= count)
    return pieces()


async def test_pieces_arrive_in_order_with_their_numbers(stage: Stage) -> None:
    async def stream(text: Text, context: TaskContext[None]) -> Text:
        for word in ("dal", "segno", {"al": "fine"}, text):
            context.stream(word)
            await asyncio.sleep(0)
        return text

    pieces = await streamed(stage, stream, 4)

    assert [piece["piece"] for piece in pieces] == ["dal", "segno", {"al": "fine"}, {"text": ""}]
    assert [piece["number"] for piece in pieces] == [0, 1, 2, 3]


async def test_a_thread_streams_as_well(stage: Stage) -> None:
    def stream(text: Text, context: TaskContext[None]) -> Text:
        for number in range(500):
            context.stream(number)
        return text

    pieces = await streamed(stage, stream, 500)

    assert [piece["piece"] for piece in pieces] == list(range(500))


async def test_watchers_hear_pieces_while_the_attempt_is_worked_on(stage: Stage) -> None:
    gate = asyncio.Event()
    agent = Agent("scribe")

    @agent.handles("text.do")
    async def stream(text: Text, context: TaskContext[None]) -> Text:
        context.stream("dal")
        await gate.wait()
        return text

    async with stage.listening() as heard, stage.worker(agent):
        await stage.command("text.do")
        await until(lambda: any(message.get("piece") == "dal" for message in heard))
        gate.set()
        await stage.report()


async def test_beyond_the_bound_the_oldest_are_dropped_and_the_numbers_tell(stage: Stage) -> None:
    extra = 100

    async def stream(text: Text, context: TaskContext[None]) -> Text:
        for number in range(PIECES_MAX + extra):  # the loop gets no turn, as with no network
            context.stream(number)
        return text

    pieces = await streamed(stage, stream, PIECES_MAX)

    assert len(pieces) == PIECES_MAX
    assert [piece["number"] for piece in pieces] == [piece["piece"] for piece in pieces]
    assert pieces[0]["number"] == extra


async def test_the_bound_is_one_of_bytes_too(stage: Stage) -> None:
    large = "x" * (PIECE_BYTES_MAX - 2)
    fitting = PIECES_BYTES_MAX // PIECE_BYTES_MAX

    async def stream(text: Text, context: TaskContext[None]) -> Text:
        for _ in range(fitting + 1):
            context.stream(large)
        return text

    pieces = await streamed(stage, stream, fitting)

    assert [piece["number"] for piece in pieces] == list(range(1, fitting + 1))


async def test_a_piece_that_is_too_large_says_what_to_do(stage: Stage) -> None:
    async def stream(text: Text, context: TaskContext[None]) -> Text:
        context.stream("x" * PIECE_BYTES_MAX)
        return text

    report = await only(stage, stream)

    assert "UsageError" in report.error.message
    assert "stream smaller ones" in report.error.message
