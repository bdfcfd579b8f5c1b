"""Waiting for a signal: what it may bring, who is told that it does not come, when it is over."""

import pytest

from dalsegno_bus.messages import PauseRun, ResumeRun
from dalsegno_orchestrator.workflow.events import TaskFailed, TaskTimedOut, WaitEscalated
from dalsegno_orchestrator.workflow.turn import Refused
from support.scenario import RUN, assigned, kinds, scenario

SCHEMA = {"type": "object", "required": ["ok"], "properties": {"ok": {"type": "boolean"}}}
ESCALATE = [
    {"after": "10m", "capability": "other", "input": {"to": "${ input.clerk }"}},
    {"after": "30m", "capability": "other", "input": {"to": "boss"}},
]
WAIT = {"ok": {"wait": {"signal": "go", "timeout": "1h", "payload": SCHEMA, "escalate": ESCALATE}}}


def test_a_payload_that_does_not_fit_is_refused_and_nothing_is_recorded() -> None:
    run = scenario(WAIT)
    run.start({"clerk": "ann"})
    before = len(run.history)
    with pytest.raises(Refused) as refused:
        run.signal("go", {"ok": "perhaps"})
    assert [problem.path for problem in refused.value.problems] == ["payload.ok"]
    assert len(run.history) == before
    assert kinds(run.signal("go", {"ok": True})) == ["signal-received", "run-completed"]


def test_a_payload_is_looked_at_before_anybody_waits_too() -> None:
    run = scenario({"first": {"capability": "do"}, "ok": {**WAIT["ok"], "after": ["first"]}})
    run.start({"clerk": "ann"})
    with pytest.raises(Refused):
        run.signal("go", {})
    run.signal("go", {"ok": False})
    assert kinds(run.done("first")) == ["task-completed", "signal-taken", "run-completed"]


def test_somebody_is_told_level_by_level_and_then_the_wait_is_over() -> None:
    run = scenario(WAIT)
    run.start({"clerk": "ann"})
    assert run.after(599) == []
    first = run.after(1)
    assert kinds(first) == ["wait-escalated", "task-assigned"]
    assert first[0] == WaitEscalated(task_id="ok", level=0, escalation_id="ok-escalation-0")
    assert run.input_of("ok-escalation-0") == {"to": "ann"}
    second = run.after(1200)
    assert list(assigned(second)) == ["ok-escalation-1"]
    assert run.input_of("ok-escalation-1") == {"to": "boss"}
    over = run.after(1800)
    assert kinds(over) == ["task-timed-out", "run-failed"]
    assert isinstance(over[0], TaskTimedOut)
    assert (over[0].waited_for, over[0].error.code) == ("signal", "task.signal_timeout")


def test_nobody_waits_for_an_escalation_and_its_failure_harms_nobody() -> None:
    run = scenario(WAIT)
    run.start({"clerk": "ann"})
    run.after(600)
    failed = run.fail("ok-escalation-0", retryable=False)
    assert kinds(failed) == ["task-failed"]
    assert kinds(run.signal("go", {"ok": True})) == ["signal-received", "run-completed"]
    assert run.done("ok-escalation-0") == []


def test_an_escalation_whose_input_cannot_be_made_fails_alone() -> None:
    run = scenario(WAIT)
    run.start({})
    events = run.after(600)
    assert kinds(events) == ["wait-escalated", "task-failed"]
    assert isinstance(events[1], TaskFailed)
    assert events[1].error.code == "expression"
    assert kinds(run.signal("go", {"ok": True}))[-1] == "run-completed"


def test_escalations_that_are_under_way_do_not_hold_up_the_run() -> None:
    run = scenario(WAIT | {"next": {"capability": "do", "input": "${ tasks.ok.ok }"}})
    run.start({"clerk": "ann"})
    run.after(600)
    assert list(assigned(run.signal("go", {"ok": True}))) == ["next"]
    assert run.input_of("next") is True
    assert kinds(run.done("next"))[-1] == "run-completed"


def test_a_late_look_tells_every_level_that_is_due_one_after_the_other() -> None:
    run = scenario(WAIT)
    run.start({"clerk": "ann"})
    assert kinds(run.after(1900)) == ["wait-escalated", "task-assigned"]
    assert kinds(run.after(0)) == ["wait-escalated", "task-assigned"]
    assert run.after(0) == []


def test_while_a_run_stands_still_nobody_is_told() -> None:
    run = scenario(WAIT)
    run.start({"clerk": "ann"})
    run.after(300)
    run.when(PauseRun(run_id=RUN))
    assert run.after(36_000) == []
    run.when(ResumeRun(run_id=RUN))
    assert run.after(299) == []
    assert kinds(run.after(1)) == ["wait-escalated", "task-assigned"]
    assert kinds(run.after(3000)) == ["task-timed-out", "run-failed"]


def test_a_signal_that_comes_twice_serves_two_waits_only_if_it_is_sent_twice() -> None:
    go = {"wait": {"signal": "go"}}
    run = scenario({"one": go, "two": go})
    run.start()
    assert kinds(run.signal("go", 1, message_id="s1")) == ["signal-received"]
    assert run.signal("go", 1, message_id="s1") == []
    assert kinds(run.signal("go", 2, message_id="s2")) == ["signal-received", "run-completed"]
    assert run.run.outputs == {"one": 1, "two": 2}


def test_a_signal_for_a_run_that_is_ending_is_refused() -> None:
    run = scenario(WAIT | {"work": {"capability": "do"}})
    run.start({"clerk": "ann"})
    run.cancel()
    with pytest.raises(Refused, match="nothing waits"):
        run.signal("go", {"ok": True})
