"""Long work that tells its progress, and is given up when it falls silent."""

from datetime import timedelta
from typing import Any

from dalsegno_bus.messages import PauseRun, ResumeRun
from dalsegno_orchestrator.workflow.decider import command_of
from dalsegno_orchestrator.workflow.events import AttemptProgressed, TaskTimedOut
from support.reports import heartbeat
from support.scenario import RUN, Scenario, assigned, kinds, scenario

WORK: dict[str, Any] = {
    "capability": "do",
    "timeout": "1h",
    "heartbeat_timeout": "1m",
    "retry": {"max_attempts": 2, "delay": "1s", "jitter": 0},
}


def at_work() -> Scenario:
    run = scenario({"work": WORK})
    run.start()
    run.agents.working[f"a:{RUN}/work/1"] = run.now
    return run


def test_progress_is_recorded_and_the_next_attempt_begins_from_it() -> None:
    run = at_work()
    assert command_of(run.run, run.task("work"), 1).heartbeat_seconds == 20
    run.after(50)
    progress = {"fraction": 0.5, "state": {"page": 7}}
    assert run.when(heartbeat("work", progress)) == [
        AttemptProgressed(task_id="work", attempt=1, agent="a", progress=progress)
    ]
    assert run.after(59) == []
    events = run.after(1)
    assert kinds(events) == ["task-timed-out", "retry-scheduled"]
    assert isinstance(events[0], TaskTimedOut)
    assert (events[0].waited_for, events[0].error.code) == ("heartbeat", "task.heartbeat_timeout")
    assert assigned(run.after(1))["work"].attempt == 2
    assert command_of(run.run, run.task("work"), 2).last_progress == progress


def test_silence_counts_from_the_beginning_of_the_work() -> None:
    run = at_work()
    assert run.after(59) == []
    assert kinds(run.after(1)) == ["task-timed-out", "retry-scheduled"]


def test_an_attempt_in_the_queue_is_not_silent() -> None:
    run = scenario({"work": WORK})
    run.start()
    assert run.after(600) == []
    assert run.task("work").status == "assigned"


def test_signs_of_life_do_not_make_the_timeout_longer() -> None:
    run = at_work()
    for _ in range(72):
        run.now += timedelta(seconds=50)
        assert kinds(run.when(heartbeat("work"))) == ["attempt-progressed"]
    run.now += timedelta(seconds=10)
    assert kinds(run.when(heartbeat("work"))) == [
        "attempt-progressed", "task-timed-out", "retry-scheduled",
    ]  # fmt: skip


def test_an_attempt_is_heard_of_before_it_is_seen_at_work() -> None:
    run = scenario({"work": WORK})
    run.start()
    run.now += timedelta(seconds=7200)
    assert kinds(run.when(heartbeat("work", 1))) == ["attempt-progressed"], "it waited in the queue"
    assert kinds(run.after(60)) == ["task-timed-out", "retry-scheduled"]


def test_one_of_two_attempts_that_is_silent_is_given_up_alone() -> None:
    run = scenario({"work": {**WORK, "hedge_after": "30s"}})
    run.agents.add("b", "do")
    run.start()
    run.agents.working[f"a:{RUN}/work/1"] = run.now
    run.after(30)
    run.agents.working[f"b:{RUN}/work/2"] = run.now
    run.now += timedelta(seconds=29)
    run.when(heartbeat("work", attempt=2, agent="b"))
    gone = run.after(1)
    assert kinds(gone) == ["task-timed-out"]
    assert isinstance(gone[0], TaskTimedOut)
    assert gone[0].attempt == 1
    assert run.after(58) == []


def test_who_need_not_tell_and_who_has_no_attempt_is_not_recorded() -> None:
    run = scenario({"work": {"capability": "do"}, "more": WORK})
    run.start()
    assert run.when(heartbeat("work")) == []
    assert run.when(heartbeat("more", agent="b")) == []
    assert run.when(heartbeat("more", attempt=2)) == []


def test_time_in_which_the_run_stood_still_is_no_silence() -> None:
    run = at_work()
    run.after(20)
    run.when(PauseRun(run_id=RUN))
    run.now += timedelta(seconds=1000)
    run.when(heartbeat("work"))
    run.now += timedelta(seconds=1000)
    run.when(ResumeRun(run_id=RUN))
    run.agents.working[f"a:{RUN}/work/1"] = run.now
    assert run.after(59) == []
    assert kinds(run.after(1)) == ["task-timed-out", "retry-scheduled"]


def test_signs_of_life_in_the_grace_are_recorded_and_nothing_more() -> None:
    run = at_work()
    run.cancel()
    run.now += timedelta(seconds=5)
    assert kinds(run.when(heartbeat("work", 1))) == ["attempt-progressed"]
    assert kinds(run.after(5)) == ["run-cancelled"]
