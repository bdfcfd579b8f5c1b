"""Schedules, for real: every tick has one run, whoever is there, late, away or dies."""

import random
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest

from dalsegno_bus.clock import utc_now
from dalsegno_bus.errors import RunRejected, VersionConflict
from dalsegno_bus.ids import RunId, schedule_id, workflow_id
from dalsegno_orchestrator.history import NO_DIGEST, seal
from dalsegno_orchestrator.registry import Registration, Registry
from dalsegno_orchestrator.schedules import ScheduleChanges, Schedules
from dalsegno_orchestrator.storage.open_runs import OpenRun
from dalsegno_orchestrator.timers import Timers
from dalsegno_orchestrator.workflow.events import Fact, ScheduleSet, TickFired, TickSkipped
from dalsegno_orchestrator.workflow.facts import TimeReached
from dalsegno_orchestrator.workflow.grammar.policies import Schedule
from dalsegno_orchestrator.workflow.schedule import (
    ScheduleMessage,
    ScheduleWanted,
    decide_schedule,
)
from support.world import World, until

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
STREAM = RunId(schedule_id("report"))
MINUTELY = {"cron": "* * * * *"}
AT_ONCE = {"rest": {"sleep": "0s"}}
WHEN_TOLD = {"go": {"wait": {"signal": "go"}}}
FactT = TypeVar("FactT", bound=Fact)


class Clock:
    """A clock that goes on by itself, and may be put forward; it begins at noon."""

    def __init__(self) -> None:
        self.put(NOON)

    def __call__(self) -> datetime:
        return utc_now() + self._ahead

    def put(self, at: datetime) -> None:
        """It is so late now; orchestrators look at it every second."""
        self._ahead = at - utc_now()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """What the orchestrators of a world tell the time by."""
    made = Clock()
    monkeypatch.setattr("support.world.utc_now", made)
    return made


def minute(number: int) -> datetime:
    return NOON + timedelta(minutes=number)


def told(world: World, kind: type[FactT]) -> list[FactT]:
    """The facts of this kind in the schedule's stream."""
    return [one.event for one in world.history(STREAM) if isinstance(one.event, kind)]


async def fired(world: World, count: int) -> list[TickFired]:
    await world.until_recorded(STREAM, "tick-fired", count)
    return told(world, TickFired)


def started(world: World, runs: Sequence[TickFired]) -> list[int]:
    """How often each of these runs was started."""
    return [world.kinds(tick.run_id).count("run-started") for tick in runs]


def is_open(world: World, stream: RunId) -> bool:
    opened = world.store.open_runs(range(world.subjects.partitions))
    return any(one.run_id == stream for one in opened)


async def register(world: World, schedule: Any, tasks: Any = AT_ONCE, version: int = 1) -> None:
    document = {"workflow": "report", "version": version, "tasks": tasks}
    if schedule is not None:
        document["schedule"] = schedule
    await world.client.register(document)


async def test_each_tick_has_one_run_though_two_orchestrators_share_the_work(
    world: World, clock: Clock
) -> None:
    world.settings = world.settings.model_copy(update={"sweep_seconds": 0.2})
    async with world.orchestrator() as one, world.orchestrator() as other:
        await register(world, {**MINUTELY, "overlap": "allow"})
        both = (one, other)  # whoever owns its partition, now or after the other has joined
        await until(lambda: any(each.pipeline.schedules.holds(STREAM) for each in both))
        for number in range(1, 4):
            clock.put(minute(number))
            await fired(world, number)
        ticks = await fired(world, 3)
        await until(lambda: started(world, ticks) == [1] * len(ticks))
        for tick in ticks:
            ended = await world.result(tick.run_id)
            assert ended.status == "completed"
        await world.until_recorded(STREAM, "scheduled-run-ended", len(ticks))
    assert [tick.tick for tick in ticks] == [minute(number) for number in range(1, 4)]
    assert set(Counter(tick.run_id for tick in ticks).values()) == {1}
    assert told(world, TickSkipped) == []


