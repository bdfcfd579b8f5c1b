"""Limits: what is taken, who waits for what, and when it goes on."""

from datetime import timedelta
from typing import Any

from dalsegno_bus.messages import PauseRun
from dalsegno_orchestrator.workflow.events import (
    Permit,
    RunEvent,
    TaskAssigned,
    TaskFailed,
    TaskParked,
)
from support.scenario import RUN, assigned, kinds, scenario

DO: dict[str, Any] = {"capability": "do", "retry": {"max_attempts": 1}}


def parked(events: list[RunEvent]) -> dict[str, TaskParked]:
    return {event.task_id: event for event in events if isinstance(event, TaskParked)}


def test_a_task_without_room_is_parked_says_why_and_goes_when_it_is_freed() -> None:
    run = scenario({"one": DO, "two": DO})
    run.limits.set("capability:do", 1)
    events = run.start()
    assert assigned(events)["one"].permits == (Permit(limit="capability:do"),)
    waits = parked(events)["two"]
    assert waits.waits_for == "capability:do"
    assert "used up" in waits.reason
    assert run.free("two") == [], "there is no room yet"
    run.done("one")
    assert list(assigned(run.free("two"))) == ["two"]
    assert run.limits.held("capability:do") == 1


def test_what_an_attempt_took_is_given_back_however_it_ends() -> None:
    run = scenario({"one": {**DO, "on_error": "continue"}, "two": DO})
    run.limits.set("capability:do", 1)
    run.start()
    run.fail("one")
    assert run.limits.held("capability:do") == 0
    run.free("two")
    run.cancel()
    run.after(10)
    assert run.limits.held("capability:do") == 0


def test_a_rate_tells_when_there_is_room_again() -> None:
    run = scenario({"one": DO, "two": DO})
    run.limits.set("capability:do", rate="1/m")
    waits = parked(run.start())["two"]
    assert waits.until == run.now + timedelta(seconds=60)
    run.done("one")
    assert run.free("two") == []
    run.now += timedelta(seconds=60)
    assert list(assigned(run.free("two"))) == ["two"]


def test_a_quota_that_nobody_has_set_parks_and_says_how_to_set_it() -> None:
    run = scenario({"one": {**DO, "quota": {"tpm": "${ input.tokens }"}}})
    waits = parked(run.start({"tokens": 500}))["one"]
    assert waits.waits_for == "quota:tpm"
    assert "limits set quota:tpm" in waits.reason
    run.limits.set("quota:tpm", 1000)
    assert assigned(run.free("one"))["one"].permits == (Permit(limit="quota:tpm", amount=500.0),)


def test_a_quota_is_taken_item_by_item() -> None:
    run = scenario({"each": {**DO, "foreach": [3, 4, 5], "quota": {"tpm": "${ item }"}}})
    run.limits.set("quota:tpm", 8)
    events = run.start()
    assert list(assigned(events)) == ["each-0", "each-1"]
    assert list(parked(events)) == ["each-2"]
    run.done("each-0")
    assert run.free("each-2") == [], "4 + 5 are more than 8"
    run.done("each-1")
    assert list(assigned(run.free("each-2"))) == ["each-2"]


def test_what_is_no_amount_fails_the_task() -> None:
    for amount in ("many", -1, True):
        run = scenario({"one": {**DO, "quota": {"tpm": "${ input.tokens }"}}})
        run.limits.set("quota:tpm", 8)
        events = run.start({"tokens": amount})
        assert kinds(events) == ["run-started", "task-failed", "run-failed"]
        assert isinstance(events[1], TaskFailed)
        assert "a number of 0 or more" in events[1].error.message


def test_an_amount_that_is_no_number_at_all_fails_the_task() -> None:
    run = scenario({"one": {**DO, "quota": {"tpm": "${ double(input.n) / double(input.n) }"}}})
    run.limits.set("quota:tpm", 8)
    assert kinds(run.start({"n": 0}))[-1] == "run-failed"


def test_of_several_limits_all_have_to_leave_room() -> None:
    run = scenario(
        {"one": {**DO, "quota": {"tpm": 5}}, "two": {**DO, "quota": {"tpm": 5}}},
        limits={"concurrency": 2},
    )
    run.limits.set("quota:tpm", 8)
    run.limits.set("capability:do", 2)
    events = run.start()
    assert [permit.limit for permit in assigned(events)["one"].permits] == [
        "capability:do", "workflow:test", "quota:tpm",
    ]  # fmt: skip
    assert parked(events)["two"].waits_for == "quota:tpm"
    assert run.limits.held("capability:do") == 1, "who waits for one holds none of the others"


def test_a_workflow_limits_all_of_its_runs() -> None:
    run = scenario({"one": DO, "two": DO, "three": DO}, limits={"concurrency": 2})
    events = run.start()
    assert list(parked(events)) == ["three"]
    assert parked(events)["three"].waits_for == "workflow:test"


def test_who_waits_for_something_else_now_says_so() -> None:
    run = scenario({"one": DO, "two": {**DO, "queue_timeout": "10m"}})
    run.limits.set("capability:do", 1)
    run.start()
    run.after(60)
    del run.agents.views["a"]
    run.done("one")
    again = run.free("two")
    assert kinds(again) == ["task-parked"]
    assert parked(again)["two"].waits_for == ""
    assert run.free("two") == []
    assert run.after(539) == []
    assert kinds(run.after(1)) == ["task-timed-out", "run-failed"], "it waits since the beginning"


def test_a_run_that_stands_still_takes_nothing() -> None:
    run = scenario({"one": DO, "two": DO})
    run.limits.set("capability:do", 1)
    run.start()
    run.when(PauseRun(run_id=RUN))
    run.done("one")
    assert run.free("two") == []


def test_a_task_that_is_freed_and_gone_changes_nothing() -> None:
    run = scenario({"one": DO})
    run.start()
    assert run.free("one", "nobody") == []


def test_an_undoing_takes_of_limits_too() -> None:
    one = {**DO, "compensate": {"capability": "other"}}
    run = scenario({"one": one, "bad": {**DO, "after": ["one"]}})
    run.limits.set("capability:other", 1)
    run.start()
    run.done("one")
    undo = assigned(run.fail("bad"))["one-undo"]
    assert isinstance(undo, TaskAssigned)
    assert undo.permits == (Permit(limit="capability:other"),)
