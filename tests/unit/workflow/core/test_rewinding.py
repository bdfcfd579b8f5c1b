"""Going back to before a task: it, and all that came of it, is as if never begun."""

import pytest

from dalsegno_bus.ids import child_run_id
from dalsegno_bus.messages import ParentRun, PauseRun, ReplanRun, RetryRun, RewindRun
from dalsegno_orchestrator.workflow.events import RunEvent, RunRewound
from dalsegno_orchestrator.workflow.turn import Refused
from support.reports import child_over, question
from support.scenario import RUN, Scenario, assigned, kinds, scenario

DO = {"capability": "do", "retry": {"max_attempts": 1}}
CHAIN = {
    "one": DO,
    "two": {**DO, "input": "${ tasks.one }"},
    "three": {**DO, "input": "${ tasks.two }"},
}


def rewind(run: Scenario, task: str) -> list[RunEvent]:
    return run.when(RewindRun(run_id=RUN, task_id=task, reason="again"))


def undone(events: list[RunEvent]) -> tuple[str, ...]:
    assert isinstance(events[0], RunRewound)
    return events[0].undone


def test_a_chain_goes_on_from_the_task_and_attempt_numbers_go_on() -> None:
    run = scenario(CHAIN)
    run.start()
    for name in ("one", "two", "three"):
        run.done(name, name)
    assert run.run.status == "completed"
    events = rewind(run, "two")
    assert undone(events) == ("two", "three")
    assert assigned(events)["two"].attempt == 2
    assert run.input_of("two") == "one"
    assert assigned(run.done("two", "new", attempt=2))["three"].attempt == 2
    assert run.input_of("three") == "new"
    assert run.done("three", "late", attempt=1) == []
    assert kinds(run.done("three", attempt=2))[-1] == "run-completed"


def test_attempts_under_way_are_withdrawn_and_their_reports_change_nothing() -> None:
    run = scenario(CHAIN)
    run.start()
    run.done("one")
    events = rewind(run, "one")
    assert isinstance(events[0], RunRewound)
    assert [(gone.task_id, gone.attempt) for gone in events[0].abandoned] == [("two", 1)]
    assert run.done("two") == []
    assert assigned(events)["one"].attempt == 2


def test_what_does_not_hang_on_the_task_stays() -> None:
    run = scenario(CHAIN | {"beside": DO})
    run.start()
    run.done("one")
    assert undone(rewind(run, "one")) == ("one", "two")
    assert list(run.run.assigned) == ["beside", "one"]


def test_a_foreach_goes_back_with_all_its_items() -> None:
    run = scenario({"list": DO, "each": {**DO, "foreach": "${ tasks.list }"}, "last": CHAIN["one"]})
    run.start()
    run.done("list", [1, 2])
    run.done("each-0", "a")
    assert undone(rewind(run, "list")) == ("list", "each", "each-0", "each-1")
    again = run.done("list", [7], attempt=2)
    assert list(assigned(again)) == ["each-0"]
    assert assigned(again)["each-0"].attempt == 2
    assert run.run.scope(run.task("each-0"))["item"] == 7


def test_a_repeat_goes_back_with_all_its_times() -> None:
    run = scenario({"loop": {**DO, "repeat": {"until": "${ output }"}}})
    run.start()
    run.done("loop-0", False)
    assert undone(rewind(run, "loop")) == ("loop", "loop-0", "loop-1")
    assert assigned(run.when(PauseRun(run_id=RUN))) == {}
    assert list(run.run.assigned) == ["loop-0"]
    assert run.task("loop-0").attempt == 2


def test_a_condition_is_looked_at_again() -> None:
    tasks = {"one": DO, "two": {**DO, "when": "${ tasks.one }"}}
    run = scenario(tasks)
    run.start()
    run.done("one", True)
    run.done("two")
    assert undone(rewind(run, "one")) == ("one", "two")
    assert kinds(run.done("one", False, attempt=2)) == [
        "task-completed", "task-skipped", "run-completed",
    ]  # fmt: skip


def test_a_planner_that_waits_for_an_undone_part_keeps_its_plan() -> None:
    run = scenario({"plan": {**DO, "dynamic": {}}, "last": {**DO, "input": "${ tasks.plan }"}})
    run.start()
    run.done("plan", {"tasks": {"x": DO, "y": {**DO, "input": "${ tasks.x }"}}})
    run.done("x", 1)
    run.done("y", 2)
    events = rewind(run, "x")
    assert set(undone(events)) == {"x", "y", "last"}
    assert run.task("plan").status == "planned"
    run.done("x", 3, attempt=2)
    assert list(assigned(run.done("y", 4, attempt=2))) == ["last"]
    assert run.input_of("last") == {"x": 3, "y": 4}


def test_a_planner_waits_again_for_what_its_parts_added_in_turn() -> None:
    run = scenario({"plan": {**DO, "dynamic": {}}, "last": {**DO, "input": "${ tasks.plan }"}})
    run.start()
    run.done("plan", {"tasks": {"inner": {**DO, "dynamic": {}}}})
    run.done("inner", {"tasks": {"deep": DO}})
    run.done("deep", 1)
    assert set(undone(rewind(run, "deep"))) == {"deep", "last"}
    assert (run.task("plan").status, run.task("inner").status) == ("planned", "planned")
    run.done("deep", 2, attempt=2)
    assert run.input_of("last") == {"inner": {"deep": 2}}


