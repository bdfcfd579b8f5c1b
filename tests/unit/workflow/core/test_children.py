"""Sub-workflows: runs of their own that do a task."""

import pytest

from dalsegno_bus.ids import RunId, child_run_id
from dalsegno_bus.messages import Failure, ParentRun, Usage
from dalsegno_orchestrator.workflow.decider import child_start_of
from dalsegno_orchestrator.workflow.events import ChildEnded, ChildStarted, RunEnding, RunFailed
from dalsegno_orchestrator.workflow.rules.children import DEPTH_MAX
from support.reports import child_over, shared
from support.scenario import RUN, kinds, scenario

SUB = {"sub": {"workflow": "inner", "input": {"n": "${ input.n }"}}}
AFTER = {"next": {"capability": "do", "input": "${ tasks.sub }"}}
FIRST, SECOND = child_run_id(RUN, "sub", 1), child_run_id(RUN, "sub", 2)
BROKE = Failure(code="test", message="as the test asked")


def test_a_run_does_the_task_and_its_output_is_the_tasks() -> None:
    run = scenario(SUB | AFTER)
    events = run.start({"n": 4})
    assert events[1] == ChildStarted(task_id="sub", attempt=1, run_id=FIRST, workflow="inner")
    child = child_start_of(run.run, run.task("sub"))
    assert (child.run_id, child.workflow, child.input) == (FIRST, "inner", {"n": 4})
    assert child.parent == ParentRun(run_id=RUN, task_id="sub", attempt=1, depth=1)
    ended = run.when(child_over("sub", FIRST, output={"sum": 3}, usage=Usage(usd=2.0, tokens=7)))
    assert kinds(ended) == ["child-ended", "task-assigned"]
    assert run.input_of("next") == {"sum": 3}
    assert (run.run.spent.usd, run.run.spent.tokens) == (2.0, 7)


@pytest.mark.parametrize("status", ["failed", "cancelled", "compensation_failed", "rejected"])
def test_a_child_that_ended_badly_fails_the_task(status: str) -> None:
    run = scenario(SUB)
    run.start({"n": 1})
    events = run.when(child_over("sub", FIRST, status))
    assert kinds(events) == ["child-ended", "run-failed"]
    assert isinstance(events[0], ChildEnded)
    assert events[0].final
    assert isinstance(events[1], RunFailed)
    assert events[1].error.code == f"child.{status}"


def test_a_failed_child_is_followed_by_another_only_where_that_is_declared() -> None:
    retry = {"max_attempts": 2, "delay": "1s", "jitter": 0}
    run = scenario({"sub": {**SUB["sub"], "retry": retry}})
    run.start({"n": 1})
    assert kinds(run.when(child_over("sub", FIRST, "failed", error=BROKE))) == [
        "child-ended", "retry-scheduled",
    ]  # fmt: skip
    again = run.after(1)
    assert kinds(again) == ["child-started"]
    assert isinstance(again[0], ChildStarted)
    assert (again[0].attempt, again[0].run_id) == (2, SECOND)
    events = run.when(child_over("sub", SECOND, "failed", attempt=2, error=BROKE))
    assert kinds(events) == ["child-ended", "run-failed"]


def test_a_cancelled_child_is_not_followed_by_another() -> None:
    run = scenario({"sub": {**SUB["sub"], "retry": {"max_attempts": 5}}})
    run.start({"n": 1})
    assert kinds(run.when(child_over("sub", FIRST, "cancelled"))) == ["child-ended", "run-failed"]


def test_on_error_holds_for_a_child_too() -> None:
    run = scenario({"sub": {**SUB["sub"], "on_error": "continue"}} | AFTER)
    run.start({"n": 1})
    assert kinds(run.when(child_over("sub", FIRST, "failed"))) == ["child-ended", "task-assigned"]
    assert run.input_of("next") is None


