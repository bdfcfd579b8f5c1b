"""An agent that is drained: its replicas finish, and leave."""

import asyncio
import logging

import pytest

from dalsegno_bus.bus import Outgoing
from dalsegno_bus.messages import CompletedReport
from tests.unit.agents.conftest import Scribe, Stage, until

SOON = 0.02


async def test_every_replica_finishes_what_it_has_and_leaves(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    scribes = [Scribe(), Scribe()]
    workers = [stage.build(scribe.agent, drain_seconds=0.0) for scribe in scribes]
    with caplog.at_level(logging.INFO, logger="dalsegno.agent"):
        async with asyncio.TaskGroup() as group:
            for worker in workers:
                group.create_task(worker.run())
            await until(lambda: all(worker.is_ready for worker in workers))
            await stage.command("text.wait")
            await stage.command("text.wait", task_id="b")
            await until(lambda: all(scribe.at_work for scribe in scribes))
            await stage.drain()
            await until(lambda: all(one.draining for one in stage.presences()))
            await stage.command("text.echo", task_id="c")
            for scribe in scribes:
                scribe.gate.set()

    reports = await stage.reports(2)
    assert all(isinstance(report, CompletedReport) for report in reports)
    assert stage.presences() == []
    assert len(stage.held("T_TASKS")) == 1
    told = [record for record in caplog.records if record.getMessage() == "agent.told_to_drain"]
    assert [vars(record)["fields"]["reason"] for record in told] == ["a new version"] * 2
    assert {vars(record)["fields"]["requested_by"] for record in told} == {"ada"}


async def test_an_idle_replica_leaves_at_once(stage: Stage) -> None:
    left: list[bool] = []
    worker = stage.build(Scribe().agent, on_leave=lambda: left.append(True))
    async with asyncio.timeout(5.0), asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        await until(lambda: worker.is_ready)
        await stage.drain()
        await stage.drain()

    assert left == [True]


async def test_reports_that_the_stream_does_not_take_are_waited_for(stage: Stage) -> None:
    scribe = Scribe()
    worker = stage.build(scribe.agent)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(worker.run())
        await until(lambda: worker.is_ready)
        stage.fill_inbox(full=True)
        await stage.command("text.echo")
        await until(lambda: scribe.worked == ["a"])
        await stage.drain()
        await until(lambda: stage.presence_now().draining)
        assert not running.done()
        stage.fill_inbox(full=False)

    assert isinstance(await stage.report(), CompletedReport)
    assert not stage.held("T_TASKS")


async def test_a_drained_replica_that_is_stopped_waits_no_longer(stage: Stage) -> None:
    scribe = Scribe()
    async with stage.worker(scribe.agent, drain_seconds=SOON) as worker:
        await stage.command("text.wait")
        await until(lambda: scribe.at_work == 1)
        await stage.drain()
        await until(lambda: stage.presence_now().draining)

    assert worker.tally.returned == 1


async def test_a_replica_that_missed_the_order_sees_the_mark(stage: Stage) -> None:
    worker = stage.build(Scribe().agent, presence_seconds=SOON)
    async with asyncio.timeout(5.0), asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        await until(lambda: worker.is_ready)
        await stage.mark_drained()

    assert stage.presences() == []


async def test_a_replica_of_a_drained_agent_waits_until_the_mark_is_gone(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    scribe = Scribe()
    await stage.mark_drained()
    worker = stage.build(scribe.agent, presence_seconds=SOON)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(worker.run())
        await until(lambda: bool(stage.presences()) and stage.presence_now().draining)
        await stage.command("text.echo")
        await stage.drain()
        assert "dalsegno agents drain scribe --undo" in worker.problems()[0]
        assert scribe.worked == []
        await stage.undo_drain()
        assert (await stage.report()).task_id == "a"
        await until(lambda: not stage.presence_now().draining)
        assert not running.done()
        worker.stop()

    (line,) = [one for one in caplog.records if one.getMessage() == "agent.is_drained"]
    assert line.levelname == "WARNING"
    assert "dalsegno agents drain scribe --undo" in vars(line)["fields"]["hint"]


async def test_a_replica_that_waits_may_be_stopped(stage: Stage) -> None:
    await stage.mark_drained()
    worker = stage.build(Scribe().agent)
    async with asyncio.timeout(2.0), asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        await until(lambda: bool(stage.presences()))
        worker.stop()

    assert not worker.is_ready
    assert stage.presences() == []


async def test_a_mark_that_cannot_be_read_is_a_mark(stage: Stage) -> None:
    await stage.bus.bucket(stage.subjects.agents_bucket).put("drained.scribe", b"yes")
    worker = stage.build(Scribe().agent)
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        await until(lambda: bool(stage.presences()) and stage.presence_now().draining)
        worker.stop()


async def test_an_order_that_is_none_changes_nothing(stage: Stage) -> None:
    async with stage.worker(Scribe().agent):
        subject = stage.subjects.control("scribe")
        await stage.bus.tell(Outgoing(subject, b'{"kind": "drain-agent.v1"}'))
        await stage.command("text.echo")
        await stage.report()
