"""How a run ends early: what is under way may stop in order, and what was done is undone."""

from datetime import timedelta
from typing import Any

from dalsegno_bus.messages import PauseRun, RetryRun
from dalsegno_orchestrator.workflow.events import (
    CompensationFailed,
    CompensationStarted,
    RunCancelled,
    RunCompensationFailed,
    RunEnding,
    RunFailed,
)
from support.reports import handoff
from support.scenario import BEGIN, RUN, assigned, kinds, scenario

DO: dict[str, Any] = {"capability": "do", "retry": {"max_attempts": 1}}
UNDO = {"compensate": {"capability": "other", "retry": {"max_attempts": 1}}}
BOTH = {
    "one": {**DO, **UNDO},
    "two": {**DO, **UNDO, "after": ["one"]},
    "bad": {**DO, "after": ["two"]},
}

# --- the grace ---------------------------------------------------------------------------------


def test_attempts_under_way_have_a_grace_and_the_run_ends_when_they_have_reported() -> None:
    run = scenario({"work": DO, "more": DO})
    run.start()
    ending = run.cancel("enough")[0]
    assert isinstance(ending, RunEnding)
    assert [gone.task_id for gone in ending.stopping] == ["work", "more"]
    assert ending.until == BEGIN + timedelta(seconds=10)
    assert run.run.next_look() == ending.until
    assert kinds(run.fail("work")) == ["task-failed"]
    assert kinds(run.done("more")) == ["task-completed", "run-cancelled"]


def test_when_the_grace_is_over_the_run_ends_without_them() -> None:
    run = scenario({"work": DO}, cancel_grace="3s")
    run.start()
    run.cancel("enough")
    assert run.after(2) == []
    over = run.after(1)
    assert kinds(over) == ["run-cancelled"]
    assert isinstance(over[0], RunCancelled)
    assert (over[0].reason, [gone.task_id for gone in over[0].abandoned]) == ("enough", ["work"])
    assert run.done("work") == [], "too late"


def test_nothing_begins_in_the_grace() -> None:
    run = scenario({"work": {"capability": "do"}, "next": {**DO, "after": ["work"]}, "hand": DO})
    run.start()
    run.cancel()
    handed = run.when(handoff("hand", "other"))
    assert kinds(handed) == ["task-failed"]
    assert kinds(run.fail("work")) == ["task-failed", "run-cancelled"]


def test_a_success_in_the_grace_makes_nothing_else_begin() -> None:
    run = scenario({"work": DO, "next": {**DO, "after": ["work"]}, "more": DO})
    run.start()
    run.cancel()
    assert kinds(run.done("work")) == ["task-completed"]
    assert kinds(run.done("more")) == ["task-completed", "run-cancelled"]


def test_a_second_cancellation_and_a_pause_change_nothing() -> None:
    run = scenario({"work": DO})
    run.start()
    run.cancel()
    assert run.cancel() == []
    assert run.when(PauseRun(run_id=RUN)) == []
    run.after(10)
    assert run.cancel() == []


def test_agents_that_leave_in_the_grace_get_no_successor() -> None:
    run = scenario({"work": DO})
    run.agents.add("b", "do")
    run.start()
    run.cancel()
    assert run.lose("a") == []
    assert kinds(run.after(10)) == ["run-cancelled"]


# --- undoing -----------------------------------------------------------------------------------


def test_what_was_done_is_undone_the_last_first() -> None:
    run = scenario(BOTH)
    run.start()
    run.done("one")
    run.done("two")
    events = run.fail("bad")
    assert kinds(events) == ["task-failed", "run-ending", "compensation-started", "task-assigned"]
    assert isinstance(events[2], CompensationStarted)
    assert events[2].tasks == ("two", "one")
    assert list(assigned(run.done("two-undo"))) == ["one-undo"]
    over = run.done("one-undo")
    assert kinds(over) == ["task-completed", "run-failed"]
    assert isinstance(over[1], RunFailed)
    assert (over[1].task_id, over[1].compensated) == ("bad", ("two", "one"))


def test_the_order_is_that_of_completion_and_not_of_the_definition() -> None:
    run = scenario({"one": {**DO, **UNDO}, "two": {**DO, **UNDO}, "bad": DO})
    run.start()
    run.done("two")
    run.done("one")
    started = next(e for e in run.fail("bad") if isinstance(e, CompensationStarted))
    assert started.tasks == ("one", "two")


def test_undoing_sees_what_the_task_saw_and_its_output() -> None:
    undo = {"capability": "other", "input": {"id": "${ tasks.one.id }", "n": "${ input.n }"}}
    run = scenario({"one": {**DO, "compensate": undo}, "bad": {**DO, "after": ["one"]}})
    run.start({"n": 3})
    run.done("one", {"id": 8})
    run.fail("bad")
    assert run.input_of("one-undo") == {"id": 8, "n": 3}


def test_each_item_is_undone_with_its_own_item_and_output() -> None:
    undo = {"capability": "other", "input": ["${ item }", "${ index }", "${ tasks.each }"]}
    each = {**DO, "foreach": ["a", "b"], "compensate": undo}
    run = scenario({"each": each, "bad": {**DO, "after": ["each"]}})
    run.start()
    run.done("each-1", "B")
    run.done("each-0", "A")
    run.fail("bad")
    assert run.input_of("each-0-undo") == ["a", 0, "A"]
    run.done("each-0-undo")
    assert run.input_of("each-1-undo") == ["b", 1, "B"]
    assert kinds(run.done("each-1-undo"))[-1] == "run-failed"


