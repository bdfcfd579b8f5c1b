"""What is lost between two runs, or seen too late by one of two orchestrators, is made good."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from integration.recovery.plays import booked, step, troupe
from integration.recovery.stage import EACH, Fuse, Moment, Play, Stage, perform, stage_of
from pydantic import BaseModel

from dalsegno_agents import Agent, TaskContext
from dalsegno_bus.bus import Outgoing
from dalsegno_bus.clock import utc_now
from dalsegno_bus.codec import encode
from dalsegno_bus.errors import Unavailable
from dalsegno_bus.ids import (
    RunId,
    child_run_id,
    new_replica_id,
    new_run_id,
    schedule_id,
    workflow_id,
)
from dalsegno_bus.messages import AskWanted, CompletedReport, Failure, ParentRun, StartRun
from dalsegno_orchestrator import service
from dalsegno_orchestrator.history import seal
from dalsegno_orchestrator.workflow.events import (
    RunEvent,
    RunFailed,
    RunPaused,
    RunReopened,
    RunStarted,
    TaskAssigned,
    TickFired,
)
from support.world import World, until

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
STREAM = RunId(schedule_id("report"))
WAIT = {"go": {"wait": {"signal": "go"}}}
FAMILY = {"part": {"workflow": "child"}}


class Number(BaseModel):
    value: int = 0


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "SETTLE_SECONDS", 0.05)
    monkeypatch.setattr(service, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr("dalsegno_bus.topology.INBOX_ACK_WAIT_SECONDS", 0.4)


def swept_every(world: World, seconds: float) -> None:
    world.settings = world.settings.model_copy(update={"sweep_seconds": seconds})


def append(world: World, run_id: RunId, *events: RunEvent) -> None:
    """What another orchestrator records."""
    last = world.history(run_id)[-1]
    version, previous = last.version, last.digest
    for event in events:
        version += 1
        sealed = seal(
            run_id, version, event, at=utc_now(), by="another", cause="test", previous=previous
        )
        world.store.append([sealed])
        previous = sealed.digest


def start_of_child(parent: RunId, attempt: int = 1) -> tuple[RunId, StartRun]:
    child = child_run_id(parent, "part", attempt)
    above = ParentRun(run_id=parent, task_id="part", attempt=attempt, depth=1)
    return child, StartRun(run_id=child, workflow="child", parent=above)


async def say(world: World, message: StartRun) -> None:
    await world.bus.store([Outgoing(world.subjects.request(message.run_id), encode(message))])


async def begin_family(world: World) -> RunId:
    await world.register("child", WAIT)
    await world.register("parent", FAMILY, cancel_grace=0)
    parent = (await world.client.start("parent")).run_id
    await world.until_recorded(child_run_id(parent, "part", 1), "signal-awaited")
    return parent


# --- runs and the runs of their sub-workflows ----------------------------------------------------


async def test_a_run_whose_parent_went_on_without_it_is_cancelled(world: World) -> None:
    """The parent was cancelled and never heard of the child: its start came after that."""
    swept_every(world, 0.2)
    async with world.orchestrator():
        parent = await begin_family(world)
        await world.client.cancel(parent, "enough")
        await world.result(parent)
    child, start = start_of_child(parent, attempt=2)
    async with world.orchestrator():  # it remembers no run that has ended
        await say(world, start)
        ended = await world.result(child)
    assert ended.status == "cancelled"
    assert world.history(child)[-1].by == f"client:run:{parent}"


async def test_a_start_that_comes_when_nobody_waits_for_it_begins_nothing(world: World) -> None:
    async with world.orchestrator():
        parent = await begin_family(world)
        child, start = start_of_child(parent, attempt=2)
        await say(world, start)
        await world.client.cancel(parent, "enough")
        await world.result(parent)
        await say(world, start)
        await world.client.start("child")  # whatever came before it has been decided on
    assert world.history(child) == []


async def test_an_inbox_that_is_full_does_not_hold_up_who_empties_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each start asks for a child, and there is room for none as long as the starts are there."""
    monkeypatch.setattr("dalsegno_bus.topology.INBOX_MESSAGES_MAX", 8)
    monkeypatch.setattr("dalsegno_orchestrator.outbox.BACKOFF_SECONDS_MAX", 0.05)
    async with world.orchestrator():
        await world.register("child", {"rest": {"sleep": "0s"}})
        await world.register("parent", {**FAMILY, "more": {"workflow": "child"}})
        starts = [StartRun(run_id=new_run_id(), workflow="parent") for _ in range(8)]
        await world.bus.store(
            [Outgoing(world.subjects.request(one.run_id), encode(one)) for one in starts]
        )
        for one in starts:
            assert (await world.result(one.run_id)).status == "completed"


async def test_an_end_that_is_too_large_for_a_message_waits_for_the_artifacts(
    world: World, tmp_path: Path
) -> None:
    swept_every(world, 0.2)
    artifacts = tmp_path / "artifacts"
    artifacts.mkdir(exist_ok=True)
    artifacts.rename(tmp_path / "away")
    artifacts.write_text("no folder")
    output = ["${ input.text }"] * 4
    async with world.orchestrator() as orchestrator:
        await world.register("child", {"rest": {"sleep": "0s"}}, output=output)
        tasks = {"part": {"workflow": "child", "input": "${ input }"}}
        await world.register("parent", tasks, output=5)
        parent = (await world.client.start("parent", {"text": "x" * 30_000})).run_id
        child = child_run_id(parent, "part", 1)
        await world.until_recorded(child, "run-completed")
        assert orchestrator.is_ready
        artifacts.unlink()
        (tmp_path / "away").rename(artifacts)
        ended = await world.result(parent)
    assert ended.status == "completed"


