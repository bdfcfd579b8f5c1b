"""Changes of a run's plan that its own agents ask for."""

import asyncio
import pickle
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dalsegno_agents import Agent, QuestionFailed, Replan, ReplanRefused, TaskContext
from dalsegno_agents.offline import offline_context
from dalsegno_bus import codec
from dalsegno_bus.bus import Outgoing
from dalsegno_bus.clock import utc_now
from dalsegno_bus.errors import UsageError
from dalsegno_bus.messages import Accepted, CompletedReport, Problem, Rejected, ReplanRun
from dalsegno_bus.topology import inbox_consumer
from tests.unit.agents.conftest import INBOX, SECONDS_MAX, Stage, Text, failure

CHECK = {"check": {"capability": "books.check", "input": "${ tasks.a }"}}


async def replans(text: Text, context: TaskContext[None]) -> Text:
    await context.replan(add=CHECK, drop=["letter"], reason=text.text)
    return text


def replans_in_a_thread(text: Text, context: TaskContext[None]) -> Text:
    context.replan_blocking(add=CHECK, drop=["letter"], reason=text.text)
    return text


def replanner(function: Any) -> Agent[None]:
    agent = Agent("scribe", concurrency=2)
    agent.handles("text.do")(function)
    return agent


async def asked(stage: Stage) -> tuple[Any, Mapping[str, str]]:
    """The next message of the inbox with its headers."""
    consumer = replace(inbox_consumer(stage.subjects, 0), ack_wait_seconds=0.5)
    async with asyncio.timeout(SECONDS_MAX), stage.bus.pull([consumer], ahead=1) as pull:
        while True:
            for delivery in await pull.batch(limit=1):
                await delivery.ack()
                return codec.decode(INBOX, delivery.body), delivery.headers


async def reply(stage: Stage, headers: Mapping[str, str], *reasons: str) -> None:
    """Accept or refuse a request, as the orchestrator does."""
    said: Accepted | Rejected = Accepted(
        run_id=stage.run_id, workflow="w", version=1, status="running"
    )
    if reasons:
        said = Rejected(reasons=tuple(Problem(message=reason) for reason in reasons))
    told = codec.headers_of(said.kind, message_id="reply", source="test", at=utc_now())
    told[codec.REQUEST_ID] = headers[codec.MESSAGE_ID]
    await stage.bus.tell(Outgoing(headers[codec.REPLY_TO], codec.encode(said), told))


@pytest.mark.parametrize("function", [replans, replans_in_a_thread])
async def test_a_change_is_asked_of_the_attempts_own_run_and_is_made_when_it_returns(
    stage: Stage, function: Any
) -> None:
    async with stage.worker(replanner(function)) as worker:
        await stage.command("text.do", {"text": "no need"})
        request, headers = await asked(stage)
        assert worker.tally.answered == 0
        await reply(stage, headers)
        report = await stage.report()
        await stage.settled()

    assert request == ReplanRun(
        run_id=stage.run_id,
        add=CHECK,
        drop=("letter",),
        reason="no need",
        requested_by=f"agent:scribe/{worker.replica}",
    )
    assert isinstance(report, CompletedReport)


async def test_the_same_change_has_the_same_id_in_every_attempt_and_replica(stage: Stage) -> None:
    ids: list[str] = []
    for attempt in (1, 2):
        async with stage.worker(replanner(replans)):
            await stage.command("text.do", {"text": f"reason {attempt}"}, attempt=attempt)
            _, headers = await asked(stage)
            ids.append(headers[codec.MESSAGE_ID])
            await reply(stage, headers)
            await stage.report()
            await stage.settled()

    assert ids[0] == ids[1]
    assert ids[0].startswith(f"{stage.run_id}.a.replan-")


async def test_two_attempts_of_one_replica_that_ask_the_same_both_hear_the_answer(
    stage: Stage,
) -> None:
    async with stage.worker(replanner(replans)):
        await stage.command("text.do", {"text": "x"}, attempt=1)
        await stage.command("text.do", {"text": "x"}, attempt=2)
        first, second = await asked(stage), await asked(stage)
        await reply(stage, first[1])
        await reply(stage, second[1])
        reports = await stage.reports(2)

    assert sorted(report.attempt for report in reports) == [1, 2]


