"""A failed run that somebody has tried again."""

from typing import Any

import pytest

from dalsegno_bus.messages import RetryRun
from dalsegno_orchestrator.workflow.events import RunEvent
from dalsegno_orchestrator.workflow.turn import Refused
from support.reports import handoff, question
from support.scenario import RUN, Scenario, assigned, kinds, scenario

DO: dict[str, Any] = {"capability": "do", "retry": {"max_attempts": 1}}


def retry(run: Scenario, *tasks: str) -> list[RunEvent]:
    return run.when(RetryRun(run_id=RUN, tasks=tasks, reason="mended"))


def test_what_failed_begins_anew_and_the_rest_stays_done() -> None:
    run = scenario({"one": DO, "two": {**DO, "input": "${ tasks.one }"}})
    run.start()
    run.done("one", 1)
    run.fail("two")
    events = retry(run)
    assert kinds(events) == ["run-reopened", "task-assigned"]
    assert assigned(events)["two"].attempt == 2
    assert run.input_of("two") == 1
    assert kinds(run.done("two", attempt=2)) == ["task-completed", "run-completed"]


def test_a_task_that_is_tried_again_has_all_its_attempts_again() -> None:
    run = scenario({"one": {**DO, "retry": {"max_attempts": 2, "delay": "1s", "jitter": 0}}})
    run.start()
    run.fail("one")
    run.after(1)
    run.fail("one", attempt=2)
    assert assigned(retry(run))["one"].attempt == 3
    assert kinds(run.fail("one", attempt=3)) == ["task-failed", "retry-scheduled"]


def test_what_was_under_way_when_the_run_failed_begins_anew_too() -> None:
    run = scenario(
        {"bad": DO, "good": DO, "nap": {"sleep": "10s"}, "ok": {"wait": {"signal": "s"}}}
    )
    run.start()
    run.fail("bad")
    events = retry(run)
    assert {name: one.attempt for name, one in assigned(events).items()} == {"bad": 2, "good": 2}
    assert run.done("good", "late", attempt=1) == []
    run.done("bad", attempt=2)
    run.done("good", attempt=2)
    run.after(10)
    assert kinds(run.signal("s")) == ["signal-received", "run-completed"]


def test_after_a_deadline_the_run_gets_all_of_its_time_again() -> None:
    run = scenario({"one": DO}, deadline="1m")
    run.start()
    assert kinds(run.after(60)) == ["run-failed"]
    run.after(600)
    assert assigned(retry(run))["one"].attempt == 2
    assert run.after(59) == []
    assert kinds(run.after(1)) == ["run-failed"]


def test_an_item_is_tried_again_alone() -> None:
    run = scenario({"each": {**DO, "foreach": [1, 2, 3], "max_parallel": 2}})
    run.start()
    run.done("each-0", "a")
    run.fail("each-1")
    events = retry(run)
    assert {name: one.attempt for name, one in assigned(events).items()} == {
        "each-1": 2, "each-2": 2,
    }  # fmt: skip
    run.done("each-1", "b", attempt=2)
    run.done("each-2", "c", attempt=2)
    assert run.run.outputs["each"] == ["a", "b", "c"]
    assert run.run.status == "completed"


def test_a_fallback_that_failed_is_tried_again_and_not_what_it_stands_in_for() -> None:
    run = scenario({"work": {**DO, "on_error": {"fallback": "plain"}}, "plain": DO})
    run.start()
    run.fail("work")
    run.fail("plain")
    assert list(assigned(retry(run))) == ["plain"]
    assert kinds(run.done("plain", attempt=2))[-1] == "run-completed"


def test_only_what_failed_can_be_named_and_all_of_it_has_to_be() -> None:
    run = scenario({"one": {**DO, "compensate": {"capability": "other"}}, "two": DO, "three": DO})
    run.start()
    run.fail("two")
    assert run.run.status == "failing", "the first one may still report"
    run.fail("three")
    run.fail("one")
    assert run.run.status == "failed"
    with pytest.raises(Refused, match="not among the tasks that failed"):
        retry(run, "four")
    with pytest.raises(Refused, match="failed as well"):
        retry(run, "two")
    assert set(assigned(retry(run, "one", "two", "three"))) == {"one", "two", "three"}


def test_a_failure_during_the_grace_that_others_would_make_up_for_does_not_get_lost() -> None:
    undo = {"compensate": {"capability": "other"}}
    tasks = {
        "bad": DO,
        "kept": {**DO, **undo, "on_error": "continue"},
        "work": {**DO, **undo, "on_error": {"fallback": "plain"}},
        "plain": DO,
        "loop": {**DO, **undo, "on_error": "continue", "repeat": {"until": "${ output }"}},
    }
    run = scenario(tasks)
    run.start()
    run.fail("bad")
    for name in ("kept", "work", "loop-0"):
        run.fail(name)
    assert run.run.status == "failed"
    assert set(assigned(retry(run))) == {"bad", "work"}
    run.done("bad", attempt=2)
    assert kinds(run.done("work", attempt=2))[-1] == "run-completed"


def test_a_task_that_was_handed_on_begins_where_the_workflow_says() -> None:
    run = scenario({"one": {**DO, "input": {"n": 1}}})
    run.start()
    run.when(handoff("one", "other", {"n": 2}))
    run.fail("one", attempt=2)
    again = assigned(retry(run))["one"]
    assert (again.capability, again.attempt) == ("do", 3)
    assert run.input_of("one") == {"n": 1}


def test_a_question_that_was_open_is_asked_again() -> None:
    run = scenario({"asker": DO, "bad": DO})
    run.start()
    run.when(question("asker", "q1"))
    run.fail("bad")
    events = assigned(retry(run))
    assert {name: one.attempt for name, one in events.items()} == {
        "asker": 2, "bad": 2, "asker-ask-q1": 2,
    }  # fmt: skip
    assert kinds(run.done("asker-ask-q1", 1, attempt=2)) == ["task-completed"]


def test_a_run_that_did_not_fail_or_was_undone_is_not_tried_again() -> None:
    run = scenario({"one": {**DO, "compensate": {"capability": "other"}}, "two": DO})
    run.start()
    with pytest.raises(Refused, match="running"):
        retry(run)
    run.done("one")
    run.fail("two")
    run.done("one-undo")
    with pytest.raises(Refused, match="was undone"):
        retry(run)
    done = scenario({"one": DO})
    done.start()
    done.done("one")
    with pytest.raises(Refused, match="completed"):
        retry(done)
