"""Plans made by agents: looked at as a whole, taken or rejected, and then run like any part."""

from typing import Any, cast

import pytest

from dalsegno_bus.messages import PauseRun, ResumeRun, RetryRun, RewindRun
from dalsegno_orchestrator.workflow.decider import command_of
from dalsegno_orchestrator.workflow.events import (
    PlanAccepted,
    PlanFinished,
    PlanProposed,
    PlanRejected,
)
from support.scenario import RUN, Scenario, assigned, kinds, scenario

RETRY = {"max_attempts": 2, "delay": "1s", "jitter": 0}
PLAN: dict[str, Any] = {"capability": "do", "dynamic": {"max_tasks": 4, "max_depth": 2}}
TASKS = {"plan": {**PLAN, "retry": RETRY}, "last": {"capability": "do", "input": "${ tasks.plan }"}}
DO = {"capability": "do"}
CLAIM = {"sha256": "0" * 64, "size_bytes": 9, "media_type": "application/json"}


def planned(tasks: Any, output: Any = None, **top: Any) -> Scenario:
    """A run whose first task has answered with this plan."""
    run = scenario(TASKS, **top)
    run.start({})
    answer = {"tasks": tasks} if output is None else {"tasks": tasks, "output": output}
    run.done("plan", answer)
    return run


def reasons(run: Scenario) -> str:
    """Why the newest plan was rejected."""
    found = [event for event, _ in run.history if isinstance(event, PlanRejected)]
    return "\n".join(cast("list[str]", found[-1].error.detail))


def test_a_plan_is_recorded_taken_and_run_like_any_other_part() -> None:
    run = scenario(TASKS)
    run.start({})
    events = run.done("plan", {"tasks": {"x": DO, "y": {**DO, "input": "${ tasks.x }"}}})
    assert kinds(events) == ["plan-proposed", "plan-accepted", "task-assigned"]
    assert isinstance(events[0], PlanProposed)
    assert list(events[0].tasks) == ["x", "y"]
    assert events[1] == PlanAccepted(task_id="plan", plan_version=2)
    assert list(assigned(run.done("x", 1))) == ["y"]
    assert run.input_of("y") == 1
    over = run.done("y", 2)
    assert kinds(over) == ["task-completed", "plan-finished", "task-assigned"]
    assert over[1] == PlanFinished(task_id="plan")
    assert run.input_of("last") == {"x": 1, "y": 2}


def test_the_output_of_a_plan_may_be_a_template() -> None:
    run = planned({"x": DO}, "${ tasks.x.value }")
    run.done("x", {"value": 5})
    assert run.input_of("last") == 5


def test_an_output_that_cannot_be_made_fails_the_task_and_a_retry_tries_again() -> None:
    run = planned({"x": DO}, "${ tasks.x.value }")
    assert kinds(run.done("x", {})) == ["task-completed", "task-failed", "run-failed"]
    again = run.when(RetryRun(run_id=RUN))
    assert kinds(again) == ["run-reopened", "task-failed", "run-failed"], "its parts stay as done"
    back = run.when(RewindRun(run_id=RUN, task_id="x"))
    assert list(assigned(back)) == ["x"]
    assert kinds(run.done("x", {"value": 1}, attempt=2))[1] == "plan-finished"


def test_an_empty_plan_is_finished_at_once() -> None:
    run = planned({})
    assert run.task("plan").status == "completed"
    assert run.input_of("last") == {}


def test_inputs_in_a_plan_may_travel_by_reference() -> None:
    run = planned({"x": {**DO, "input": {"$claim": CLAIM}}})
    assert run.input_of("x") == {"$claim": CLAIM}


