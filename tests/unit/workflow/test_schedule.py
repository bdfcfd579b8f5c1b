"""A schedule, given facts, when a message comes or time passes, then facts."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest

from dalsegno_bus.ids import RunId, schedule_id, tick_run_id
from dalsegno_bus.messages import ChildOver, PauseSchedule, ResumeSchedule
from dalsegno_orchestrator.workflow import schedule as core
from dalsegno_orchestrator.workflow.events import (
    ScheduledRunEnded,
    SchedulePaused,
    ScheduleRemoved,
    ScheduleResumed,
    ScheduleSet,
    TickFired,
    TickQueued,
    TickSkipped,
)
from dalsegno_orchestrator.workflow.facts import TimeReached
from dalsegno_orchestrator.workflow.grammar.policies import Schedule
from dalsegno_orchestrator.workflow.schedule import (
    ScheduleEvent,
    ScheduleMessage,
    ScheduleState,
    ScheduleWanted,
    decide_schedule,
    evolve_schedule,
    start_of,
)

BEGIN = datetime(2026, 1, 5, 12, 0, 30, tzinfo=UTC)
HOURLY = Schedule(cron="0 * * * *")
Overlap = Literal["skip", "queue", "allow"]
Catchup = Literal["none", "one", "all"]


class Story:
    """One schedule, driven by hand. `facts` is the history of it."""

    def __init__(self, schedule: Schedule | None = HOURLY) -> None:
        self.now = BEGIN
        self.state = ScheduleState(namespace="ds", workflow="report")
        self.facts: list[ScheduleEvent] = []
        if schedule is not None:
            self.want(schedule)

    def when(self, message: ScheduleMessage) -> list[ScheduleEvent]:
        events = decide_schedule(self.state, message, self.now)
        for event in events:
            self.state = evolve_schedule(self.state, event, self.now)
        self.facts += events
        return events

    def want(self, schedule: Schedule | None, *, version: int = 1) -> list[ScheduleEvent]:
        return self.when(ScheduleWanted(workflow="report", version=version, schedule=schedule))

    def at(self, hour: float) -> list[ScheduleEvent]:
        """It is so many hours after noon of the first day."""
        self.now = noon(hour)
        return self.when(TimeReached())

    def end(self, hour: float, status: Any = "completed") -> list[ScheduleEvent]:
        """The run of that tick is over."""
        stream = RunId(schedule_id("report"))
        return self.when(ChildOver(run_id=stream, child=run_of(hour), status=status))

    def pause(self) -> list[ScheduleEvent]:
        return self.when(PauseSchedule(workflow="report", reason="holidays"))

    def resume(self) -> list[ScheduleEvent]:
        return self.when(ResumeSchedule(workflow="report"))


def noon(hours: float) -> datetime:
    return datetime(2026, 1, 5, 12, tzinfo=UTC) + timedelta(hours=hours)


def run_of(hour: float) -> RunId:
    return tick_run_id("ds", "report", noon(hour).isoformat())


def fired(hour: float) -> TickFired:
    return TickFired(tick=noon(hour), run_id=run_of(hour))


def skipped(first: float, last: float, count: int, reason: str) -> TickSkipped:
    return TickSkipped(tick=noon(first), last=noon(last), count=count, reason=reason)


def hourly(overlap: Overlap = "skip", catchup: Catchup = "none") -> Schedule:
    return Schedule(cron="0 * * * *", overlap=overlap, catchup=catchup)


GOES_ON = "the run of the tick before goes on"


def test_a_schedule_that_is_wanted_is_set_once() -> None:
    story = Story(None)
    expected = ScheduleSet(
        workflow="report",
        workflow_version=1,
        cron="0 * * * *",
        timezone="UTC",
        overlap="skip",
        catchup="none",
        input={},
    )
    assert story.want(HOURLY) == [expected]
    assert story.want(HOURLY) == []
    assert story.state.next_look() == noon(1)


def test_a_tick_starts_its_run_and_only_once() -> None:
    story = Story()
    assert story.at(0.9) == []
    assert story.at(1) == [fired(1)]
    assert story.at(1) == []
    assert story.state.next_look() == noon(2)


def test_the_request_for_a_run_says_where_it_comes_from() -> None:
    story = Story(Schedule(cron="0 * * * *", input={"a": 1}))
    story.at(1)
    story.want(Schedule(cron="0 * * * *", input={"a": 2}), version=2)
    request = start_of(story.state, run_of(1))
    assert (request.workflow, request.version, request.input) == ("report", 1, {"a": 1})
    assert request.labels == {"schedule": "report", "tick": "2026-01-05T13:00:00+00:00"}
    assert request.requested_by == "schedule:report"
    assert request.parent is not None
    assert request.parent.run_id == schedule_id("report")


def test_a_tick_that_is_seen_a_little_late_counts() -> None:
    story = Story()
    assert story.at(1 + 60 / 3600) == [fired(1)]


def test_a_tick_that_is_seen_too_late_was_missed() -> None:
    story = Story()
    assert story.at(1 + 61 / 3600) == [skipped(1, 1, 1, core.MISSED)]


def test_none_of_the_missed_ticks_is_made_up_for() -> None:
    story = Story(hourly(catchup="none"))
    assert story.at(5.5) == [skipped(1, 5, 5, core.MISSED)]
    assert story.at(6) == [fired(6)]


def test_one_of_the_missed_ticks_is_made_up_for_the_newest() -> None:
    story = Story(hourly(catchup="one"))
    assert story.at(5.5) == [skipped(1, 4, 4, core.MISSED), fired(5)]


def test_a_single_missed_tick_is_made_up_for_without_a_word_on_others() -> None:
    story = Story(hourly(catchup="one"))
    assert story.at(1.5) == [fired(1)]


def test_all_of_the_missed_ticks_are_made_up_for() -> None:
    story = Story(hourly("allow", "all"))
    assert story.at(3.5) == [fired(1), fired(2), fired(3)]


def test_of_very_many_missed_ticks_the_newest_thousand_are_made_up_for() -> None:
    story = Story(hourly("allow", "all"))
    first, *rest = story.at(1200.5)
    assert first == skipped(1, 200, 200, core.MISSED)
    assert rest == [fired(hour) for hour in range(201, 1201)]


def test_what_is_made_up_for_does_not_overlap_either() -> None:
    story = Story(hourly("skip", "all"))
    assert story.at(4.5) == [fired(1), skipped(2, 4, 3, GOES_ON)]


def test_a_tick_is_skipped_while_the_run_before_goes_on() -> None:
    story = Story(hourly("skip"))
    story.at(1)
    assert story.at(2) == [skipped(2, 2, 1, GOES_ON)]
    assert story.end(1) == [ScheduledRunEnded(run_id=run_of(1), status="completed")]
    assert story.at(3) == [fired(3)]


def test_ticks_queue_while_the_run_before_goes_on_and_go_one_by_one() -> None:
    story = Story(hourly("queue"))
    story.at(1)
    assert story.at(2) == [TickQueued(tick=noon(2))]
    assert story.at(3) == [TickQueued(tick=noon(3))]
    ended = ScheduledRunEnded(run_id=run_of(1), status="failed")
    assert story.end(1, "failed") == [ended, fired(2)]
    assert story.at(4) == [TickQueued(tick=noon(4))]
    assert story.end(2)[1:] == [fired(3)]
    assert story.end(3)[1:] == [fired(4)]
    assert story.end(4)[1:] == []


def test_a_queue_that_is_full_takes_no_tick_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "QUEUE_MAX", 2)
    story = Story(hourly("queue"))
    for hour in (1, 2, 3):
        story.at(hour)
    [full] = story.at(4)
    assert isinstance(full, TickSkipped)
    assert "wait for the run before them already" in full.reason


def test_runs_may_overlap_where_that_is_allowed() -> None:
    story = Story(hourly("allow"))
    assert [*story.at(1), *story.at(2)] == [fired(1), fired(2)]
    assert set(story.state.running) == {run_of(1), run_of(2)}


def test_a_second_copy_of_an_end_changes_nothing() -> None:
    story = Story(hourly("queue"))
    story.at(1)
    story.end(1)
    assert story.end(1) == []
    assert story.end(7) == []


def test_nothing_is_started_while_it_is_paused() -> None:
    story = Story()
    assert story.pause() == [SchedulePaused(reason="holidays")]
    assert story.pause() == []
    assert story.at(3) == []
    assert story.state.next_look() is None
    story.now = noon(3.5)
    assert story.resume() == [skipped(1, 3, 3, core.PAUSED), ScheduleResumed()]
    assert story.resume() == []
    assert story.at(4) == [fired(4)]


def test_what_is_due_when_it_is_paused_is_started_before() -> None:
    story = Story()
    story.now = noon(1)
    assert story.pause() == [fired(1), SchedulePaused(reason="holidays")]


def test_what_is_queued_waits_until_it_is_resumed() -> None:
    story = Story(hourly("queue"))
    story.at(1)
    story.at(2)
    story.pause()
    assert story.end(1)[1:] == []
    assert story.resume() == [ScheduleResumed(), fired(2)]


def test_a_newer_version_without_a_schedule_removes_it() -> None:
    story = Story(hourly("queue"))
    story.at(1)
    story.at(2)
    removed = ScheduleRemoved(workflow="report", workflow_version=2)
    assert story.want(None, version=2) == [skipped(2, 2, 1, core.REMOVED), removed]
    assert story.want(None, version=2) == []
    assert story.at(9) == []
    assert story.state.is_open, "the run of the first tick goes on"
    story.end(1)
    assert not story.state.is_open


def test_what_is_due_when_it_is_removed_is_started_before() -> None:
    story = Story()
    story.now = noon(1)
    assert story.want(None, version=2) == [
        fired(1),
        ScheduleRemoved(workflow="report", workflow_version=2),
    ]


def test_a_workflow_that_never_had_a_schedule_has_nothing_to_remove() -> None:
    story = Story(None)
    assert story.want(None, version=3) == []
    assert not story.state.is_open


def test_an_older_version_changes_nothing_any_more() -> None:
    story = Story()
    story.want(None, version=3)
    assert story.want(HOURLY, version=2) == []
    story.want(HOURLY, version=4)
    assert story.want(None, version=3) == []


def test_ticks_before_a_new_schedule_are_decided_by_the_old_one() -> None:
    story = Story()
    story.now = noon(1)
    tick, changed = story.want(Schedule(cron="30 * * * *"), version=2)
    assert tick == fired(1)
    assert isinstance(changed, ScheduleSet)
    assert story.state.next_look() == noon(1.5)


def test_a_schedule_that_is_set_anew_while_paused_stays_paused() -> None:
    story = Story()
    story.pause()
    story.now = noon(2.5)
    first, changed = story.want(Schedule(cron="30 * * * *"), version=2)
    assert first == skipped(1, 2, 2, core.PAUSED)
    assert isinstance(changed, ScheduleSet)
    assert story.state.status == "paused"


def test_pausing_what_is_not_set_says_nothing() -> None:
    story = Story(None)
    assert (story.pause(), story.resume()) == ([], [])


def test_a_clock_that_runs_back_fires_nothing_again() -> None:
    story = Story()
    story.at(3)
    story.end(3)
    assert story.at(2) == []
    story.want(hourly("allow"), version=2)
    assert story.at(3) == []


def test_the_history_alone_gives_the_same_state() -> None:
    story = Story(hourly("queue", "all"))
    story.at(2.5)
    story.pause()
    story.resume()
    assert _replayed(story.facts).running.keys() == story.state.running.keys()
    assert _replayed(story.facts).queue == story.state.queue


def _replayed(facts: Sequence[ScheduleEvent]) -> ScheduleState:
    state = ScheduleState(namespace="ds", workflow="report")
    for fact in facts:
        read_back = type(fact).model_validate_json(fact.model_dump_json())
        state = evolve_schedule(state, read_back, BEGIN)
    return state
