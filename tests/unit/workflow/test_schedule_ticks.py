"""When a cron line ticks, above all where the wall clock is put forward or back."""

from datetime import UTC, datetime
from itertools import islice
from zoneinfo import ZoneInfo

from dalsegno_orchestrator.workflow.schedule import ticks

BERLIN = ZoneInfo("Europe/Berlin")


def local(cron: str, after: datetime, count: int) -> list[str]:
    """The next ticks, as a clock on a wall in Berlin shows them."""
    found = islice(ticks(cron, "Europe/Berlin", after=after), count)
    return [f"{tick.astimezone(BERLIN):%m-%d %H:%M %z}" for tick in found]


def test_a_weekly_tick_keeps_its_hour_through_the_change_of_the_clock() -> None:
    before = datetime(2026, 3, 23, 12, tzinfo=BERLIN)
    assert local("0 6 * * 1", before, 2) == ["03-30 06:00 +0200", "04-06 06:00 +0200"]
    before = datetime(2026, 10, 19, 0, tzinfo=BERLIN)
    assert local("0 6 * * 1", before, 2) == ["10-19 06:00 +0200", "10-26 06:00 +0100"]


def test_a_tick_in_the_hour_that_is_left_out_comes_once_right_after_it() -> None:
    before = datetime(2026, 3, 28, 12, tzinfo=BERLIN)
    assert local("30 2 * * *", before, 2) == ["03-29 03:00 +0200", "03-30 02:30 +0200"]


def test_several_ticks_in_the_hour_that_is_left_out_are_one() -> None:
    before = datetime(2026, 3, 28, 12, tzinfo=BERLIN)
    assert local("0,20,40 2,3 * * *", before, 3) == [
        "03-29 03:00 +0200",
        "03-29 03:20 +0200",
        "03-29 03:40 +0200",
    ]


def test_a_tick_in_the_hour_that_comes_twice_comes_once() -> None:
    before = datetime(2026, 10, 24, 12, tzinfo=BERLIN)
    assert local("30 2 * * *", before, 2) == ["10-25 02:30 +0200", "10-26 02:30 +0100"]


def test_looking_from_within_the_second_of_the_doubled_hours_brings_none_back() -> None:
    within = datetime(2026, 10, 25, 2, 10, tzinfo=BERLIN, fold=1)
    assert local("30 2 * * *", within, 1) == ["10-26 02:30 +0100"]


def test_a_tick_each_hour_counts_real_hours() -> None:
    before = datetime(2026, 10, 25, 1, 30, tzinfo=BERLIN)
    assert local("0 * * * *", before, 3) == [
        "10-25 02:00 +0200",
        "10-25 02:00 +0100",
        "10-25 03:00 +0100",
    ]
    before = datetime(2026, 3, 29, 1, 30, tzinfo=BERLIN)
    assert local("0 * * * *", before, 2) == ["03-29 03:00 +0200", "03-29 04:00 +0200"]


def test_ticks_are_in_utc_and_never_the_moment_itself() -> None:
    at = datetime(2026, 1, 5, 6, tzinfo=UTC)
    found = next(ticks("0 6 * * 1", "UTC", after=at))
    assert found == datetime(2026, 1, 12, 6, tzinfo=UTC)
    assert found.tzinfo is UTC
