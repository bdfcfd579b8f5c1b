"""How much may queue for an agent, how fast it works, and who is being drained."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dalsegno_bus.bus import Entry
from dalsegno_bus.codec import encode
from dalsegno_bus.errors import DecodeFailed
from dalsegno_bus.messages import AgentCard, CapabilityCard, Drained, Failure, Presence
from dalsegno_orchestrator.directory.agents import Directory, queue_max
from dalsegno_orchestrator.directory.skills import SAMPLES, WorkTimes
from dalsegno_orchestrator.workflow.assignment import AgentView
from dalsegno_orchestrator.workflow.events import (
    PlanProposed,
    TaskAssigned,
    TaskCompleted,
    TaskFailed,
    TaskHandedOff,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def card() -> Entry:
    listed = (CapabilityCard(name="do"), CapabilityCard(name="other"))
    return Entry("card.a", encode(AgentCard(agent="a", capabilities=listed)), 1)


def live(slots: int = 4, replica: str = "one") -> Entry:
    presence = Presence(agent="a", replica=replica, started_at=NOW, concurrency=slots)
    return Entry(f"live.a.{replica}", encode(presence), 1)


def mark(agent: str = "a", *, key: str = "drained.a") -> Entry:
    return Entry(key, encode(Drained(agent=agent, at=NOW)), 1)


UNMARK = Entry("drained.a", None, 2)


def directory_of(slots: int = 4) -> Directory:
    directory = Directory()
    directory.hear(card(), NOW)
    if slots:
        directory.hear(live(slots), NOW)
    return directory


def view(directory: Directory) -> AgentView:
    return directory.capable("do")[0]


def give(directory: Directory, count: int) -> None:
    event = TaskAssigned(task_id="t", attempt=1, agent="a", capability="do")
    directory.observe([event] * count, NOW)


def take(directory: Directory, *, seconds: float = 0.0, count: int = 1) -> None:
    event = TaskCompleted(
        task_id="t", attempt=1, agent="a", replica="r", capability="do", work_seconds=seconds
    )
    directory.observe([event] * count, NOW)


# --- room ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slots", "p50_seconds", "expected"),
    [
        (0, 0.0, 20_000),
        (0, 5.0, 20_000),
        (1, 0.0, 17),
        (4, 0.0, 20),
        (40, 0.0, 80),
        (5000, 0.0, 10_000),
        (4, 1.0, 8),
        (4, 0.1, 44),
        (4, 0.001, 4004),
        (4, 0.000001, 20_000),
        (1, 60.0, 2),
        (4, 60.0, 5),
    ],
)
def test_about_a_second_of_work_may_queue(slots: int, p50_seconds: float, expected: int) -> None:
    assert queue_max(slots, p50_seconds) == expected


def test_room_is_what_is_left_and_never_less_than_nothing() -> None:
    directory = directory_of(slots=4)
    assert view(directory).room == 20
    give(directory, 15)
    assert view(directory).room == 5
    give(directory, 10)
    assert view(directory).room == 0
    take(directory, count=6)
    assert (view(directory).room, view(directory).open_attempts) == (1, 19)


def test_room_follows_the_pace_of_all_that_an_agent_does() -> None:
    directory = directory_of(slots=4)
    give(directory, 2)
    take(directory, seconds=0.1)
    assert view(directory).room == 44 - 1
    other = TaskCompleted(
        task_id="t", attempt=1, agent="a", replica="r", capability="other", work_seconds=0.05
    )
    directory.observe([other], NOW)
    assert view(directory).room == 84


def test_room_follows_the_slots() -> None:
    directory = directory_of(slots=0)
    assert view(directory).room == 20_000
    directory.hear(live(2), NOW)
    assert view(directory).room == 18
    directory.hear(live(30, "two"), NOW)
    assert view(directory).room == 64


def test_a_new_card_keeps_the_room() -> None:
    directory = directory_of(slots=4)
    give(directory, 20)
    directory.hear(card(), NOW)
    assert view(directory).room == 0
    assert directory.freed() == frozenset()


def test_who_was_full_and_is_not_any_more_is_told_once() -> None:
    directory = directory_of(slots=4)
    give(directory, 19)
    take(directory)
    assert directory.freed() == frozenset(), "it was not full"
    give(directory, 2)
    assert directory.freed() == frozenset()
    take(directory)
    assert directory.freed() == {"a"}
    assert directory.freed() == frozenset()


def test_what_agents_can_do_is_what_may_be_looked_at_when_they_are_free() -> None:
    directory = directory_of()
    assert directory.capabilities_of({"a", "unknown"}) == {"do", "other"}
    assert directory.capabilities_of(()) == frozenset()


def test_more_slots_free_a_full_agent() -> None:
    directory = directory_of(slots=4)
    give(directory, 20)
    directory.hear(live(4, "two"), NOW)
    assert directory.freed() == {"a"}


# --- pace ---------------------------------------------------------------------------------------


def test_half_and_nearly_all_of_the_newest_took_no_longer() -> None:
    directory = directory_of()
    for seconds in range(1, 21):
        give(directory, 1)
        take(directory, seconds=float(seconds))
    skill = view(directory).skills["do"]
    assert (skill.p50_seconds, skill.p95_seconds) == (10.0, 19.0)


def test_a_work_time_that_was_not_measured_tells_nothing() -> None:
    directory = directory_of()
    take(directory, seconds=0.0)
    skill = view(directory).skills["do"]
    assert (skill.completed, skill.p50_seconds, skill.p95_seconds) == (1, 0.0, 0.0)


def test_only_the_newest_hundred_outcomes_count() -> None:
    directory = directory_of()
    take(directory, count=30)
    bad = TaskFailed(
        task_id="t",
        attempt=1,
        agent="a",
        capability="do",
        error=Failure(code="x", message=""),
        retryable=True,
        final=False,
    )
    directory.observe([bad] * 20, NOW)
    skill = view(directory).skills["do"]
    assert (skill.completed, skill.failed) == (30, 20)
    take(directory, count=75)
    assert (skill.completed, skill.failed) == (80, 20)
    take(directory, count=25)
    assert (skill.completed, skill.failed) == (100, 0)


def test_a_plan_and_a_handoff_are_successes() -> None:
    directory = directory_of()
    give(directory, 2)
    plan = PlanProposed(
        task_id="t", attempt=1, agent="a", replica="r", capability="do", tasks={}, work_seconds=2.0
    )
    handoff = TaskHandedOff(
        task_id="t", attempt=1, agent="a", replica="r", capability="do", to_capability="other"
    )
    directory.observe([plan, handoff], NOW)
    assert view(directory).open_attempts == 0
    skill = view(directory).skills["do"]
    assert (skill.completed, skill.p50_seconds) == (2, 2.0)


def test_work_times_of_long_ago_are_forgotten() -> None:
    kept = WorkTimes()
    for seconds in (*[9.0] * SAMPLES, *[1.0] * (SAMPLES - 1)):
        kept.add(seconds)
    assert (kept.percentile(98), kept.percentile(100)) == (1.0, 9.0)
    kept.add(1.0)
    assert kept.percentile(100) == 1.0


@given(st.lists(st.floats(0.001, 1000.0), min_size=1, max_size=3 * SAMPLES), st.integers(1, 100))
def test_percentiles_are_those_of_the_newest_samples(times: list[float], percent: int) -> None:
    kept = WorkTimes()
    for seconds in times:
        kept.add(seconds)
    newest = times[-SAMPLES:]
    found = kept.percentile(percent)
    assert found in newest
    assert sum(one <= found for one in newest) * 100 >= percent * len(newest)
    assert sum(one < found for one in newest) * 100 < percent * len(newest)


# --- the past -----------------------------------------------------------------------------------


def test_the_past_teaches_skills_and_opens_no_attempts() -> None:
    directory = Directory()
    event = TaskCompleted(
        task_id="t", attempt=1, agent="a", replica="r", capability="do", work_seconds=0.5
    )
    given_then = TaskAssigned(task_id="t", attempt=1, agent="a", capability="do")
    directory.recall([(given_then, NOW), (event, NOW)] * 3)
    directory.hear(card(), NOW)
    directory.hear(live(4), NOW)
    skill = view(directory).skills["do"]
    assert (skill.completed, skill.p50_seconds) == (3, 0.5)
    assert (view(directory).open_attempts, view(directory).room) == (0, 12)


# --- drain --------------------------------------------------------------------------------------


def test_a_mark_drains_an_agent_until_it_is_taken_away() -> None:
    directory = directory_of()
    assert not directory.hear(mark(), NOW)
    assert view(directory).draining
    assert directory.hear(UNMARK, NOW), "more can be assigned than before"
    assert not view(directory).draining
    assert not directory.hear(UNMARK, NOW)


def test_a_mark_that_comes_before_the_card_holds() -> None:
    directory = Directory()
    assert not directory.hear(mark(), NOW)
    directory.hear(card(), NOW)
    assert view(directory).draining
    directory.hear(card(), NOW)
    assert view(directory).draining, "a new card does not take it away"


def test_who_is_drained_is_told_once_when_it_is_seen_what_it_has_begun() -> None:
    directory = directory_of()
    directory.hear(mark(), NOW)
    assert directory.drained(later(9)) == frozenset()
    directory.hear(mark(), later(9))
    assert directory.drained(later(10)) == {"a"}
    assert directory.drained(later(11)) == frozenset()
    assert directory.absent() == {"a"}
    directory.hear(UNMARK, later(12))
    assert directory.absent() == frozenset()
    directory.hear(mark(), later(20))
    assert directory.drained(later(25)) == frozenset()
    assert directory.drained(later(30)) == {"a"}


def test_a_mark_about_another_agent_is_not_believed() -> None:
    directory = directory_of()
    for wrong in (mark("b"), Entry("drained.a", b"{}", 1)):
        with pytest.raises(DecodeFailed):
            directory.hear(wrong, NOW)
    assert not view(directory).draining