def test_a_planner_that_is_done_stays_done_when_something_else_goes_back() -> None:
    part = {**DO, "on_error": {"fallback": "y"}}
    run = scenario({"plan": {**DO, "dynamic": {}}, "other": DO})
    run.start()
    run.done("plan", {"tasks": {"x": part, "y": DO}})
    run.done("x", 1)
    run.done("other")
    assert kinds(rewind(run, "other")) == ["run-rewound", "task-assigned"]


def test_the_parts_of_a_planner_that_is_undone_are_dropped() -> None:
    run = scenario({"plan": {**DO, "dynamic": {}}, "last": {**DO, "input": "${ tasks.plan }"}})
    run.start()
    run.done("plan", {"tasks": {"x": DO}})
    assert set(undone(rewind(run, "plan"))) == {"plan", "x"}
    assert "x" not in run.run.plan.steps
    assert run.run.parts == {}
    again = run.done("plan", {"tasks": {"x": DO, "z": DO}}, attempt=2)
    assert kinds(again)[:2] == ["plan-proposed", "plan-accepted"], "the names are free again"
    assert assigned(again)["x"].attempt == 2


def test_parts_that_somebody_elses_task_needs_are_not_dropped_under_it() -> None:
    run = scenario({"plan": {**DO, "dynamic": {}}})
    run.start()
    run.done("plan", {"tasks": {"x": DO}})
    run.when(ReplanRun(run_id=RUN, add={"extra": {**DO, "input": "${ tasks.x }"}}))
    with pytest.raises(Refused, match="extra"):
        rewind(run, "plan")
    run.when(ReplanRun(run_id=RUN, drop=("extra",)))
    assert "x" in undone(rewind(run, "plan"))


def test_a_child_run_that_nobody_waits_for_any_more_is_cancelled() -> None:
    run = scenario({"one": DO, "sub": {"workflow": "inner", "input": "${ tasks.one }"}})
    run.start()
    run.done("one")
    events = rewind(run, "one")
    assert isinstance(events[0], RunRewound)
    child = child_run_id(RUN, "sub", 1)
    assert events[0].children == (child,)
    assert run.when(child_over("sub", child)) == []
    run.done("one", attempt=2)
    assert run.task("sub").child == child_run_id(RUN, "sub", 2)


def test_questions_go_back_with_who_asked_them() -> None:
    run = scenario(CHAIN)
    run.start()
    run.when(question("one", "q1"))
    assert set(undone(rewind(run, "one"))) == {"one", "one-ask-q1"}
    assert kinds(run.when(question("one", "q1", attempt=2))) == ["question-asked", "task-assigned"]


def test_a_failed_run_goes_on_with_what_sank_it_as_well() -> None:
    run = scenario({"good": DO, "bad": DO})
    run.start()
    run.done("good")
    run.fail("bad")
    assert set(assigned(rewind(run, "good"))) == {"good", "bad"}
    run.done("good", attempt=2)
    assert kinds(run.done("bad", attempt=2))[-1] == "run-completed"


def test_a_fallback_can_be_gone_back_to_without_what_it_stands_in_for() -> None:
    work = {**DO, "on_error": {"fallback": "plain"}}
    run = scenario({"work": work, "plain": DO, "next": {**DO, "input": "${ tasks.work }"}})
    run.start()
    run.fail("work")
    run.done("plain", 1)
    run.done("next")
    events = rewind(run, "plain")
    assert set(undone(events)) == {"plain", "next"}
    assert list(assigned(events)) == ["plain"]
    assert list(assigned(run.done("plain", 2, attempt=2))) == ["next"]
    assert run.input_of("next") == 2


def test_going_back_to_before_a_failure_leaves_its_fallback_behind() -> None:
    work = {**DO, "on_error": {"fallback": "plain"}}
    run = scenario({"work": work, "plain": DO, "next": {**DO, "input": "${ tasks.work }"}})
    run.start()
    run.fail("work")
    run.done("plain", 1)
    assert set(undone(rewind(run, "work"))) == {"work", "plain", "next"}
    assert list(assigned(run.done("work", 5, attempt=2))) == ["next"]
    assert kinds(run.done("next", attempt=2))[-1] == "run-completed"


def test_a_task_that_has_not_begun_cannot_be_gone_back_to() -> None:
    run = scenario(CHAIN)
    run.start()
    with pytest.raises(Refused, match="has not begun"):
        rewind(run, "two")


def test_a_run_that_is_paused_ending_undone_or_told_its_parent_does_not_go_back() -> None:
    paused = scenario(CHAIN)
    paused.start()
    paused.when(PauseRun(run_id=RUN))
    with pytest.raises(Refused, match="paused"):
        rewind(paused, "one")
    ending = scenario(CHAIN)
    ending.start()
    ending.cancel()
    with pytest.raises(Refused, match="cancelling"):
        rewind(ending, "one")
    undo = {"compensate": {"capability": "other"}}
    undone_run = scenario({"one": {**DO, **undo}, "two": {**DO, "after": ["one"]}})
    undone_run.start()
    undone_run.done("one")
    undone_run.fail("two")
    undone_run.done("one-undo")
    with pytest.raises(Refused, match="was undone"):
        rewind(undone_run, "two")
    child = scenario({"one": DO})
    child.start(parent=ParentRun(run_id=child_run_id(RUN, "x", 1), task_id="x", attempt=1))
    child.done("one")
    with pytest.raises(Refused, match="told its parent"):
        rewind(child, "one")


def test_a_run_that_a_schedule_started_has_told_nobody() -> None:
    run = scenario({"one": DO})
    run.start(parent=ParentRun(run_id=child_run_id(RUN, "x", 1)))
    run.fail("one")
    assert kinds(run.when(RetryRun(run_id=RUN))) == ["run-reopened", "task-assigned"]
