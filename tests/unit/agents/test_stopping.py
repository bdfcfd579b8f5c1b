"""A replica that is told to stop."""

import asyncio
import threading
from datetime import timedelta

import pytest

from dalsegno_agents import Agent, TaskContext
from dalsegno_bus.messages import CompletedReport
from tests.unit.agents.conftest import Scribe, Stage, Text, until


async def test_what_is_in_hand_is_finished_and_nothing_more_is_taken(stage: Stage) -> None:
    scribe = Scribe(concurrency=2)
    async with stage.worker(scribe.agent) as worker:
        await stage.command("text.wait")
        await until(lambda: scribe.at_work == 1)
        worker.stop()
        await until(lambda: stage.presence_now().draining)
        await stage.command("text.echo", task_id="b")
        assert worker.problems()
        scribe.gate.set()
        report = await stage.report()

    assert isinstance(report, CompletedReport)
    assert scribe.worked == ["a"]
    assert len(stage.held("T_TASKS")) == 1
    assert stage.presences() == []


async def test_presence_says_at_once_that_a_replica_drains_and_what_it_works_on(
    stage: Stage,
) -> None:
    scribe = Scribe()
    async with stage.worker(scribe.agent) as worker:
        assert not stage.presence_now().draining
        await stage.command("text.wait")
        await until(lambda: scribe.at_work == 1)
        worker.stop()
        await until(lambda: stage.presence_now().draining)
        assert stage.presence_now().working == (f"{stage.run_id}/a/1",)
        scribe.gate.set()


async def test_what_cannot_be_finished_in_time_goes_to_another_replica(stage: Stage) -> None:
    slow, other = Scribe(), Scribe()
    async with stage.worker(slow.agent, drain_seconds=0.02) as worker:
        await stage.command("text.wait")
        await until(lambda: slow.at_work == 1)

    assert slow.at_work == 0
    assert worker.tally.returned == 1
    assert stage.due("scribe") <= stage.broker.clock.now() + timedelta(seconds=1)
    assert not stage.held("T_INBOX")

    other.gate.set()
    async with stage.worker(other.agent):
        report = await stage.report()
        await stage.settled()
    assert isinstance(report, CompletedReport)
    assert other.worked == ["a"]


async def test_a_thread_that_never_ends_does_not_keep_a_replica_from_stopping(
    stage: Stage,
) -> None:
    gate = threading.Event()
    agent = Agent("scribe")
    begun: list[str] = []

    @agent.handles("text.wait")
    def wait(text: Text, context: TaskContext[None]) -> Text:
        begun.append(context.task_id)
        gate.wait(10.0)
        return text

    async with stage.worker(agent, drain_seconds=0.02) as worker:
        await stage.command("text.wait")
        await until(lambda: bool(begun))

    assert worker.tally.returned == 1
    assert len(stage.held("T_TASKS")) == 1
    gate.set()


async def test_an_idle_replica_stops_at_once_and_is_gone(stage: Stage) -> None:
    scribe = Scribe()
    async with asyncio.timeout(1.0), stage.worker(scribe.agent, drain_seconds=60.0):
        assert len(stage.presences()) == 1

    assert stage.presences() == []
    assert stage.card() is not None


async def test_a_replica_that_cannot_report_gives_up_after_its_drain(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dalsegno_agents.worker.FLUSH_SECONDS_MAX", 0.02)
    scribe = Scribe()
    async with stage.worker(scribe.agent, drain_seconds=0.02):
        stage.fill_inbox(full=True)
        await stage.command("text.echo")
        await until(lambda: scribe.worked == ["a"])

    assert len(stage.held("T_TASKS")) == 1
