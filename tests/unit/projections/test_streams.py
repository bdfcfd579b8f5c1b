"""What is no run: schedules and limits."""

from unit.projections.story import OTHER, RUN, at, history, iso, scheduled

from dalsegno_bus.ids import schedule_id
from dalsegno_orchestrator.workflow import events as e
from dalsegno_projections.views.limits import LIMITS, LimitRow, LimitsView
from dalsegno_projections.views.schedules import SCHEDULES, ScheduleRow, SchedulesView
from dalsegno_projections.views.table import fold

STREAM = schedule_id("story")


def schedule_after(*events: e.Event) -> ScheduleRow:
    row = fold(SchedulesView(), history(*events, stream=STREAM)).get(SCHEDULES, (str(STREAM),))
    assert row is not None
    return row


def limits_after(*events: e.Event) -> dict[str, LimitRow]:
    rows = fold(LimitsView(), history(*events)).tables[LIMITS.name].values()
    return {row.limit: row for row in rows if isinstance(row, LimitRow)}


def test_a_schedule_is_known_as_it_was_set_last() -> None:
    row = schedule_after(scheduled(), scheduled("0 7 * * *"))
    assert (row.workflow, row.cron, row.timezone) == ("story", "0 7 * * *", "Europe/Berlin")
    assert (row.state, row.set_at, row.set_by) == ("active", iso(1), "client:test")


def test_a_schedule_counts_its_ticks_and_knows_its_last_run() -> None:
    row = schedule_after(
        scheduled(),
        e.TickFired(tick=at(60), run_id=OTHER),
        e.TickQueued(tick=at(120)),
        e.ScheduledRunEnded(run_id=OTHER, status="completed"),
        e.TickSkipped(tick=at(180), count=3, last=at(300), reason="nobody was there"),
    )
    assert (row.fired, row.queued, row.skipped) == (1, 1, 3)
    assert (row.last_tick, row.last_run, row.last_run_status) == (iso(300), str(OTHER), "completed")


def test_the_end_of_an_older_run_is_not_that_of_the_last_one() -> None:
    row = schedule_after(
        scheduled(),
        e.TickFired(tick=at(60), run_id=OTHER),
        e.TickFired(tick=at(120), run_id=RUN),
        e.ScheduledRunEnded(run_id=OTHER, status="failed"),
    )
    assert (row.last_run, row.last_run_status) == (str(RUN), None)


def test_a_schedule_stands_still_until_it_is_resumed() -> None:
    paused = (scheduled(), e.SchedulePaused(reason="holidays"))
    row = schedule_after(*paused, scheduled("0 8 * * *"))
    assert (row.state, row.paused_reason) == ("paused", "holidays")
    row = schedule_after(*paused, e.ScheduleResumed())
    assert (row.state, row.paused_reason) == ("active", None)
    removed = e.ScheduleRemoved(workflow="story", workflow_version=2)
    assert schedule_after(*paused, removed).state == "removed"
    assert schedule_after(*paused, removed, scheduled()).state == "paused"
    row = schedule_after(*paused, removed, e.ScheduleResumed())
    assert (row.state, row.workflow_version) == ("removed", 2)
    assert schedule_after(*paused, removed, e.ScheduleResumed(), scheduled()).state == "active"


def test_a_limit_is_known_as_it_was_set_last() -> None:
    limits = limits_after(
        e.LimitSet(limit="quota:x", concurrency=2.0),
        e.LimitSet(limit="capability:do", rate=5.0, rate_seconds=1.0),
        e.LimitSet(limit="quota:x", rate=9.0),
        e.LimitRemoved(limit="capability:do"),
    )
    x = limits["quota:x"]
    assert (x.state, x.concurrency, x.rate, x.rate_seconds) == ("set", None, 9.0, 60.0)
    assert (x.set_at, x.set_by) == (iso(2), "client:test")
    assert (limits["capability:do"].state, limits["capability:do"].rate) == ("removed", None)
