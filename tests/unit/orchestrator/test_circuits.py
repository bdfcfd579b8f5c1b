"""An agent that fails gets no more of it for a while, and is then tried with one attempt."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dalsegno_bus.bus import Entry
from dalsegno_bus.codec import encode
from dalsegno_bus.messages import AgentCard, CapabilityCard, Failure
from dalsegno_orchestrator.directory.agents import Directory
from dalsegno_orchestrator.workflow.assignment import Choice, Skill, choose
from dalsegno_orchestrator.workflow.events import (
    Abandoned,
    RunEvent,
    RunFailed,
    TaskAssigned,
    TaskCompleted,
    TaskFailed,
    TaskRerouted,
    TaskTimedOut,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ERROR = Failure(code="test", message="as the test asked")


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def directory_of(*capabilities: str) -> Directory:
    directory = Directory()
    listed = tuple(CapabilityCard(name=name) for name in capabilities)
    directory.hear(Entry("card.a", encode(AgentCard(agent="a", capabilities=listed)), 1), NOW)
    return directory


def skill(directory: Directory, capability: str = "do") -> Skill:
    (view,) = directory.capable(capability)
    return view.skills[capability]


def given_to(attempt: int, capability: str = "do") -> TaskAssigned:
    return TaskAssigned(task_id="t", attempt=attempt, agent="a", capability=capability)


def done(attempt: int = 0) -> TaskCompleted:
    return TaskCompleted(task_id="t", attempt=attempt, agent="a", replica="r", capability="do")


def failed(attempt: int = 0, *, code: str = "test", retryable: bool = True) -> TaskFailed:
    return TaskFailed(
        task_id="t",
        attempt=attempt,
        agent="a",
        capability="do",
        error=Failure(code=code, message="as the test asked"),
        retryable=retryable,
        final=not retryable,
    )


def timed_out(attempt: int = 0) -> TaskTimedOut:
    return TaskTimedOut(
        task_id="t",
        attempt=attempt,
        agent="a",
        capability="do",
        waited_for="heartbeat",
        error=ERROR,
        final=False,
    )


def play(directory: Directory, events: Sequence[RunEvent], at: float = 0.0) -> str:
    """What the circuit is after these."""
    directory.observe(events, later(at))
    return skill(directory).circuit


def tripped() -> Directory:
    """A directory whose agent failed five times in a row at time 0, and was open until 30 s."""
    directory = directory_of("do")
    assert play(directory, [failed()] * 5) == "open"
    return directory


def half_open() -> Directory:
    directory = tripped()
    assert directory.circuits_due(later(30)) == {"do"}
    assert skill(directory).circuit == "half_open"
    return directory


# --- closed to open -----------------------------------------------------------------------------


def test_five_failures_in_a_row_open_it_for_half_a_minute() -> None:
    directory = directory_of("do")
    assert play(directory, [failed()] * 4) == "closed"
    assert play(directory, [failed()]) == "open"
    assert skill(directory).next_try_at == later(30)


def test_a_success_in_between_begins_the_row_anew() -> None:
    directory = directory_of("do")
    row: list[RunEvent] = [*[done()] * 9, *[failed()] * 4, done(), *[failed()] * 4, done()]
    assert play(directory, row) == "closed"


def test_half_of_the_newest_opens_it_once_ten_were_seen() -> None:
    directory = directory_of("do")
    pairs: list[RunEvent] = [failed(), done()] * 4
    assert play(directory, pairs) == "closed"
    assert play(directory, [done()]) == "closed", "nine were seen, four of them failures"
    assert play(directory, [failed()]) == "open"


def test_a_failure_among_more_than_twenty_is_forgotten() -> None:
    directory = directory_of("do")
    assert play(directory, [failed()] * 4) == "closed"
    assert play(directory, [done()] * 20) == "closed"
    assert play(directory, [failed(), done()] * 4) == "closed"
    assert play(directory, [failed(), done(), failed(), failed(), failed(), done()]) == "closed"
    assert play(directory, [failed(), done(), failed(), done(), failed()]) == "open"


def test_timeouts_count() -> None:
    assert play(directory_of("do"), [timed_out()] * 5) == "open"


@pytest.mark.parametrize(
    "event",
    [
        failed(retryable=False),
        failed(code="task.cancelled"),
        failed(code="context.conflict"),
        TaskRerouted(task_id="t", attempt=1, agent="a", reason=""),
        TaskTimedOut(
            task_id="t", attempt=0, capability="do", waited_for="queue", error=ERROR, final=False
        ),
    ],
)
def test_what_is_not_the_agents_fault_counts_neither_way(event: RunEvent) -> None:
    directory = directory_of("do")
    assert play(directory, [event] * 50) == "closed"
    assert (skill(directory).completed, skill(directory).failed) == (0, 0)
    assert play(directory, [failed(), event] * 5) == "open", "it does not break a row either"


def test_each_capability_has_a_circuit_of_its_own() -> None:
    directory = directory_of("do", "other")
    assert play(directory, [failed()] * 5) == "open"
    assert skill(directory, "other").circuit == "closed"


# --- open to half open --------------------------------------------------------------------------


def test_it_stays_open_until_its_time_and_then_those_who_wait_are_told() -> None:
    directory = tripped()
    assert directory.circuits_due(later(29.9)) == frozenset()
    assert skill(directory).circuit == "open"
    assert directory.circuits_due(later(30)) == {"do"}
    assert (skill(directory).circuit, skill(directory).next_try_at) == ("half_open", None)


def test_what_was_begun_before_it_opened_changes_nothing_while_it_is_open() -> None:
    directory = tripped()
    assert play(directory, [done(), failed(), timed_out()], 10) == "open"
    assert skill(directory).next_try_at == later(30)


def test_one_attempt_is_let_through_and_no_second_one() -> None:
    directory = half_open()
    assert pick(directory)
    play(directory, [given_to(9)], 31)
    assert not pick(directory)
    assert directory.circuits_due(later(100)) == frozenset()


def pick(directory: Directory) -> bool:
    choice = choose(directory, "do", requires={}, prefer={}, pinned=None, avoid=())
    return isinstance(choice, Choice)


def test_a_success_closes_it_and_those_who_wait_are_told_at_once() -> None:
    directory = half_open()
    assert play(directory, [given_to(9), done(9)], 31) == "closed"
    assert pick(directory)
    assert directory.circuits_due(later(31)) == {"do"}
    assert directory.circuits_due(later(32)) == frozenset()
    assert play(directory, [failed()] * 4, 33) == "closed", "it begins anew"


def test_a_trial_that_fails_doubles_the_time_up_to_ten_minutes() -> None:
    directory = tripped()
    at, lengths = 0.0, list[float]()
    for attempt in range(7):
        until = skill(directory).next_try_at
        assert until is not None
        lengths.append((until - later(at)).total_seconds())
        at += lengths[-1]
        assert directory.circuits_due(later(at)) == {"do"}
        assert play(directory, [given_to(attempt), failed(attempt)], at) == "open"
    assert lengths == [30, 60, 120, 240, 480, 600, 600]


def test_after_it_closed_the_time_begins_at_half_a_minute_again() -> None:
    directory = half_open()
    play(directory, [given_to(1), failed(1)], 30)
    directory.circuits_due(later(90))
    assert play(directory, [given_to(2), done(2)], 90) == "closed"
    play(directory, [failed()] * 5, 100)
    assert skill(directory).next_try_at == later(130)


def test_after_it_closed_what_was_before_is_forgotten() -> None:
    directory = directory_of("do")
    assert play(directory, [failed(), done()] * 5) == "closed"
    assert play(directory, [failed()]) == "open"
    directory.circuits_due(later(30))
    assert play(directory, [given_to(9), done(9), failed(), done(), failed()], 31) == "closed"


def test_a_failure_from_before_does_not_fail_the_trial() -> None:
    directory = half_open()
    assert play(directory, [given_to(9), failed(3)], 31) == "half_open"
    assert not pick(directory)
    assert play(directory, [failed(9)], 32) == "open"


@pytest.mark.parametrize(
    "end",
    [
        TaskRerouted(task_id="t", attempt=9, agent="a", reason=""),
        RunFailed(error=ERROR, abandoned=(Abandoned(task_id="t", attempt=9, agent="a"),)),
        failed(9, retryable=False),
        failed(9, code="task.cancelled"),
    ],
)
def test_a_trial_that_ends_without_an_outcome_lets_the_next_one_try(end: RunEvent) -> None:
    directory = half_open()
    assert play(directory, [given_to(9), end], 31) == "half_open"
    assert pick(directory)
    assert directory.circuits_due(later(31)) == {"do"}


def test_a_trial_that_nobody_hears_of_again_does_not_bar_the_way_for_ever() -> None:
    directory = half_open()
    play(directory, [given_to(9)], 31)
    assert directory.circuits_due(later(630)) == frozenset()
    assert directory.circuits_due(later(631)) == {"do"}
    assert pick(directory)


def test_those_who_wait_are_told_again_while_nobody_tries() -> None:
    directory = half_open()
    assert directory.circuits_due(later(31)) == frozenset()
    assert directory.circuits_due(later(59)) == frozenset()
    assert directory.circuits_due(later(60)) == {"do"}


def test_counting_anew_forgets_the_trial() -> None:
    directory = half_open()
    play(directory, [given_to(9)], 31)
    directory.recount([])
    assert pick(directory)


# --- the past -----------------------------------------------------------------------------------


def test_the_past_opens_a_circuit_and_the_time_that_has_passed_counts() -> None:
    directory = directory_of("do")
    directory.recall((failed(), later(second)) for second in range(5))
    assert skill(directory).circuit == "open"
    assert skill(directory).next_try_at == later(34)
    assert directory.circuits_due(later(1000)) == {"do"}


def test_a_success_in_the_past_after_its_time_closed_it() -> None:
    directory = directory_of("do")
    directory.recall([*((failed(), NOW) for _ in range(5)), (done(), later(40))])
    assert skill(directory).circuit == "closed"


moves = st.lists(
    st.tuples(st.sampled_from(["give", "done", "fail", "drop", "look", "recount"]),
              st.integers(0, 400)),
    max_size=120,
)  # fmt: skip


@given(moves)
def test_no_circuit_is_ever_stuck(script: list[tuple[str, int]]) -> None:
    """Whatever has happened: with time alone, somebody is told, and one attempt gets through."""
    directory, seconds, attempt = directory_of("do"), 0.0, 0
    for move, number in script:
        seconds += number / 10
        match move:
            case "give" if pick(directory):
                attempt += 1
                play(directory, [given_to(attempt)], seconds)
            case "done":
                play(directory, [done(attempt - number % 3)], seconds)
            case "fail":
                play(directory, [failed(attempt - number % 3)] * (1 + number % 5), seconds)
            case "drop":
                play(directory, [TaskRerouted(task_id="t", attempt=attempt, agent="a", reason="")],
                     seconds)  # fmt: skip
            case "look":
                directory.circuits_due(later(seconds))
            case "recount":
                directory.recount([])
            case _:
                pass
        state = skill(directory)
        assert (state.next_try_at is not None) == (state.circuit == "open")
        assert not state.is_trying or state.circuit == "half_open"
    if not pick(directory):
        assert directory.circuits_due(later(seconds + 700)) == {"do"}
        assert pick(directory)
