"""Progress that is kept, for whoever has to go on from there."""

import asyncio
from typing import Any

import pytest

from dalsegno_agents import Agent, LastProgress, TaskContext, TaskRetry
from dalsegno_bus.artifacts import is_claim
from dalsegno_bus.messages import CompletedReport, FailedReport, Failure, HeartbeatReport
from tests.unit.agents.conftest import Stage, Text, failure, only

LONG = 3_600.0
SHORT = 0.06


async def test_the_first_progress_is_stored_at_once(stage: Stage) -> None:
    gate = asyncio.Event()

    async def tell(text: Text, context: TaskContext[None]) -> Text:
        context.progress(0.5, "half", state={"page": 7})
        await gate.wait()
        return text

    agent = Agent("scribe")
    agent.handles("text.do")(tell)
    async with stage.worker(agent):
        await stage.command("text.do", heartbeat_seconds=LONG)
        beat = await stage.report()
        gate.set()
        done = await stage.report()

    assert isinstance(beat, HeartbeatReport)
    assert beat.progress == {"fraction": 0.5, "message": "half", "state": {"page": 7}}
    assert isinstance(done, CompletedReport)


async def test_within_the_interval_nothing_more_is_stored(stage: Stage) -> None:
    stored, told, gate = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def tell(text: Text, context: TaskContext[None]) -> Text:
        context.progress(state=0)
        await stored.wait()
        for page in range(1, 10):
            context.progress(state=page)
            await asyncio.sleep(0.002)
        told.set()
        await gate.wait()
        return text

    agent = Agent("scribe")
    agent.handles("text.do")(tell)
    async with stage.worker(agent):
        await stage.command("text.do", heartbeat_seconds=LONG)
        first = await stage.report()
        stored.set()
        await told.wait()
        assert not stage.held("T_INBOX")
        gate.set()
        done = await stage.report()

    assert first.progress["state"] == 0
    assert isinstance(done, CompletedReport)


async def test_progress_within_the_interval_waits_and_the_newest_wins(stage: Stage) -> None:
    gate = asyncio.Event()

    def tell(text: Text, context: TaskContext[None]) -> Text:
        for page in range(5_000):
            context.progress(None, "", state=page)
        asyncio.run_coroutine_threadsafe(gate.wait(), loop).result(10.0)
        return text

    loop = asyncio.get_running_loop()
    agent = Agent("scribe")
    agent.handles("text.do")(tell)
    async with stage.worker(agent):
        await stage.command("text.do", heartbeat_seconds=SHORT)
        states: list[int] = []
        while not states or states[-1] != 4_999:
            states.append((await stage.report()).progress["state"])
        gate.set()
        done = await stage.report()

    assert isinstance(done, CompletedReport)
    assert states == sorted(set(states))
    assert len(states) <= 2 + done.work_seconds / (SHORT / 3)


async def test_what_an_attempt_told_last_is_stored_before_its_failure(stage: Stage) -> None:
    async def tell(text: Text, context: TaskContext[None]) -> Text:
        del text
        context.progress(0.1, state=1)
        await asyncio.sleep(0.01)
        context.progress(0.2, state=2)
        raise TaskRetry("the line broke")

    agent = Agent("scribe")
    agent.handles("text.do")(tell)
    async with stage.worker(agent):
        await stage.command("text.do", heartbeat_seconds=LONG)
        first, last, failed = await stage.reports(3)

    assert (first.progress["state"], last.progress["state"]) == (1, 2)
    assert failure(failed) == ("task.retry", True)


async def test_without_heartbeats_progress_is_only_told_live(stage: Stage) -> None:
    async def tell(text: Text, context: TaskContext[None]) -> Text:
        context.progress(0.5, state=1)
        raise TaskRetry(text.text)

    report = await only(stage, tell)

    assert isinstance(report, FailedReport)
    assert not stage.held("T_INBOX")


async def test_a_large_state_travels_by_reference_and_comes_back_whole(stage: Stage) -> None:
    seen: list[LastProgress | None] = []

    async def tell(text: Text, context: TaskContext[None]) -> Text:
        seen.append(context.last_progress)
        context.progress(state="x" * 100_000)
        raise TaskRetry(text.text)

    agent = Agent("scribe")
    agent.handles("text.do")(tell)
    async with stage.worker(agent):
        await stage.command("text.do", heartbeat_seconds=LONG)
        beat, _ = await stage.reports(2)
        await stage.command("text.do", attempt=2, last_progress=beat.progress)
        await stage.report()

    assert is_claim(beat.progress["state"])
    assert seen == [None, LastProgress(state="x" * 100_000)]


@pytest.mark.parametrize(
    ("told", "seen"),
    [
        ({"fraction": 0.5, "message": "half", "state": [1]}, [0.5, "half", [1]]),
        (None, None),
        ({"pages": 3}, None),
        ({"state": {"$claim": {"sha256": "0" * 64, "size_bytes": 1}}}, None),
    ],
)
async def test_an_attempt_sees_what_was_told_before_it(
    stage: Stage, told: Any, seen: list[Any] | None
) -> None:
    async def look(text: Text, context: TaskContext[None]) -> list[Any] | None:
        del text
        last = context.last_progress
        return None if last is None else [last.fraction, last.message, last.state]

    report = await only(stage, look, last_progress=told)

    assert report.output == seen


async def test_an_attempt_sees_why_the_one_before_it_failed(stage: Stage) -> None:
    async def look(text: Text, context: TaskContext[None]) -> str:
        del text
        assert context.last_failure is not None
        return context.last_failure.code

    why = Failure(code="plan.rejected", message="it has a cycle")
    report = await only(stage, look, last_failure=why)

    assert report.output == "plan.rejected"


async def test_a_state_that_json_cannot_say_fails_where_it_is_told(stage: Stage) -> None:
    async def tell(text: Text, context: TaskContext[None]) -> Text:
        context.progress(state=object())
        return text

    report = await only(stage, tell)

    assert "UsageError" in report.error.message


async def test_heartbeats_that_are_not_taken_are_sent_again(stage: Stage) -> None:
    gate = asyncio.Event()

    async def tell(text: Text, context: TaskContext[None]) -> Text:
        stage.fill_inbox(full=True)
        context.progress(state=1)
        await asyncio.sleep(SHORT)
        stage.fill_inbox(full=False)
        await gate.wait()
        return text

    agent = Agent("scribe")
    agent.handles("text.do")(tell)
    async with stage.worker(agent):
        await stage.command("text.do", heartbeat_seconds=SHORT)
        beat = await stage.report()
        gate.set()
        await stage.report()

    assert beat.progress["state"] == 1