# --- one of two orchestrators sees late what the other one did -----------------------------------


async def test_a_request_is_not_answered_from_what_another_one_has_changed(world: World) -> None:
    async with world.orchestrator():
        await world.register("wait", WAIT)
        run_id = (await world.client.start("wait")).run_id
        append(world, run_id, RunPaused())
        resumed = await world.client.resume(run_id)
        assert resumed.status == "running"
    assert world.kinds(run_id)[-1] == "run-resumed"


async def test_a_run_that_another_one_ended_can_be_retried_at_once(world: World) -> None:
    async with world.orchestrator():
        await world.register("wait", WAIT)
        run_id = (await world.client.start("wait")).run_id
        append(world, run_id, RunFailed(error=Failure(code="run.deadline", message="late")))
        world.store.append([], closed=[run_id])
        await world.client.retry(run_id)
    assert "run-reopened" in world.kinds(run_id)


async def test_a_report_on_a_run_that_another_one_took_up_again_is_taken_at_once(
    world: World,
) -> None:
    async with world.orchestrator() as orchestrator:
        tasks = {"one": step("nobody", queue_timeout="20ms", retry={"max_attempts": 1})}
        await world.register("one", tasks)
        run_id = (await world.client.start("one")).run_id
        assert (await world.result(run_id)).status == "failed"
        await until(lambda: orchestrator.pipeline.runs.has_ended(run_id))
        assigned = TaskAssigned(task_id="one", attempt=1, agent="a", capability="nobody")
        append(world, run_id, RunReopened(tasks=("one",)), assigned)
        report = CompletedReport(
            run_id=run_id, task_id="one", attempt=1, agent="a", replica=new_replica_id()
        )
        await world.bus.store([Outgoing(world.subjects.report("a", run_id), encode(report))])
        await world.until_recorded(run_id, "run-completed")


async def test_whoever_asks_about_a_history_that_is_no_run_stops_nobody(world: World) -> None:
    async with world.orchestrator() as orchestrator:
        await world.register("wait", WAIT)
        question = AskWanted(
            run_id=RunId(workflow_id("wait")), task_id="go", attempt=1, agent="a", replica="r"
        )
        asked = Outgoing(world.subjects.wanted, encode(question))
        with pytest.raises(Unavailable):
            await world.bus.ask(asked, timeout_seconds=0.2)
        await world.client.start("wait")
        assert orchestrator.is_ready


# --- permits, schedules --------------------------------------------------------------------------


async def test_undoing_does_not_wait_for_a_permit_of_an_attempt_that_was_given_up(
    world: World,
) -> None:
    ghost: Agent[None] = Agent("ghost", deps=None)

    @ghost.handles("haunt")
    async def haunt(number: Number, context: TaskContext[None]) -> Number:
        return number

    hand, _ = troupe()
    async with world.orchestrator(), world.worker(hand):
        async with world.worker(ghost):
            await world.until_known("ghost")
        await world.until_known("hand")
        tasks = {"one": booked(1), "two": step("haunt", after=["one"])}
        limits = {"concurrency": 1}
        await world.register("trip", tasks, limits=limits, cancel_grace="100ms")
        run_id = (await world.client.start("trip")).run_id
        await world.until_recorded(run_id, "task-assigned", 2)
        await world.client.cancel(run_id, "enough")  # and the ghost never says a word
        ended = await world.result(run_id)
    assert ended.status == "cancelled"
    assert [row for row in world.store.permits() if row.given_back_at is None] == []


class Clock:
    """A clock that goes on by itself, and may be put forward; it begins at noon."""

    def __init__(self) -> None:
        self.put(0)

    def __call__(self) -> datetime:
        return utc_now() + self._ahead

    def put(self, minute: int) -> None:
        self._ahead = NOON + timedelta(minutes=minute) - utc_now()


@pytest.mark.parametrize("moment", ["before", "after", "wipe"])
async def test_every_tick_has_one_run_though_orchestrators_die_at_every_commit(
    moment: Moment, tmp_path: Path
) -> None:
    clock = Clock()

    async def act(stage: Stage) -> RunId:
        for number in (1, 2, 3):
            clock.put(number)
            await stage.world.until_recorded(STREAM, "scheduled-run-ended", number)
        fired = [r.event for r in stage.world.history(STREAM) if isinstance(r.event, TickFired)]
        assert [tick.tick.minute for tick in fired] == [1, 2, 3]
        assert len({tick.run_id for tick in fired}) == 3
        return fired[-1].run_id

    schedule = {"cron": "* * * * *", "overlap": "queue", "catchup": "all"}
    workflow = {"workflow": "report", "tasks": {"rest": {"sleep": "0s"}}, "schedule": schedule}
    report = Play("report", [workflow], lambda: (), act, ("completed", None))
    async with stage_of(report, tmp_path) as stage:
        stage.now = clock
        await perform(stage, Fuse(EACH, moment), Fuse())
        starts = [r.event for told in stage.histories().values() for r in told]
        assert sum(isinstance(event, RunStarted) for event in starts) == 3