def test_late_and_foreign_ends_change_nothing() -> None:
    run = scenario({"sub": {**SUB["sub"], "retry": {"max_attempts": 2, "delay": "1s"}}})
    run.start({"n": 1})
    assert run.when(child_over("sub", RunId(SECOND))) == []
    assert run.when(child_over("sub", FIRST, attempt=2)) == []
    assert run.when(child_over("other", FIRST)) == []
    run.when(child_over("sub", FIRST, "failed"))
    assert run.when(child_over("sub", FIRST)) == [], "it has ended already"
    run.after(2)
    assert run.when(child_over("sub", FIRST)) == [], "another one does it now"


def test_every_item_has_a_run_of_its_own() -> None:
    run = scenario({"sub": {"workflow": "inner", "foreach": [1, 2], "input": "${ item }"}})
    assert kinds(run.start()) == ["run-started", "tasks-expanded", "child-started", "child-started"]
    for index in (1, 0):
        events = run.when(child_over(f"sub-{index}", child_run_id(RUN, f"sub-{index}", 1)))
    assert kinds(events) == ["child-ended", "run-completed"]


def test_runs_are_nested_only_so_deep() -> None:
    run = scenario(SUB)
    above = ParentRun(run_id=FIRST, task_id="t", attempt=1, depth=DEPTH_MAX)
    events = run.start({"n": 1}, parent=above)
    assert kinds(events) == ["run-started", "task-failed", "run-failed"]
    assert isinstance(events[2], RunFailed)
    assert events[2].error.code == "child.depth"
    fits = scenario(SUB)
    fits.start({"n": 1}, parent=above.model_copy(update={"depth": DEPTH_MAX - 1}))
    child = child_start_of(fits.run, fits.task("sub"))
    assert child.parent is not None
    assert child.parent.depth == DEPTH_MAX


def test_a_cancelled_run_ends_when_its_children_have() -> None:
    run = scenario(SUB)
    run.start({"n": 1})
    events = run.cancel()
    assert kinds(events) == ["run-ending"]
    assert isinstance(events[0], RunEnding)
    assert events[0].children == (FIRST,)
    assert run.after(3600) == [], "a child ends in its own time"
    assert kinds(run.when(child_over("sub", FIRST, "cancelled"))) == [
        "child-ended", "run-cancelled",
    ]  # fmt: skip


def test_after_the_grace_a_run_that_waits_for_children_has_nothing_to_look_at() -> None:
    run = scenario(SUB | {"work": {"capability": "do"}})
    run.start({"n": 1})
    run.cancel()
    assert run.after(10) == []
    assert run.run.next_look() is None
    ended = run.when(child_over("sub", FIRST, "cancelled"))
    assert kinds(ended) == ["child-ended", "run-cancelled"]


def test_a_failing_run_cancels_its_children_and_undoes_one_that_was_faster() -> None:
    sub = {**SUB["sub"], "compensate": {"capability": "other", "input": "${ tasks.sub.id }"}}
    run = scenario({"sub": sub, "bad": {"capability": "do"}})
    run.start({"n": 1})
    events = run.fail("bad", retryable=False)
    assert kinds(events) == ["task-failed", "run-ending"]
    late = run.when(child_over("sub", FIRST, output={"id": 9}))
    assert kinds(late) == ["child-ended", "compensation-started", "task-assigned"]
    assert run.input_of("sub-undo") == 9
    assert kinds(run.done("sub-undo")) == ["task-completed", "run-failed"]


def test_the_input_of_the_next_child_that_fails_to_be_made_fails_the_task() -> None:
    retry = {"max_attempts": 2, "delay": "1s", "jitter": 0}
    tasks = {
        "sub": {"workflow": "inner", "retry": retry, "input": {"n": "${ context.list[0] }"}},
        "put": {"capability": "do"},
    }
    run = scenario({"first": {"capability": "do"}} | {
        "sub": {**tasks["sub"], "after": ["first"]}, "put": {**tasks["put"], "after": ["first"]},
    })  # fmt: skip
    run.start()
    run.when(shared("first", "list", [1]))
    run.done("first")
    run.when(shared("put", "list", []))
    run.when(child_over("sub", FIRST, "failed"))
    assert kinds(run.after(1)) == ["task-failed", "run-failed"]
