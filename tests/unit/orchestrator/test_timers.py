"""Which run is due when."""

from datetime import UTC, datetime, timedelta

from dalsegno_bus.ids import RunId, run_id_of_key
from dalsegno_orchestrator.timers import STALE_FACTOR, Timers

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def run(name: str) -> RunId:
    return run_id_of_key("ds", "w", name)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_runs_come_out_in_the_order_in_which_they_are_due() -> None:
    timers = Timers()
    for name, seconds in (("late", 30), ("soon", 10), ("next", 20)):
        assert timers.arm(run(name), at(seconds))
    assert timers.next_at() == at(10)
    assert timers.due(at(20), limit=10) == [run("soon"), run("next")]
    assert timers.due(at(29), limit=10) == []


def test_only_an_earlier_time_is_news() -> None:
    timers = Timers()
    assert timers.arm(run("a"), at(20))
    assert not timers.arm(run("a"), at(30))
    assert not timers.arm(run("a"), None)
    assert timers.arm(run("a"), at(10))
    assert timers.due(at(60), limit=10) == [run("a")], "each run is handed out once"


def test_what_was_handed_out_has_to_be_armed_again() -> None:
    timers = Timers()
    timers.arm(run("a"), at(1))
    timers.due(at(1), limit=10)
    assert timers.next_at() is None
    assert timers.arm(run("a"), at(60))


def test_a_disarmed_run_is_never_due() -> None:
    timers = Timers()
    timers.arm(run("a"), at(1))
    timers.disarm(run("a"))
    assert timers.next_at() is None
    assert timers.due(at(60), limit=10) == []


def test_no_more_than_the_limit_come_out_at_once() -> None:
    timers = Timers()
    for number in range(5):
        timers.arm(run(str(number)), at(number))
    assert len(timers.due(at(60), limit=3)) == 3
    assert len(timers.due(at(60), limit=3)) == 2


def test_what_ended_long_before_its_time_is_thrown_out_of_the_heap() -> None:
    timers = Timers()
    for number in range(1_000):
        timers.arm(run(f"r{number}"), at(3_600 + number))
        timers.disarm(run(f"r{number}"))
    timers.arm(run("last"), at(1))
    assert len(timers) <= 2 * STALE_FACTOR**2
    assert timers.due(at(5_000), limit=10) == [run("last")]
