"""What a handler tells through its context."""

import asyncio
import math

import pytest

from dalsegno_agents import Agent, TaskContext, TaskRetry
from dalsegno_bus.artifacts import is_claim
from dalsegno_bus.messages import CompletedReport, ContextReport
from tests.unit.agents.conftest import Stage, Text, failure, only, until


async def test_what_is_shared_is_recorded_before_the_completion(stage: Stage) -> None:
    async def share(text: Text, context: TaskContext[None]) -> None:
        context.share("words", 7)
        context.share("large", "x" * 100_000)
        context.share("model", text)

    agent = Agent("scribe")
    agent.handles("text.do")(share)
    async with stage.worker(agent):
        await stage.command("text.do", {"text": "la"})
        first, second, third, last = await stage.reports(4)

    assert isinstance(first, ContextReport)
    assert (first.key, first.value) == ("words", 7)
    assert (second.key, is_claim(second.value)) == ("large", True)
    assert (third.key, third.value) == ("model", {"text": "la"})
    assert isinstance(last, CompletedReport)


async def test_an_attempt_that_fails_shares_nothing(stage: Stage) -> None:
    async def share(text: Text, context: TaskContext[None]) -> Text:
        context.share("words", 7)
        raise TaskRetry(text.text)

    report = await only(stage, share)

    assert failure(report) == ("task.retry", True)


@pytest.mark.parametrize(("key", "value"), [("a b", 1), ("", 1), ("k", math.nan), ("k", object())])
async def test_what_cannot_be_shared_fails_where_it_is_shared(
    stage: Stage, key: str, value: object
) -> None:
    async def share(text: Text, context: TaskContext[None]) -> Text:
        context.share(key, value)
        return text

    report = await only(stage, share)

    assert failure(report) == ("task.exception", True)
    assert "UsageError" in report.error.message


@pytest.mark.parametrize("fails", [False, True])
async def test_what_was_spent_is_added_up_also_by_an_attempt_that_fails(
    stage: Stage, fails: bool
) -> None:
    async def spend(text: Text, context: TaskContext[None]) -> Text:
        context.spend(usd=0.25, tokens=100)
        context.spend(usd=0.5)
        if fails:
            raise TaskRetry("again")
        return text

    report = await only(stage, spend)

    assert (report.usage.usd, report.usage.tokens) == (0.75, 100)


@pytest.mark.parametrize("usd", [-1.0, math.nan, math.inf])
async def test_a_cost_that_cannot_be_is_refused(stage: Stage, usd: float) -> None:
    async def spend(text: Text, context: TaskContext[None]) -> Text:
        context.spend(usd=usd)
        return text

    report = await only(stage, spend)

    assert "UsageError" in report.error.message
    assert report.usage is None


async def test_progress_from_a_tight_loop_is_thinned_out_and_its_last_word_arrives(
    stage: Stage,
) -> None:
    def count(text: Text, context: TaskContext[None]) -> Text:
        for step in range(20_000):
            context.progress(step / 20_000, f"step {step}")
        context.progress(1.0, "done\ud800")
        return text

    agent = Agent("scribe")
    agent.handles("text.do")(count)
    async with stage.listening() as heard, stage.worker(agent):
        await stage.command("text.do")
        report = await stage.report()
        await until(lambda: bool(heard) and heard[-1].get("fraction") == 1.0)

    steps = [message for message in heard if message["kind"] == "progress.v1"]
    assert isinstance(report, CompletedReport)
    assert steps[-1]["message"] == "done\\ud800"
    assert len(steps) <= 2 + report.work_seconds / 0.1
    assert heard[0]["kind"] == "attempt-started.v1"


async def test_watchers_hear_that_an_attempt_started_while_it_is_worked_on(stage: Stage) -> None:
    gate = asyncio.Event()

    async def wait(text: Text, context: TaskContext[None]) -> Text:
        del context
        await gate.wait()
        return text

    agent = Agent("scribe")
    agent.handles("text.do")(wait)
    async with stage.listening() as heard, stage.worker(agent):
        await stage.command("text.do")
        await until(lambda: bool(heard))
        gate.set()
        await stage.report()

    assert [message["kind"] for message in heard] == ["attempt-started.v1"]
    assert (heard[0]["task_id"], heard[0]["attempt"]) == ("a", 1)


async def test_log_lines_of_a_handler_name_their_attempt(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    async def read(text: Text, context: TaskContext[None]) -> Text:
        context.log.info("rows.read", extra={"rows": 3})
        return text

    with caplog.at_level("INFO", logger="dalsegno.agent.scribe"):
        await only(stage, read)

    (line,) = [record for record in caplog.records if record.getMessage() == "rows.read"]
    assert vars(line)["fields"] == {
        "run_id": str(stage.run_id),
        "task_id": "a",
        "attempt": 1,
        "rows": 3,
    }


@pytest.mark.parametrize(
    ("versions", "told"), [(None, [None, None]), ({}, [0, 0]), ({"words": 3}, [3, 0])]
)
async def test_what_is_shared_names_the_version_that_was_seen(
    stage: Stage, versions: dict[str, int] | None, told: list[int | None]
) -> None:
    async def share(text: Text, context: TaskContext[None]) -> Text:
        context.share("words", 7)
        context.share("lines", 1)
        return text

    agent = Agent("scribe")
    agent.handles("text.do")(share)
    async with stage.worker(agent):
        await stage.command("text.do", context_versions=versions)
        first, second, _ = await stage.reports(3)

    assert [first.base_version, second.base_version] == told