async def test_a_run_says_that_a_schedule_started_it(world: World, clock: Clock) -> None:
    async with world.orchestrator():
        await register(world, {**MINUTELY, "input": {"month": 1}})
        clock.put(minute(1))
        [tick] = await fired(world, 1)
        await world.until_recorded(tick.run_id, "run-started")
    event = world.history(tick.run_id)[0].event
    assert getattr(event, "input") == {"month": 1}  # noqa: B009 - any fact may be first
    labels = getattr(event, "labels")  # noqa: B009
    assert labels == {"schedule": "report", "tick": minute(1).isoformat()}


async def test_a_tick_whose_run_was_never_asked_for_is_asked_for_at_the_next_start(
    world: World, clock: Clock
) -> None:
    async with world.orchestrator():
        await register(world, MINUTELY)
    # Another orchestrator commits the tick, and dies.
    schedules = _replica(world)
    changes = ScheduleChanges()
    schedules.decide(changes, "report", TimeReached(), now=minute(1))
    opened: list[OpenRun] = []
    schedules.index(changes, world.subjects.partition, opened, [])
    world.store.append(changes.sealed, opened=opened)
    clock.put(minute(1))
    async with world.orchestrator():
        [tick] = await fired(world, 1)
        await world.result(tick.run_id)
        await world.until_recorded(STREAM, "scheduled-run-ended")
    assert started(world, [tick]) == [1]


async def test_who_takes_over_starts_what_the_other_one_missed(world: World, clock: Clock) -> None:
    async with world.orchestrator():
        await register(world, {"cron": "*/10 * * * *", "catchup": "one"})
    clock.put(minute(55))
    async with world.orchestrator():
        [newest] = await fired(world, 1)
    assert newest.tick == minute(50)
    [missed] = told(world, TickSkipped)
    assert (missed.tick, missed.count) == (minute(10), 4)


async def test_a_queued_tick_starts_when_the_run_before_it_ends(world: World, clock: Clock) -> None:
    async with world.orchestrator():
        await register(world, {**MINUTELY, "overlap": "queue"}, WHEN_TOLD)
        clock.put(minute(1))
        [first] = await fired(world, 1)
        await world.until_recorded(first.run_id, "signal-awaited")
        clock.put(minute(2))
        await world.until_recorded(STREAM, "tick-queued")
        await world.client.signal(first.run_id, "go")
        second = (await fired(world, 2))[1]
        await world.until_recorded(second.run_id, "signal-awaited")
    assert second.tick == minute(2)


async def test_a_tick_is_skipped_while_the_run_before_it_goes_on(
    world: World, clock: Clock
) -> None:
    async with world.orchestrator():
        await register(world, MINUTELY, WHEN_TOLD)
        clock.put(minute(1))
        [first] = await fired(world, 1)
        clock.put(minute(2))
        await world.until_recorded(STREAM, "tick-skipped")
        await world.client.cancel(first.run_id)
        await world.until_recorded(STREAM, "scheduled-run-ended")
        clock.put(minute(3))
        assert (await fired(world, 2))[1].tick == minute(3)


async def test_a_paused_schedule_starts_nothing_until_it_is_resumed(
    world: World, clock: Clock
) -> None:
    async with world.orchestrator():
        await register(world, MINUTELY)
        paused = await world.client.pause_schedule("report", reason="holidays")
        clock.put(minute(4))
        resumed = await world.client.resume_schedule("report")
        clock.put(minute(5))
        [tick] = await fired(world, 1)
    assert (paused.status, resumed.status) == ("paused", "active")
    assert tick.tick == minute(5)
    [passed] = told(world, TickSkipped)
    assert (passed.tick, passed.count) == (minute(1), 4)


async def test_there_is_no_schedule_to_pause_where_none_is_set(world: World) -> None:
    async with world.orchestrator():
        with pytest.raises(RunRejected, match="workflow 'report' has no schedule"):
            await world.client.pause_schedule("report")
    assert world.history(STREAM) == []


