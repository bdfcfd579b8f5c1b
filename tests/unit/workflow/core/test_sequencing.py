"""Which task begins when, and when a run ends."""

from dalsegno_orchestrator.workflow.events import (
    RunCompleted,
    RunFailed,
    SignalReceived,
    TaskFailed,
    TasksExpanded,
    TaskSkipped,
)
from support.scenario import assigned, kinds, scenario

CHAIN = {
    "first": {"capability": "do", "input": {"x": "${ input.x }"}},
    "second": {"capability": "do", "input": {"y": "${ tasks.first.y }"}},
}


def test_a_task_without_needs_is_assigned_at_once() -> None:
    events = scenario(CHAIN).start({"x": 1})
    assert kinds(events) == ["run-started", "task-assigned"]
    assert assigned(events)["first"].agent == "a"


def test_a_reference_is_a_dependency_and_hands_the_output_on() -> None:
    run = scenario(CHAIN)
    run.start({"x": 1})
    events = run.done("first", {"y": 2})
    assert kinds(events) == ["task-completed", "task-assigned"]
    assert run.input_of("second") == {"y": 2}


def test_the_run_completes_with_its_output_when_nothing_is_left() -> None:
    run = scenario(CHAIN, output="${ tasks.second.z }")
    run.start({"x": 1})
    run.done("first", {"y": 2})
    events = run.done("second", {"z": [3]})
    assert events[-1] == RunCompleted(output=[3])
    assert not run.run.is_open


def test_independent_tasks_run_side_by_side_and_a_join_waits_for_all() -> None:
    run = scenario(
        {
            "left": {"capability": "do"},
            "right": {"capability": "do"},
            "join": {"capability": "do", "after": ["left", "right"]},
        }
    )
    assert set(assigned(run.start())) == {"left", "right"}
    assert kinds(run.done("right")) == ["task-completed"]
    assert set(assigned(run.done("left"))) == {"join"}


def test_a_condition_that_does_not_hold_skips_the_task_and_its_output_is_null() -> None:
    run = scenario(
        {
            "maybe": {"capability": "do", "when": "${ input.x > 5 }"},
            "next": {"capability": "do", "input": {"got": "${ tasks.maybe }"}},
        }
    )
    events = run.start({"x": 1})
    assert isinstance(events[1], TaskSkipped)
    assert run.input_of("next") == {"got": None}


def test_a_foreach_becomes_a_task_for_each_item_and_keeps_their_order() -> None:
    run = scenario(
        {
            "each": {
                "capability": "do",
                "foreach": "${ input }",
                "input": {"item": "${ item }", "at": "${ index }"},
            },
            "join": {"capability": "do", "input": "${ tasks.each }"},
        }
    )
    events = run.start(["p", "q", "r"])
    assert events[1] == TasksExpanded(task_id="each", count=3)
    assert set(assigned(events)) == {"each-0", "each-1", "each-2"}
    assert run.input_of("each-1") == {"item": "q", "at": 1}
    run.done("each-2", "R")
    run.done("each-0", "P")
    assert set(assigned(run.done("each-1", "Q"))) == {"join"}
    assert run.input_of("join") == ["P", "Q", "R"]


def test_a_foreach_over_nothing_is_done_at_once() -> None:
    run = scenario(
        {"each": {"capability": "do", "foreach": "${ input }"}}, output="${ tasks.each }"
    )
    assert run.start([])[-1] == RunCompleted(output=[])


def test_max_parallel_bounds_how_many_items_are_out() -> None:
    run = scenario({"each": {"capability": "do", "foreach": "${ input }", "max_parallel": 2}})
    assert set(assigned(run.start([1, 2, 3, 4]))) == {"each-0", "each-1"}
    assert set(assigned(run.done("each-0"))) == {"each-2"}
    assert set(assigned(run.done("each-1"))) == {"each-3"}
    assert kinds(run.done("each-3")) == ["task-completed"]
    assert kinds(run.done("each-2"))[-1] == "run-completed"


def test_a_foreach_over_something_else_than_a_list_fails_with_a_reason() -> None:
    run = scenario({"each": {"capability": "do", "foreach": "${ input }"}})
    events = run.start({"no": "list"})
    assert isinstance(events[1], TaskFailed)
    assert "list" in events[1].error.message
    assert isinstance(events[-1], RunFailed)


def test_an_expression_that_finds_nothing_fails_the_task_and_names_what_is_there() -> None:
    run = scenario(CHAIN)
    events = run.start({"other": 1})
    assert isinstance(events[1], TaskFailed)
    assert events[1].error.code == "expression"
    assert "x" in events[1].error.message


def test_a_wait_ends_with_its_signal_and_the_payload_is_its_output() -> None:
    run = scenario({"ok": {"wait": {"signal": "yes"}}}, output="${ tasks.ok.by }")
    assert kinds(run.start()) == ["run-started", "signal-awaited"]
    events = run.signal("yes", {"by": "Ada"})
    assert kinds(events) == ["signal-received", "run-completed"]
    assert run.run.output == "Ada"


def test_a_signal_that_comes_early_is_kept_for_whoever_waits_next() -> None:
    run = scenario(
        {"work": {"capability": "do"}, "ok": {"wait": {"signal": "yes"}, "after": ["work"]}},
        output="${ tasks.ok }",
    )
    run.start()
    early = run.signal("yes", 7)
    assert isinstance(early[0], SignalReceived)
    assert early[0].task_id is None
    assert kinds(run.done("work")) == ["task-completed", "signal-taken", "run-completed"]
    assert run.run.output == 7


def test_a_copy_of_a_signal_changes_nothing() -> None:
    run = scenario({"one": {"wait": {"signal": "go"}}, "two": {"wait": {"signal": "go"}}})
    run.start()
    assert kinds(run.signal("go", message_id="same")) == ["signal-received"]
    assert run.signal("go", message_id="same") == []
    assert kinds(run.signal("go", message_id="new")) == ["signal-received", "run-completed"]


def test_a_wait_that_times_out_fails_the_run() -> None:
    run = scenario({"ok": {"wait": {"signal": "yes", "timeout": "1h"}}})
    run.start()
    assert run.after(3599) == []
    assert kinds(run.after(1)) == ["task-timed-out", "run-failed"]
    assert run.run.error is not None
    assert run.run.error.code == "task.signal_timeout"


def test_a_sleep_ends_when_its_time_has_come() -> None:
    run = scenario({"nap": {"sleep": "10s"}, "next": {"capability": "do", "after": ["nap"]}})
    assert kinds(run.start()) == ["run-started", "timer-set"]
    assert run.after(9) == []
    assert kinds(run.after(1)) == ["timer-fired", "task-assigned"]


def test_a_deadline_ends_the_run_and_lists_what_was_under_way() -> None:
    run = scenario({"work": {"capability": "do"}}, deadline="1m")
    run.start()
    events = run.after(60)
    assert isinstance(events[-1], RunFailed)
    assert events[-1].error.code == "run.deadline"
    assert [gone.task_id for gone in events[-1].abandoned] == ["work"]


def test_an_ended_run_hears_nothing_more() -> None:
    run = scenario({"work": {"capability": "do"}})
    run.start()
    run.done("work")
    assert run.done("work") == []
    assert run.signal("yes") == []
    assert run.after(1_000_000) == []
