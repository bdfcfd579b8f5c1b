"""Handlers that hand their task on, and handlers that plan."""

from typing import Any

import pytest
from pydantic import ValidationError

from dalsegno_agents import Agent, Handoff, Plan, TaskContext
from dalsegno_bus.artifacts import is_claim
from dalsegno_bus.messages import CompletedReport, ContextReport, HandoffReport
from tests.unit.agents.conftest import Stage, Text, failure, only


async def test_a_task_is_handed_on_with_what_the_next_one_needs(stage: Stage) -> None:
    async def hand_on(text: Text, context: TaskContext[None]) -> Text | Handoff:
        context.spend(tokens=3)
        context.share("seen", True)
        return Handoff(capability="text.other", input=text, reason="it is Latin")

    agent = Agent("scribe")
    agent.handles("text.do")(hand_on)
    async with stage.worker(agent):
        await stage.command("text.do", {"text": "la"})
        shared, report = await stage.reports(2)

    assert isinstance(shared, ContextReport)
    assert isinstance(report, HandoffReport)
    assert (report.capability, report.input) == ("text.other", {"text": "la"})
    assert (report.reason, report.usage and report.usage.tokens) == ("it is Latin", 3)


async def test_a_handler_that_may_hand_on_may_answer_too(stage: Stage) -> None:
    async def answer(text: Text, context: TaskContext[None]) -> Text | Handoff | None:
        del context
        return text if text.text else None

    assert (await only(stage, answer, {"text": "la"})).output == {"text": "la"}


async def test_a_plain_function_hands_on_as_well(stage: Stage) -> None:
    def hand_on(text: Text, context: TaskContext[None]) -> Handoff:
        del text, context
        return Handoff(capability="text.other", input=["x" * 100_000])

    report = await only(stage, hand_on)

    assert isinstance(report, HandoffReport)
    assert is_claim(report.input)


async def test_a_handoff_that_was_not_promised_is_refused(stage: Stage) -> None:
    async def hand_on(text: Text, context: TaskContext[None]) -> Text:
        del text, context
        promised: Any = Handoff(capability="text.other")
        return promised

    report = await only(stage, hand_on)

    assert failure(report) == ("task.output", False)
    assert "| Handoff" in report.error.message


async def test_a_handler_that_promised_a_handoff_gives_nothing_else(stage: Stage) -> None:
    async def answer(text: Text, context: TaskContext[None]) -> Handoff:
        del context
        output: Any = text
        return output

    assert failure(await only(stage, answer)) == ("task.output", False)


async def test_a_handoff_that_json_cannot_say_is_refused(stage: Stage) -> None:
    async def hand_on(text: Text, context: TaskContext[None]) -> Handoff:
        del text, context
        return Handoff(capability="text.other", input=object())

    assert failure(await only(stage, hand_on)) == ("task.output", False)


def test_the_card_shows_what_comes_out_and_no_handoff() -> None:
    agent = Agent("scribe")

    @agent.handles("text.plain")
    async def plain(text: Text, context: TaskContext[None]) -> Text: ...

    @agent.handles("text.maybe")
    async def maybe(text: Text, context: TaskContext[None]) -> Text | Handoff: ...

    @agent.handles("text.never")
    async def never(text: Text, context: TaskContext[None]) -> Handoff: ...

    del plain, maybe, never
    first, second, third = agent.card.capabilities
    assert first.output_schema == second.output_schema
    assert third.output_schema == {}


def test_a_handoff_needs_a_capability() -> None:
    with pytest.raises(ValidationError):
        Handoff(capability="")


async def test_a_plan_is_an_output_like_any_other(stage: Stage) -> None:
    task = {"capability": "books.read", "input": {"year": "${ input.year }"}}

    async def plan(text: Text, context: TaskContext[None]) -> Plan:
        del text, context
        return Plan(tasks={"read": task}, output={"rows": "${ tasks.read.rows }"})

    report = await only(stage, plan)

    assert isinstance(report, CompletedReport)
    assert report.output == {"tasks": {"read": task}, "output": {"rows": "${ tasks.read.rows }"}}
