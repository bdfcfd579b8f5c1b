"""A run that stands still: nothing begins, timers wait, and nothing that comes in is lost."""

from datetime import timedelta

from dalsegno_bus.messages import CancelRun, PauseRun, ResumeRun
from dalsegno_orchestrator.workflow.events import RunPaused
from support.reports import heartbeat
from support.scenario import Scenario, assigned, kinds, scenario

TWO = {
    "first": {"capability": "do", "retry": {"max_attempts": 2, "delay": "10s", "jitter": 0}},
    "second": {"capability": "do", "after": ["first"]},
}


def pause(run: Scenario) -> list[str]:
    return kinds(run.when(PauseRun(run_id=run.run.id, reason="wait")))


def resume(run: Scenario) -> list[str]:
    return kinds(run.when(ResumeRun(run_id=run.run.id)))


def test_pausing_and_resuming_are_facts_and_happen_once() -> None:
    run = scenario(TWO)
    run.start()
    asked = PauseRun(run_id=run.run.id, reason="wait")
    paused = [RunPaused(reason="wait", message_id="ask")]
    assert run.when(asked, message_id="ask") == paused
    assert pause(run) == []
    assert resume(run) == ["run-resumed"]
    assert resume(run) == []


def test_a_report_counts_while_the_run_is_paused_but_nothing_begins_before_it_goes_on() -> None:
    run = scenario(TWO)
    run.start()
    pause(run)
    assert kinds(run.done("first")) == ["task-completed"]
    assert resume(run) == ["run-resumed", "task-assigned"]


def test_the_last_report_ends_a_paused_run_only_when_it_goes_on() -> None:
    run = scenario({"only": {"capability": "do"}})
    run.start()
    pause(run)
    assert kinds(run.done("only")) == ["task-completed"]
    assert resume(run) == ["run-resumed", "run-completed"]


def test_a_retry_waits_for_what_was_left_of_its_delay() -> None:
    run = scenario(TWO)
    run.start()
    run.fail("first")
    assert run.after(4) == []
    pause(run)
    assert run.after(1_000) == []
    resume(run)
    assert run.after(5.5) == []
    assert assigned(run.after(0.5))["first"].attempt == 2


def test_a_retry_that_was_scheduled_while_paused_waits_for_all_of_its_delay() -> None:
    run = scenario(TWO)
    run.start()
    pause(run)
    run.after(500)
    run.fail("first")
    run.after(500)
    resume(run)
    assert run.after(9) == []
    assert assigned(run.after(1))["first"].attempt == 2


def test_the_deadline_stands_still_too() -> None:
    run = scenario({"only": {"capability": "do"}}, deadline="1m")
    run.start()
    run.after(30)
    pause(run)
    assert run.after(3_600) == []
    resume(run)
    assert run.after(29) == []
    assert kinds(run.after(1)) == ["run-failed"]


def test_a_sleep_and_a_wait_stand_still() -> None:
    run = scenario({"nap": {"sleep": "10s"}, "ok": {"wait": {"signal": "go", "timeout": "20s"}}})
    run.start()
    pause(run)
    assert run.after(60) == []
    resume(run)
    assert kinds(run.after(10)) == ["timer-fired"]
    assert kinds(run.after(10)) == ["task-timed-out", "run-failed"]


def test_a_signal_that_comes_while_paused_is_taken() -> None:
    run = scenario(
        {"ok": {"wait": {"signal": "go"}}, "next": {"capability": "do", "after": ["ok"]}}
    )
    run.start()
    pause(run)
    assert kinds(run.signal("go")) == ["signal-received"]
    assert resume(run) == ["run-resumed", "task-assigned"]


def test_a_parked_task_goes_out_only_when_the_run_goes_on() -> None:
    run = scenario({"only": {"capability": "rare"}})
    run.start()
    pause(run)
    run.agents.add("b", "rare")
    assert run.join() == []
    assert resume(run) == ["run-resumed", "task-assigned"]


def test_a_failure_for_good_ends_the_run_when_it_goes_on() -> None:
    run = scenario({"only": {"capability": "do", "retry": {"max_attempts": 1}}})
    run.start()
    pause(run)
    assert kinds(run.fail("only")) == ["task-failed"]
    assert resume(run) == ["run-resumed", "run-failed"]


def test_a_paused_run_can_be_cancelled() -> None:
    run = scenario(TWO)
    run.start()
    pause(run)
    assert kinds(run.when(CancelRun(run_id=run.run.id))) == ["run-ending"]
    assert kinds(run.done("first")) == ["task-completed", "run-cancelled"]


def test_a_paused_run_without_attempts_under_way_is_cancelled_at_once() -> None:
    run = scenario({"nap": {"sleep": "1h"}})
    run.start()
    pause(run)
    assert kinds(run.when(CancelRun(run_id=run.run.id))) == ["run-cancelled"]


def test_a_heartbeat_while_paused_is_recorded_and_begins_nothing() -> None:
    run = scenario({"work": {"capability": "do", "heartbeat_timeout": "1m", "hedge_after": "30s"}})
    run.agents.add("b", "do")
    run.start()
    pause(run)
    run.now += timedelta(seconds=300)
    assert kinds(run.when(heartbeat("work", {"fraction": 0.5}))) == ["attempt-progressed"]
    resume(run)
    assert run.after(29) == []
    assert kinds(run.after(1)) == ["task-assigned"], "30 s of work, however long it stood still"


def test_attempts_that_are_due_beside_one_that_pauses_the_run_are_not_forgotten() -> None:
    retry = {"max_attempts": 2, "delay": "10s", "jitter": 0}
    run = scenario(
        {
            "one": {"capability": "do", "retry": retry},
            "two": {"capability": "do", "retry": retry},
        },
        budget={"tasks": 2, "on_exceeded": "pause"},
    )
    run.start()
    run.fail("one")
    run.fail("two")
    assert kinds(run.after(10)) == ["budget-exceeded", "run-paused"]
    assert resume(run) == ["run-resumed"]
    assert set(assigned(run.after(0))) == {"one", "two"}