def test_undoing_has_retries_of_its_own() -> None:
    retry = {"max_attempts": 2, "delay": "5s", "jitter": 0}
    undo = {"compensate": {"capability": "other", "retry": retry}}
    run = scenario({"one": {**DO, **undo}, "bad": {**DO, "after": ["one"]}})
    run.start()
    run.done("one")
    run.fail("bad")
    assert kinds(run.fail("one-undo")) == ["task-failed", "retry-scheduled"]
    assert assigned(run.after(5))["one-undo"].attempt == 2
    assert kinds(run.done("one-undo", attempt=2)) == ["task-completed", "run-failed"]


def test_what_cannot_be_undone_is_listed_and_the_others_are_undone_all_the_same() -> None:
    run = scenario(BOTH)
    run.start()
    run.done("one")
    run.done("two")
    run.fail("bad")
    events = run.fail("two-undo")
    assert kinds(events) == ["task-failed", "compensation-failed", "task-assigned"]
    assert isinstance(events[1], CompensationFailed)
    assert events[1].task_id == "two"
    over = run.done("one-undo")[-1]
    assert isinstance(over, RunCompensationFailed)
    assert (over.outcome, over.compensated, over.uncompensated) == ("failed", ("one",), ("two",))


def test_what_could_not_be_undone_is_tried_again_alone() -> None:
    run = scenario(BOTH)
    run.start()
    run.done("one")
    run.done("two")
    run.fail("bad")
    run.fail("two-undo")
    run.fail("one-undo")
    assert run.run.uncompensated == ["two", "one"]
    again = run.when(RetryRun(run_id=RUN, tasks=("one",)))
    assert kinds(again) == ["run-reopened", "task-assigned"]
    assert assigned(again)["one-undo"].attempt == 2
    assert kinds(run.done("one-undo", attempt=2))[-1] == "run-compensation-failed"
    assert list(assigned(run.when(RetryRun(run_id=RUN)))) == ["two-undo"]
    over = run.done("two-undo", attempt=2)[-1]
    assert isinstance(over, RunFailed)
    assert over.compensated == ("one", "two")


def test_an_input_for_undoing_that_cannot_be_made_fails_that_undoing_only() -> None:
    undo = {"compensate": {"capability": "other", "input": "${ tasks.two.missing }"}}
    run = scenario({**BOTH, "two": {**BOTH["two"], **undo}})
    run.start()
    run.done("one")
    run.done("two", {})
    events = run.fail("bad")
    assert kinds(events)[2:] == [
        "compensation-started", "task-failed", "compensation-failed", "task-assigned",
    ]  # fmt: skip
    assert kinds(run.done("one-undo"))[-1] == "run-compensation-failed"


def test_a_cancelled_run_is_undone_too() -> None:
    run = scenario(BOTH)
    run.start()
    run.done("one")
    assert kinds(run.cancel("enough")) == ["run-ending"]
    assert kinds(run.after(10)) == ["compensation-started", "task-assigned"]
    over = run.done("one-undo")[-1]
    assert isinstance(over, RunCancelled)
    assert (over.reason, over.compensated) == ("enough", ("one",))


def test_a_success_in_the_grace_is_undone_first() -> None:
    run = scenario(BOTH)
    run.start()
    run.done("one")
    run.cancel()
    events = run.done("two")
    assert kinds(events) == ["task-completed", "compensation-started", "task-assigned"]
    assert isinstance(events[1], CompensationStarted)
    assert events[1].tasks == ("two", "one")


def test_where_nothing_is_to_be_undone_the_run_just_ends() -> None:
    run = scenario({"one": DO, "bad": {**DO, "after": ["one"]}})
    run.start()
    run.done("one")
    assert kinds(run.fail("bad")) == ["task-failed", "run-failed"]


def test_neither_a_deadline_nor_a_budget_nor_a_pause_stops_the_undoing() -> None:
    run = scenario(BOTH, deadline="1m", budget={"tasks": 3, "on_exceeded": "stop"})
    run.start()
    run.done("one")
    run.done("two")
    run.fail("bad")
    assert run.when(PauseRun(run_id=RUN)) == []
    assert run.after(120) == []
    assert list(assigned(run.done("two-undo"))) == ["one-undo"]
    assert kinds(run.done("one-undo"))[-1] == "run-failed"


def test_an_undoing_that_nobody_can_do_is_parked_and_goes_out_later() -> None:
    undo = {"compensate": {"capability": "rare"}}
    run = scenario({"one": {**DO, **undo}, "bad": {**DO, "after": ["one"]}})
    run.start()
    run.done("one")
    assert kinds(run.fail("bad"))[-1] == "task-parked"
    run.agents.add("b", "rare")
    assert list(assigned(run.join())) == ["one-undo"]
    assert kinds(run.done("one-undo", agent="b"))[-1] == "run-failed"


def test_an_undoing_goes_to_another_agent_when_its_own_is_gone_or_hands_it_on() -> None:
    run = scenario(BOTH)
    run.agents.add("b", "other")
    run.start()
    run.done("one")
    run.cancel()
    run.fail("two")
    first = run.run.assigned[run.task("one-undo").id].agent
    assert first is not None
    run.agents.views[first].slots = 0
    events = run.lose(first)
    assert kinds(events) == ["task-rerouted", "task-assigned"]
    other = "b" if first == "a" else "a"
    run.agents.views["a"].slots = 4
    handed = run.when(handoff("one-undo", "do", 5, attempt=2, agent=other))
    assert kinds(handed) == ["task-handed-off", "task-assigned"]
    assert kinds(run.done("one-undo", attempt=3))[-1] == "run-cancelled"
