"""Plans changed by people, and runs that move to another version of their workflow."""

from datetime import timedelta
from typing import Any

import pytest

from dalsegno_bus.messages import PauseRun, ReplanRun, ResumeRun, RewindRun
from dalsegno_orchestrator.workflow.events import RunEvent, RunMigrated, RunReplanned
from dalsegno_orchestrator.workflow.facts import PlanChosen
from dalsegno_orchestrator.workflow.turn import Refused
from support.scenario import RUN, Scenario, assigned, kinds, plan_of, scenario

DO: dict[str, Any] = {"capability": "do"}
TASKS: dict[str, Any] = {
    "one": DO,
    "two": {**DO, "input": "${ tasks.one }"},
    "three": {**DO, "after": ["two"]},
}


def replan(run: Scenario, **change: Any) -> list[RunEvent]:
    return run.when(ReplanRun(run_id=RUN, reason="better", **change))


def test_tasks_are_added_dropped_and_changed() -> None:
    run = scenario(TASKS)
    run.start()
    events = replan(
        run,
        add={"four": {**DO, "after": ["one"]}},
        drop=("three",),
        change={"two": {"capability": "other", "input": ["${ tasks.one }"]}},
    )
    assert kinds(events) == ["run-replanned"]
    assert isinstance(events[0], RunReplanned)
    assert events[0].plan_version == 2
    after = assigned(run.done("one", 5))
    assert {name: one.capability for name, one in after.items()} == {"two": "other", "four": "do"}
    assert run.input_of("two") == [5]
    run.done("two")
    assert kinds(run.done("four"))[-1] == "run-completed"


def test_a_task_that_needs_only_what_is_done_begins_at_once() -> None:
    run = scenario(TASKS)
    run.start()
    run.done("one", 1)
    assert list(assigned(replan(run, add={"four": {**DO, "input": "${ tasks.one }"}}))) == ["four"]


def test_dropping_what_held_up_a_run_ends_it() -> None:
    run = scenario({"one": DO, "ask": {"wait": {"signal": "go"}, "after": ["one"]}})
    run.start()
    replan(run, drop=("ask",))
    assert kinds(run.done("one")) == ["task-completed", "run-completed"]


def test_what_has_begun_stays_as_it_is() -> None:
    run = scenario(TASKS)
    run.start()
    for change in ({"drop": ("one",)}, {"change": {"one": {"capability": "other"}}}):
        with pytest.raises(Refused, match="has begun"):
            replan(run, **change)
    assert run.run.plan_version == 1


def test_what_became_ready_while_the_run_stood_still_can_be_changed() -> None:
    run = scenario(TASKS)
    run.start()
    run.when(PauseRun(run_id=RUN))
    run.done("one", 1)
    assert kinds(replan(run, change={"two": {"capability": "other"}})) == ["run-replanned"]
    events = run.when(ResumeRun(run_id=RUN))
    assert assigned(events)["two"].capability == "other"


def test_what_became_ready_while_the_run_stood_still_can_be_dropped_or_made_to_wait() -> None:
    run = scenario(TASKS | {"four": {**DO, "after": ["one"]}})
    run.start()
    run.when(PauseRun(run_id=RUN))
    run.done("one", 1)
    replan(run, drop=("four",), add={"five": DO}, change={"two": {**DO, "after": ["five"]}})
    assert list(assigned(run.when(ResumeRun(run_id=RUN)))) == ["five"]
    assert list(assigned(run.done("five"))) == ["two"]


def test_a_change_of_another_plan_is_refused() -> None:
    run = scenario(TASKS)
    run.start()
    replan(run, plan_version=1, drop=("three",))
    with pytest.raises(Refused, match="follows plan 2") as refused:
        replan(run, plan_version=1, drop=("two",))
    assert refused.value.problems[0].path == "plan_version"
    assert kinds(replan(run, plan_version=2, drop=("two",))) == ["run-replanned"]


def test_a_change_that_is_not_sound_is_refused_with_every_reason() -> None:
    run = scenario(TASKS)
    run.start()
    with pytest.raises(Refused) as refused:
        replan(run, drop=("two",), add={"x": {**DO, "after": ["nobody"]}})
    told = "; ".join(str(problem) for problem in refused.value.problems)
    assert "'two', which is dropped" in told
    assert "nobody" in told
    assert run.run.plan_version == 1


def test_a_part_of_an_agents_plan_can_be_dropped_before_it_begins() -> None:
    run = scenario({"plan": {**DO, "dynamic": {}}, "last": {**DO, "input": "${ tasks.plan }"}})
    run.start()
    run.done("plan", {"tasks": {"x": DO, "y": {**DO, "after": ["x"]}}})
    replan(run, drop=("y",))
    assert kinds(run.done("x", 1))[:2] == ["task-completed", "plan-finished"]
    assert run.input_of("last") == {"x": 1}


def test_a_planner_whose_last_part_is_dropped_while_paused_finishes_once() -> None:
    run = scenario({"plan": {**DO, "dynamic": {}}, "last": {**DO, "input": "${ tasks.plan }"}})
    run.start()
    run.done("plan", {"tasks": {"x": DO, "y": {**DO, "after": ["x"]}}})
    run.when(PauseRun(run_id=RUN))
    run.done("x", 1)
    replan(run, drop=("y",))
    replan(run, add={"more": DO})
    assert kinds(run.when(ResumeRun(run_id=RUN))) == [
        "run-resumed", "plan-finished", "task-assigned", "task-assigned",
    ]  # fmt: skip