def wanted(**fields: Any) -> Replan:
    nothing: dict[str, Any] = dict.fromkeys(("add", "change", "plan_version"))
    every: dict[str, Any] = {**nothing, "drop": (), "reason": "", **fields}
    return Replan.of(**every)


def test_another_change_has_another_id() -> None:
    task: dict[str, Any] = {"x": {"capability": "do", "input": {"a": 1, "b": 2}}}
    same = [
        wanted(add=task, drop=["y", "z"]),
        wanted(add={"x": {"input": {"b": 2, "a": 1}, "capability": "do"}}, drop=["z", "y"]),
        wanted(add=task, drop=["y", "z"], reason="because"),
    ]
    others = [
        wanted(add=task, drop=["y"]),
        wanted(change=task, drop=["y", "z"]),
        wanted(add=task, drop=["y", "z"], plan_version=2),
    ]
    assert len({each.digest for each in same}) == 1
    assert len({each.digest for each in [same[0], *others]}) == 4


@pytest.mark.parametrize("function", [replans, replans_in_a_thread])
async def test_a_refused_change_fails_its_attempt_as_retryable_with_every_reason(
    stage: Stage, function: Any
) -> None:
    async with stage.worker(replanner(function)):
        await stage.command("text.do", {"text": "no need"})
        _, headers = await asked(stage)
        await reply(stage, headers, "'letter' has begun", "nobody can check")
        report = await stage.report()

    assert failure(report) == ("task.replan", True)
    assert "'letter' has begun; nobody can check" in report.error.message
    assert report.error.detail == {"reasons": ["'letter' has begun", "nobody can check"]}


async def test_a_refused_change_may_be_caught(stage: Stage) -> None:
    async def tries(text: Text, context: TaskContext[None]) -> list[str]:
        del text
        try:
            await context.replan(drop=["letter"], plan_version=3)
        except ReplanRefused as error:
            return list(error.reasons)
        return []

    async with stage.worker(replanner(tries)):
        await stage.command("text.do")
        request, headers = await asked(stage)
        await reply(stage, headers, "the run follows plan 4 by now")
        report = await stage.report()

    assert request.plan_version == 3
    assert report.output == ["the run follows plan 4 by now"]


async def test_a_thread_that_waits_for_its_change_hears_its_cancellation(stage: Stage) -> None:
    codes: list[str] = []

    def waits(text: Text, context: TaskContext[None]) -> Text:
        try:
            context.replan_blocking(drop=["letter"])
        except QuestionFailed as error:
            codes.append(error.reason_code)
        return text

    async with stage.worker(replanner(waits)):
        command = await stage.command("text.do")
        await asked(stage)
        await stage.cancel(command, grace_seconds=60.0)
        while not isinstance(report := (await asked(stage))[0], CompletedReport):
            assert isinstance(report, ReplanRun)  # sent again meanwhile

    assert codes == ["task.cancelled"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "needs tasks to add, to drop or to change"),
        ({"drop": "letter"}, r"drop=\['letter'\]"),
        ({"add": {"x": {"input": float("nan")}}}, "cannot be said in JSON"),
        ({"drop": ["letter"], "plan_version": 0}, "numbered from 1"),
    ],
)
async def test_what_is_no_change_fails_where_it_is_asked_for(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    context = offline_context(None, folder=tmp_path)

    with pytest.raises(UsageError, match=words):
        await context.replan(**change)
    with pytest.raises(UsageError, match=words):
        context.replan_blocking(**change)


async def test_whoever_answers_a_live_question_cannot_replan(tmp_path: Path) -> None:
    context = offline_context(None, folder=tmp_path)
    context.line.is_recorded = False  # pyright: ignore[reportAttributeAccessIssue] - offline it may

    with pytest.raises(UsageError, match="live question"):
        await context.replan(drop=["letter"])


async def test_offline_what_was_asked_for_is_written_down(tmp_path: Path) -> None:
    found: list[Replan] = []
    context = offline_context(None, folder=tmp_path, replans=found)
    await context.replan(CHECK, ["letter"], reason="no need")
    context.replan_blocking(change=CHECK, plan_version=2)

    assert found == [
        Replan(add=CHECK, drop=("letter",), reason="no need"),
        Replan(change=CHECK, plan_version=2),
    ]


def test_a_refusal_survives_pickling() -> None:
    refused = ReplanRefused(["one", "two"])
    again = pickle.loads(pickle.dumps(refused))
    assert (str(again), again.reasons) == (str(refused), ("one", "two"))
