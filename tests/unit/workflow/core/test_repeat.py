"""A task that runs again and again until its condition holds."""

from dalsegno_bus.messages import RetryRun
from dalsegno_orchestrator.workflow.events import RepeatEnded, RunFailed, TaskFailed, TaskRepeated
from support.scenario import RUN, assigned, kinds, scenario

UNTIL = {"until": "${ output.good }", "max": 3}
WRITE = {
    "write": {
        "capability": "do",
        "repeat": UNTIL,
        "retry": {"max_attempts": 1},
        "input": {"round": "${ iteration }", "before": "${ previous }"},
    }
}
AFTER = {"next": {"capability": "do", "input": "${ tasks.write }"}}


def test_it_runs_until_the_condition_holds_and_its_output_is_the_last_one() -> None:
    run = scenario(WRITE | AFTER)
    assert kinds(run.start()) == ["run-started", "task-repeated", "task-assigned"]
    assert run.input_of("write-0") == {"round": 0, "before": None}
    assert kinds(run.done("write-0", {"good": False})) == [
        "task-completed", "task-repeated", "task-assigned",
    ]  # fmt: skip
    assert run.input_of("write-1") == {"round": 1, "before": {"good": False}}
    events = run.done("write-1", {"good": True})
    assert kinds(events) == ["task-completed", "repeat-ended", "task-assigned"]
    assert events[1] == RepeatEnded(task_id="write", iterations=2)
    assert run.input_of("next") == {"good": True}


def test_after_the_most_times_allowed_the_task_has_failed() -> None:
    run = scenario(WRITE)
    run.start()
    for index in range(2):
        run.done(f"write-{index}", {"good": False})
    events = run.done("write-2", {"good": False})
    assert kinds(events) == ["task-completed", "task-failed", "run-failed"]
    assert isinstance(events[1], TaskFailed)
    assert (events[1].task_id, events[1].attempt) == ("write", 0)
    assert events[1].error.code == "task.repeat_exhausted"


def test_a_repeat_that_was_exhausted_begins_again_when_it_is_retried() -> None:
    run = scenario(WRITE)
    run.start()
    for index in range(3):
        run.done(f"write-{index}", {"good": False})
    events = run.when(RetryRun(run_id=RUN))
    assert kinds(events) == ["run-reopened", "task-repeated", "task-assigned"]
    assert assigned(events)["write-0"].attempt == 2, "numbers never come twice"
    assert kinds(run.done("write-0", {"good": True}, attempt=2))[-1] == "run-completed"


def test_the_next_time_waits_for_the_delay() -> None:
    run = scenario({"write": {**WRITE["write"], "repeat": {**UNTIL, "delay": "30s"}}})
    run.start()
    events = run.done("write-0", {"good": False})
    assert kinds(events) == ["task-completed", "task-repeated"]
    assert isinstance(events[1], TaskRepeated)
    assert events[1].at is not None
    assert run.after(29) == []
    assert assigned(run.after(1))["write-1"].attempt == 1


def test_a_failure_inside_is_retried_like_any_other_and_fails_the_task_in_the_end() -> None:
    retry = {"max_attempts": 2, "delay": "1s", "jitter": 0}
    run = scenario({"write": {**WRITE["write"], "retry": retry}})
    run.start()
    run.done("write-0", {"good": False})
    assert kinds(run.fail("write-1")) == ["task-failed", "retry-scheduled"]
    run.after(1)
    events = run.fail("write-1", attempt=2)
    assert kinds(events) == ["task-failed", "run-failed"]
    assert isinstance(events[1], RunFailed)
    assert events[1].task_id == "write"
    assert run.task("write").status == "failed"


def test_a_failed_time_is_retried_where_it_stood() -> None:
    run = scenario(WRITE)
    run.start()
    run.done("write-0", {"good": False})
    run.fail("write-1")
    again = run.when(RetryRun(run_id=RUN))
    assert assigned(again)["write-1"].attempt == 2
    assert run.input_of("write-1") == {"round": 1, "before": {"good": False}}
    assert kinds(run.done("write-1", {"good": True}, attempt=2))[-1] == "run-completed"


def test_on_error_continue_goes_on_with_null_after_a_failed_time() -> None:
    run = scenario({"write": {**WRITE["write"], "on_error": "continue"}} | AFTER)
    run.start()
    assert kinds(run.fail("write-0")) == ["task-failed", "task-assigned"]
    assert run.input_of("next") is None


def test_a_fallback_stands_in_for_the_whole_repeat() -> None:
    tasks = {"write": {**WRITE["write"], "on_error": {"fallback": "plain"}}}
    run = scenario(tasks | {"plain": {"capability": "other"}} | AFTER)
    run.start()
    run.done("write-0", {"good": False})
    assert set(assigned(run.fail("write-1"))) == {"plain"}
    run.done("plain", "instead")
    assert run.input_of("next") == "instead"


def test_a_condition_that_cannot_be_evaluated_fails_the_task() -> None:
    run = scenario(WRITE)
    run.start()
    events = run.done("write-0", {"other": 1})
    assert kinds(events) == ["task-completed", "task-failed", "run-failed"]
    assert isinstance(events[1], TaskFailed)
    assert events[1].error.code == "expression"


def test_each_time_is_undone_the_last_one_first() -> None:
    undo = {"compensate": {"capability": "other", "input": {"was": "${ tasks.write.id }"}}}
    tasks = {"write": {**WRITE["write"], **undo}, "bad": {"capability": "do", "after": ["write"]}}
    run = scenario(tasks)
    run.start()
    run.done("write-0", {"good": False, "id": 0})
    run.done("write-1", {"good": True, "id": 1})
    assert list(assigned(run.fail("bad", retryable=False))) == ["write-1-undo"]
    assert run.input_of("write-1-undo") == {"was": 1}
    assert list(assigned(run.done("write-1-undo"))) == ["write-0-undo"]
    assert run.input_of("write-0-undo") == {"was": 0}
    assert kinds(run.done("write-0-undo"))[-1] == "run-failed"
