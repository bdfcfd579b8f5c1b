"""What holds for every schedule, whatever the clock, the messages and the restarts do."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import takewhile

from hypothesis import given, settings
from hypothesis import strategies as st

from dalsegno_bus.ids import RunId, schedule_id
from dalsegno_bus.messages import ChildOver, PauseSchedule, ResumeSchedule
from dalsegno_orchestrator.workflow.events import TickFired, TickQueued, TickSkipped
from dalsegno_orchestrator.workflow.facts import TimeReached
from dalsegno_orchestrator.workflow.grammar.policies import Schedule
from dalsegno_orchestrator.workflow.schedule import (
    ScheduleEvent,
    ScheduleMessage,
    ScheduleState,
    ScheduleWanted,
    decide_schedule,
    evolve_schedule,
    ticks,
)

BEGIN = datetime(2026, 3, 28, 20, 0, 30, tzinfo=UTC)
"""A few hours before the clock in Berlin is put forward."""

CRONS = ["*/20 * * * *", "0,30 2 * * *", "15 */3 * * *", "30 1-4 * * *"]

schedules = st.builds(
    Schedule,
    cron=st.sampled_from(CRONS),
    timezone=st.sampled_from(["UTC", "Europe/Berlin"]),
    overlap=st.sampled_from(["skip", "queue", "allow"]),
    catchup=st.sampled_from(["none", "one", "all"]),
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("time"), st.integers(-600, 20_000)),
        st.tuples(st.just("away"), st.integers(0, 400_000)),
        st.tuples(st.sampled_from(["end", "pause", "resume", "restart"]), st.integers(0, 90)),
    ),
    max_size=30,
)
Fact = tuple[ScheduleEvent, datetime]


def told(state: ScheduleState, what: str) -> ScheduleMessage:
    match what:
        case "end" if state.running:
            stream = RunId(schedule_id("report"))
            return ChildOver(run_id=stream, child=next(iter(state.running)), status="completed")
        case "pause":
            return PauseSchedule(workflow="report")
        case "resume":
            return ResumeSchedule(workflow="report")
        case _:
            return TimeReached()


def replayed(facts: Sequence[Fact]) -> ScheduleState:
    state = ScheduleState(namespace="ds", workflow="report")
    for fact, at in facts:
        state = evolve_schedule(state, type(fact).model_validate_json(fact.model_dump_json()), at)
    return state


def played(schedule: Schedule, story: Sequence[tuple[str, int]]) -> list[Fact]:
    """The facts of this story; at its end the schedule runs, and everything is decided."""
    facts: list[Fact] = []
    state, now = ScheduleState(namespace="ds", workflow="report"), BEGIN

    def decided(message: ScheduleMessage) -> ScheduleState:
        events = decide_schedule(state, message, now)
        facts.extend((event, now) for event in events)
        after = state
        for event in events:
            after = evolve_schedule(after, event, now)
        assert decide_schedule(after, message, now) == []
        assert decide_schedule(state, message, now) == events
        return after

    state = decided(ScheduleWanted(workflow="report", version=1, schedule=schedule))
    for what, seconds in story:
        now += timedelta(seconds=seconds)
        if what == "restart":
            state = replayed(facts)
        elif what != "away":
            state = decided(told(state, what))
    now += timedelta(hours=6)
    for message in (ResumeSchedule(workflow="report"), TimeReached()):
        state = decided(message)
    return facts


@given(schedules, steps)
@settings(max_examples=150, deadline=None)
def test_every_tick_has_one_fact_and_fires_at_most_once(
    schedule: Schedule, story: list[tuple[str, int]]
) -> None:
    facts = played(schedule, story)
    state = replayed(facts)
    fired = Counter(event.tick for event, _ in facts if isinstance(event, TickFired))
    runs = Counter(event.run_id for event, _ in facts if isinstance(event, TickFired))
    assert set(fired.values()) <= {1}
    assert set(runs.values()) <= {1}
    coming = ticks(schedule.cron, schedule.timezone, after=BEGIN)
    passed = list(takewhile(lambda tick: tick <= state.decided_until, coming))
    skipped = [
        tick
        for event, _ in facts
        if isinstance(event, TickSkipped)
        for tick in _ticks_of(event, passed)
    ]
    assert sorted([*fired, *skipped, *state.queue]) == passed


@given(schedules, steps)
@settings(max_examples=75, deadline=None)
def test_runs_overlap_only_where_they_may(schedule: Schedule, story: list[tuple[str, int]]) -> None:
    state = ScheduleState(namespace="ds", workflow="report")
    for event, at in played(schedule, story):
        if isinstance(event, TickFired) and schedule.overlap != "allow":
            assert not state.running
        if isinstance(event, TickQueued):
            assert schedule.overlap == "queue"
        assert not (isinstance(event, TickFired) and state.is_paused)
        state = evolve_schedule(state, event, at)


def _ticks_of(event: TickSkipped, passed: Sequence[datetime]) -> list[datetime]:
    found = [tick for tick in passed if event.tick <= tick <= (event.last or event.tick)]
    assert len(found) == event.count
    return found
