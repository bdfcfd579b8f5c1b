"""Schedules, with their next tick."""

from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from dalsegno.schedules import planned, schedules_table
from dalsegno_projections.questions import ScheduleSummary

RUN = "01a20746-af62-7c76-934d-a7c115480a34"
AT = "2026-01-01T12:00:00+00:00"
NOW = datetime(2026, 3, 26, 12, tzinfo=UTC)
"""A Thursday; in Berlin the clocks change on the Sunday after."""


def schedule(**fields: Any) -> ScheduleSummary:
    given: dict[str, Any] = {
        "schedule_id": RUN,
        "workflow": "weekly-report",
        "workflow_version": 2,
        "cron": "0 6 * * 1",
        "timezone": "Europe/Berlin",
        "overlap": "skip",
        "catchup": "none",
        "state": "active",
        "paused_reason": None,
        "last_tick": None,
        "last_run": None,
        "last_run_status": None,
        "fired": 0,
        "skipped": 0,
        "queued": 0,
        "set_at": AT,
        "set_by": "client:ada",
        "changed_at": AT,
        **fields,
    }
    return ScheduleSummary.model_validate(given)


def shown(*found: ScheduleSummary) -> list[str]:
    console = Console(width=100, color_system=None)
    with console.capture() as capture:
        console.print(schedules_table([planned(one, NOW) for one in found]))
    return [line.rstrip() for line in capture.get().splitlines()]


def test_the_next_tick_follows_the_clocks_of_its_zone() -> None:
    one = planned(schedule(), NOW)
    assert one.next_tick == datetime(2026, 3, 30, 4, tzinfo=UTC), "six o'clock in summer time"
    assert one.as_json()["next_tick"] == "2026-03-30T04:00:00+00:00"
    assert "2026-03-30 06:00 CEST" in shown(schedule())[1]


def test_a_schedule_that_rests_has_no_next_tick() -> None:
    for state in ("paused", "removed"):
        assert planned(schedule(state=state), NOW).next_tick is None
    assert planned(schedule(state="removed"), NOW).as_json()["next_tick"] is None
    [line] = shown(schedule(state="paused", paused_reason="holidays"))[1:]
    assert line.endswith("paused: holidays")


def test_the_newest_run_is_shown_with_its_tick() -> None:
    ended = schedule(last_run=RUN, last_run_status="failed", last_tick=AT)
    open_ = schedule(last_run=RUN, last_tick=AT)
    lines = shown(ended, open_, schedule(skipped=2))
    assert "01a20746-af62 failed (tick of 2026-01-01" in " ".join(lines)
    assert "01a20746-af62 goes on" in " ".join(lines)
    assert "none yet, 2 skipped" in lines[-1]