def test_a_run_that_ends_is_not_planned_anew() -> None:
    run = scenario(TASKS)
    run.start()
    run.cancel()
    with pytest.raises(Refused, match="cancelling"):
        replan(run, drop=("three",))
    with pytest.raises(Refused, match="cancelling"):
        run.when(PlanChosen(plan=plan_of(TASKS, version=2)))


# --- another version ---------------------------------------------------------------------------


def migrate(run: Scenario, tasks: Any, version: int = 2, **top: Any) -> list[RunEvent]:
    return run.when(PlanChosen(plan=plan_of(tasks, version=version, **top)))


def test_an_open_run_moves_to_a_newer_version_and_goes_on_there() -> None:
    run = scenario(TASKS)
    run.start()
    run.done("one", 1)
    events = migrate(run, TASKS | {"four": {**DO, "after": ["two"]}}, output="${ tasks.four }")
    assert kinds(events) == ["run-migrated"]
    assert isinstance(events[0], RunMigrated)
    assert (events[0].workflow_version, events[0].plan_version) == (2, 2)
    assert list(assigned(run.done("two"))) == ["three", "four"]
    run.done("three")
    run.done("four", 4)
    assert (run.run.status, run.run.output) == ("completed", 4)


def test_a_run_moves_again_and_back_to_an_older_version() -> None:
    run = scenario(TASKS)
    run.start()
    migrate(run, TASKS | {"four": DO})
    migrate(run, TASKS | {"four": DO, "five": DO}, version=3)
    assert set(run.run.assigned) == {"one", "four", "five"}


def test_the_version_it_follows_already_is_refused() -> None:
    run = scenario(TASKS)
    run.start()
    with pytest.raises(Refused, match="follows version 1 already"):
        migrate(run, TASKS, version=1)


@pytest.mark.parametrize(
    ("tasks", "reason"),
    [
        ({"other": DO}, "has begun, and the new version has no such task"),
        (TASKS | {"one": {"capability": "other"}}, "its capability would change"),
        (TASKS | {"one": {**DO, "input": 1}}, "its input would change"),
        (TASKS | {"one": {"sleep": "1s"}}, "it would become a sleep"),
        (TASKS | {"zero": DO, "one": {**DO, "after": ["zero"]}}, "would have to wait for 'zero'"),
    ],
)
def test_a_version_that_does_not_fit_what_has_happened_is_refused(tasks: Any, reason: str) -> None:
    run = scenario(TASKS)
    run.start()
    before = run.run.version
    with pytest.raises(Refused) as refused:
        migrate(run, tasks)
    assert reason in "; ".join(str(problem) for problem in refused.value.problems)
    assert run.run.version == before


def test_a_run_whose_plan_was_changed_does_not_move_until_that_is_undone() -> None:
    run = scenario({"plan": {**DO, "dynamic": {}}})
    run.start()
    run.done("plan", {"tasks": {"x": DO}})
    with pytest.raises(Refused, match="was changed while it ran"):
        migrate(run, {"plan": {**DO, "dynamic": {}}, "more": DO})
    run.when(RewindRun(run_id=RUN, task_id="plan"))
    moved = migrate(run, {"plan": {**DO, "dynamic": {}}, "more": DO})
    assert kinds(moved) == ["run-migrated", "task-assigned"]


def test_the_limits_of_the_version_that_is_moved_to_count_from_the_start() -> None:
    run = scenario(TASKS, deadline="10m", budget={"time": "5m", "tasks": 1})
    run.start()
    run.done("one")
    assert run.run.status == "paused", "its budget is used up"
    run.when(ResumeRun(run_id=RUN))
    begun = run.run.started_at
    migrate(run, TASKS, deadline="30m", budget={"time": "20m"})
    assert run.run.deadline_at == begun + timedelta(minutes=30)
    assert run.run.budget_at == begun + timedelta(minutes=20)
    assert not run.run.exceeded
    migrate(run, TASKS, version=3)
    assert (run.run.deadline_at, run.run.budget_at, run.run.budget) == (None, None, None)
    run.after(60)
    migrate(run, TASKS, version=4, deadline="1m")
    assert run.run.deadline_at == run.now + timedelta(minutes=1), "it had none: from now on"


def test_a_parked_task_that_nobody_was_asked_for_may_be_dropped_or_changed() -> None:
    run = scenario({"one": DO, "typo": {"capability": "do_it"}})
    run.start()
    assert list(run.run.parked) == ["typo"]
    assert assigned(replan(run, change={"typo": DO}))["typo"].attempt == 1
    again = scenario({"one": DO, "typo": {"capability": "do_it"}})
    again.start()
    replan(again, drop=("typo",))
    assert not again.run.parked
    assert kinds(again.done("one"))[-1] == "run-completed"


def test_a_task_that_parks_after_an_attempt_has_begun() -> None:
    run = scenario({"one": {**DO, "retry": {"max_attempts": 2, "delay": "1s"}}})
    run.start()
    run.fail("one")
    run.agents.views.clear()
    run.after(2)
    assert list(run.run.parked) == ["one"]
    with pytest.raises(Refused, match="has begun"):
        replan(run, add={"two": DO}, change={"one": {"capability": "other"}})