BAD: dict[str, tuple[Any, str]] = {
    "no plan": ("later", "a plan needs tasks"),
    "a strange key": ({"tasks": {}, "step": 1}, "no key 'step'"),
    "a claim check": (
        {"$claim": CLAIM},
        "too large to be a plan",
    ),
    "a claim check for its tasks": ({"tasks": {"$claim": CLAIM}}, "too large to be a plan"),
    "a claim check for a task": (
        {"tasks": {"x": {"$claim": CLAIM}}},
        "too large to be a plan",
    ),
    "a taken name": ({"tasks": {"last": DO}}, "has a task 'last' already"),
    "a bad name": ({"tasks": {"Not a name": DO}}, "Not a name"),
    "a bad task": ({"tasks": {"x": {"capability": "do", "retries": 3}}}, "retries"),
    "no task": ({"tasks": {"x": 7}}, "tasks.x"),
    "an unknown reference": ({"tasks": {"x": {**DO, "after": ["nobody"]}}}, "nobody"),
    "a circle": (
        {"tasks": {"x": {**DO, "after": ["y"]}, "y": {**DO, "after": ["x"]}}},
        "circle",
    ),
    "its own planner": ({"tasks": {"x": {**DO, "after": ["plan"]}}}, "'x' waits for 'plan'"),
    "a bad expression": ({"tasks": {"x": {**DO, "input": "${ tasks. }"}}}, "tasks.x.input"),
    "a bad output": ({"tasks": {"x": DO}, "output": "${ tasks.last }"}, "output"),
    "too many": ({"tasks": {f"x{index}": DO for index in range(5)}}, "may add 4 tasks"),
    "nobody can": ({"tasks": {"x": {"capability": "fly"}}}, "no agent has the capability 'fly'"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_plan_that_is_not_sound_is_rejected_with_its_reasons(name: str) -> None:
    plan, reason = BAD[name]
    run = scenario(TASKS)
    run.start({})
    events = run.done("plan", plan)
    assert kinds(events) == ["plan-proposed", "plan-rejected", "retry-scheduled"]
    assert reason in reasons(run)
    assert run.run.plan_version == 1


def test_every_reason_is_told_at_once() -> None:
    tasks = {f"x{index}": {"capability": "fly", "after": ["nobody"]} for index in range(5)}
    told = reasons(planned(tasks))
    assert "may add 4 tasks" in told
    assert "capability 'fly'" in told
    assert "nobody" in told


def test_a_rejected_planner_is_asked_again_and_told_why() -> None:
    run = planned({"x": {**DO, "after": ["nobody"]}})
    assert assigned(run.after(1))["plan"].attempt == 2
    command = command_of(run.run, run.task("plan"), 2)
    assert command.last_failure is not None
    assert command.last_failure.code == "plan.rejected"
    assert kinds(run.done("plan", {"tasks": {"x": DO}}, attempt=2))[:2] == [
        "plan-proposed", "plan-accepted",
    ]  # fmt: skip


def test_the_last_rejection_fails_the_run() -> None:
    run = planned({"x": 1})
    run.after(1)
    events = run.done("plan", {"tasks": {"x": 1}}, attempt=2)
    assert kinds(events) == ["plan-proposed", "plan-rejected", "run-failed"]


def test_plans_may_add_plans_as_deep_as_declared() -> None:
    run = planned({"inner": {**PLAN, "retry": RETRY}})
    assert kinds(run.done("inner", {"tasks": {"deep": {**PLAN, "retry": RETRY}}}))[1] == (
        "plan-accepted"
    )
    assert kinds(run.done("deep", {"tasks": {"deeper": DO}}))[1] == "plan-rejected"
    assert "may be 2 deep" in reasons(run)
    run.after(1)
    over = run.done("deep", {"tasks": {}}, attempt=2)
    finished = [event.task_id for event in over if isinstance(event, PlanFinished)]
    assert finished == ["deep", "inner", "plan"]
    assert run.input_of("last") == {"inner": {"deep": {}}}


def test_the_limit_on_tasks_counts_what_nested_plans_add() -> None:
    run = planned({"inner": {**PLAN, "retry": RETRY}, "x": DO})
    run.done("inner", {"tasks": {"one": DO, "two": DO, "three": DO}})
    assert "may add 4 tasks, and 5" in reasons(run)


def test_a_plan_that_the_budget_does_not_cover_is_rejected() -> None:
    run = planned({"x": DO, "y": DO, "z": DO}, budget={"tasks": 3})
    assert "the budget leaves 2 tasks, and it has 3" in reasons(run)


def test_a_fallback_inside_a_plan_stands_in_for_its_task() -> None:
    once = {"max_attempts": 1}
    run = planned({"x": {**DO, "retry": once, "on_error": {"fallback": "y"}}, "y": DO})
    assert list(assigned(run.fail("x"))) == ["y"]
    assert kinds(run.done("y", 7))[:2] == ["task-completed", "plan-finished"]
    assert run.input_of("last") == {"x": 7, "y": 7}


def test_a_fallback_may_plan() -> None:
    tasks = {
        "work": {**DO, "retry": {"max_attempts": 1}, "on_error": {"fallback": "plan"}},
        "plan": PLAN,
        "last": {**DO, "input": "${ tasks.work }"},
    }
    run = scenario(tasks)
    run.start({})
    run.fail("work")
    assert list(assigned(run.done("plan", {"tasks": {"x": DO}}))) == ["x"]
    events = run.done("x", 3)
    assert kinds(events) == ["task-completed", "plan-finished", "task-assigned"]
    assert run.input_of("last") == {"x": 3}


def test_a_part_that_fails_fails_the_run_and_is_retried_alone() -> None:
    run = planned({"x": {**DO, "retry": {"max_attempts": 1}}, "y": DO})
    run.done("y", 1)
    assert kinds(run.fail("x")) == ["task-failed", "run-failed"]
    assert assigned(run.when(RetryRun(run_id=RUN)))["x"].attempt == 2
    assert list(assigned(run.done("x", 2, attempt=2))) == ["last"]


def test_a_plan_that_comes_while_the_run_stands_still_begins_when_it_goes_on() -> None:
    run = scenario(TASKS)
    run.start({})
    run.when(PauseRun(run_id=RUN))
    assert kinds(run.done("plan", {"tasks": {"x": DO}})) == ["plan-proposed", "plan-accepted"]
    assert kinds(run.when(ResumeRun(run_id=RUN))) == ["run-resumed", "task-assigned"]


def test_a_plan_that_comes_while_the_run_ends_is_not_taken() -> None:
    run = scenario(TASKS)
    run.start({})
    run.cancel()
    events = run.done("plan", {"tasks": {"x": DO}})
    assert kinds(events) == ["plan-proposed", "plan-rejected", "run-cancelled"]
    assert "ending" in reasons(run)


def test_what_waits_for_a_planner_waits_for_its_parts() -> None:
    run = planned({"x": {**DO, "foreach": [1, 2]}})
    assert run.task("plan").status == "planned"
    run.done("x-0", "a")
    assert list(assigned(run.done("x-1", "b"))) == ["last"]
    assert run.input_of("last") == {"x": ["a", "b"]}