async def test_a_version_without_a_schedule_ends_it(world: World, clock: Clock) -> None:
    async with world.orchestrator():
        await register(world, MINUTELY)
        assert is_open(world, STREAM)
        await register(world, None, version=2)
        await world.until_recorded(STREAM, "schedule-removed")
        assert not is_open(world, STREAM)
        await register(world, MINUTELY, version=3)
        clock.put(minute(1))
        await fired(world, 1)
    assert [event.workflow_version for event in told(world, ScheduleSet)] == [1, 3]


async def test_registering_again_sets_a_schedule_that_was_never_set(world: World) -> None:
    document = {"workflow": "report", "version": 1, "tasks": AT_ONCE, "schedule": MINUTELY}
    decided = Registry(world.store).decide(document)
    assert isinstance(decided, Registration)
    stream = workflow_id("report")
    sealed = seal(stream, 1, decided.event, at=NOON, by="x", cause="x", previous=NO_DIGEST)
    world.store.append([sealed])
    async with world.orchestrator():
        await register(world, MINUTELY)
        assert world.kinds(STREAM) == ["schedule-set"]
        await register(world, MINUTELY)
        assert world.kinds(STREAM) == ["schedule-set"]


async def test_of_two_who_decide_on_a_tick_at_the_same_time_one_is_refused(world: World) -> None:
    wanted = ScheduleWanted(workflow="report", version=1, schedule=Schedule(cron="* * * * *"))
    _append(world, _replica(world), wanted, minute(0))
    ours, theirs = _replica(world), _replica(world)
    batches = ScheduleChanges(), ScheduleChanges()
    for schedules, batch in zip((ours, theirs), batches, strict=True):
        schedules.decide(batch, "report", TimeReached(), now=minute(1))
    world.store.append(batches[0].sealed)
    with pytest.raises(VersionConflict):
        world.store.append(batches[1].sealed)
    theirs.refresh(STREAM)
    held = theirs.held(STREAM)
    assert held is not None
    assert decide_schedule(held.state, TimeReached(), minute(1)) == []
    assert [start.run_id for start in batches[0].starts] == list(held.state.running)


@pytest.mark.parametrize("seed", range(5))
async def test_whoever_is_stale_or_dies_each_tick_is_decided_once(world: World, seed: int) -> None:
    chance = random.Random(seed)
    schedule = Schedule(cron="* * * * *", overlap="allow", catchup="all")
    group = [_replica(world) for _ in range(3)]
    _append(
        world, group[0], ScheduleWanted(workflow="report", version=1, schedule=schedule), minute(0)
    )
    now = minute(0)
    for _ in range(60):
        now += timedelta(seconds=chance.choice([0, 1, 30, 60, 200]))
        number = chance.randrange(len(group))
        what = chance.choice(["decide", "decide", "read", "restart"])
        if what == "restart":
            group[number] = _replica(world)
        elif what == "read":
            group[number].refresh(STREAM)
        elif group[number].holds(STREAM):
            skew = timedelta(seconds=chance.uniform(-20, 20))
            _append(world, group[number], TimeReached(), now + skew)
    ticks = [one.tick for one in told(world, TickFired)]
    assert ticks == [minute(number) for number in range(1, len(ticks) + 1)]
    assert len(ticks) > 5


def _replica(world: World) -> Schedules:
    """The schedules of an orchestrator that just started."""
    schedules = Schedules(world.store, Timers(), namespace=world.settings.namespace)
    history = world.history(STREAM)
    if history:
        schedules.admit(history)
    return schedules


def _append(world: World, schedules: Schedules, message: ScheduleMessage, now: datetime) -> None:
    """Decide on what is in memory, however old; who was too slow reads and decides again."""
    while True:
        changes = ScheduleChanges()
        schedules.decide(changes, "report", message, now=now)
        try:
            world.store.append(changes.sealed)
        except VersionConflict:
            schedules.refresh(STREAM)
        else:
            schedules.committed(changes, looked_at=[])
            return
