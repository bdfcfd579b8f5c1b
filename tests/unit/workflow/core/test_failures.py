"""What follows when something goes wrong."""

import pytest

from dalsegno_bus.messages import CancelRun
from dalsegno_orchestrator.workflow.events import (
    RetryScheduled,
    RunCancelled,
    RunFailed,
    TaskAssigned,
    TaskFailed,
    TaskTimedOut,
)
from dalsegno_orchestrator.workflow.retry import ASKED_SECONDS_MAX
from support.scenario import Directory, Scenario, assigned, kinds, plan_of, scenario

RETRY = {"max_attempts": 3, "delay": "1s", "factor": 2, "max_delay": "3s", "jitter": 0}
WORK = {"work": {"capability": "do", "retry": RETRY}}


def test_a_retryable_failure_is_tried_again_after_a_growing_delay() -> None:
    run = scenario(WORK)
    run.start()
    events = run.fail("work")
    assert kinds(events) == ["task-failed", "retry-scheduled"]
    assert isinstance(events[1], RetryScheduled)
    assert events[1].delay_seconds == 1.0
    assert run.after(0.5) == []
    assert assigned(run.after(0.5))["work"].attempt == 2
    second = run.fail("work", attempt=2)[1]
    assert isinstance(second, RetryScheduled)
    assert second.delay_seconds == 2.0


def test_the_last_attempt_fails_the_run_with_the_tasks_error() -> None:
    run = scenario(WORK)
    run.start()
    for attempt in (1, 2):
        run.fail("work", attempt=attempt)
        run.after(5)
    events = run.fail("work", attempt=3)
    assert kinds(events) == ["task-failed", "run-failed"]
    assert isinstance(events[0], TaskFailed)
    assert events[0].final
    assert isinstance(events[1], RunFailed)
    assert (events[1].task_id, events[1].error.code) == ("work", "test")


def test_a_permanent_failure_is_not_tried_again() -> None:
    run = scenario(WORK)
    run.start()
    assert kinds(run.fail("work", retryable=False)) == ["task-failed", "run-failed"]


def test_an_agent_that_asks_for_time_gets_it() -> None:
    run = scenario(WORK)
    run.start()
    scheduled = run.fail("work", after=30.0)[1]
    assert isinstance(scheduled, RetryScheduled)
    assert scheduled.delay_seconds == 30.0


def test_after_a_failure_another_agent_is_preferred() -> None:
    run = scenario(WORK)
    run.agents.add("b", "do")
    first = assigned(run.start())["work"].agent
    run.fail("work", agent=first)
    again = assigned(run.after(1))["work"]
    assert again.agent != first
    assert "left out" in again.reason


def test_the_only_agent_is_asked_again_though_it_failed() -> None:
    run = scenario(WORK)
    run.start()
    run.fail("work")
    assert assigned(run.after(1))["work"].agent == "a"


def test_on_error_continue_goes_on_with_null() -> None:
    run = scenario(
        {
            "work": {"capability": "do", "retry": {"max_attempts": 1}, "on_error": "continue"},
            "next": {"capability": "do", "input": {"got": "${ tasks.work }"}},
        }
    )
    run.start()
    events = run.fail("work")
    assert kinds(events) == ["task-failed", "task-assigned"]
    assert run.input_of("next") == {"got": None}


def test_a_fallback_runs_only_after_the_failure_and_stands_in_for_the_task() -> None:
    run = scenario(
        {
            "work": {
                "capability": "do",
                "retry": {"max_attempts": 1},
                "on_error": {"fallback": "plain"},
            },
            "plain": {"capability": "other"},
            "next": {"capability": "do", "input": {"got": "${ tasks.work }"}},
        }
    )
    assert set(assigned(run.start())) == {"work"}
    assert set(assigned(run.fail("work"))) == {"plain"}
    assert set(assigned(run.done("plain", 5))) == {"next"}
    assert run.input_of("next") == {"got": 5}
    assert kinds(run.done("next"))[-1] == "run-completed"


def test_a_fallback_that_is_not_needed_never_runs() -> None:
    run = scenario(
        {
            "work": {"capability": "do", "on_error": {"fallback": "plain"}},
            "plain": {"capability": "other"},
        }
    )
    run.start()
    assert kinds(run.done("work")) == ["task-completed", "run-completed"]


def test_a_second_copy_of_a_report_changes_nothing() -> None:
    run = scenario({"one": {"capability": "do"}, "two": {"capability": "do"}})
    run.start()
    run.done("one", 1)
    before = run.run.version
    assert run.done("one", 1) == []
    assert run.done("one", 2) == []
    assert run.fail("one") == []
    assert run.run.version == before


def test_a_late_report_of_an_older_attempt_changes_nothing() -> None:
    run = scenario(WORK)
    run.start()
    run.fail("work")
    run.after(1)
    assert run.done("work", "late", attempt=1) == []
    assert kinds(run.done("work", "right", attempt=2)) == ["task-completed", "run-completed"]


def test_a_report_by_another_agent_than_the_assigned_one_changes_nothing() -> None:
    run = scenario(WORK)
    run.start()
    assert run.done("work", "forged", agent="b") == []
    assert run.fail("work", agent="b") == []


def test_a_task_that_nobody_can_do_is_parked_and_goes_out_when_an_agent_joins() -> None:
    run = scenario({"work": {"capability": "rare"}})
    events = run.start()
    assert kinds(events) == ["run-started", "task-parked"]
    assert run.join() == []
    run.agents.add("b", "rare")
    assert assigned(run.join())["work"].agent == "b"


def test_required_labels_narrow_the_choice_and_say_so_when_nobody_has_them() -> None:
    run = scenario({"work": {"capability": "do", "requires": {"region": "eu"}}})
    parked = run.start()[1]
    assert "region=eu" in getattr(parked, "reason", "")
    run.agents.add("b", "do", region="eu")
    assert assigned(run.join())["work"].agent == "b"


def test_a_parked_task_with_a_queue_timeout_gives_up() -> None:
    run = scenario(
        {"work": {"capability": "rare", "queue_timeout": "1m", "retry": {"max_attempts": 1}}}
    )
    run.start()
    assert kinds(run.after(60)) == ["task-timed-out", "run-failed"]


def test_an_attempt_nobody_takes_within_its_queue_timeout_is_tried_elsewhere() -> None:
    run = scenario({"work": {"capability": "do", "queue_timeout": "1m", "retry": RETRY}})
    run.agents.add("b", "do")
    first = assigned(run.start())["work"].agent
    timed_out = run.after(60)[0]
    assert isinstance(timed_out, TaskTimedOut)
    assert timed_out.waited_for == "queue"
    assert assigned(run.after(1))["work"].agent != first


def test_an_attempt_that_is_seen_at_work_has_left_the_queue() -> None:
    run = scenario({"work": {"capability": "do", "queue_timeout": "1m", "timeout": "10m"}})
    run.start()
    run.agents.working[f"a:{run.run.id}/work/1"] = run.now
    assert run.after(60) == []
    timed_out = run.after(600)[0]
    assert isinstance(timed_out, TaskTimedOut)
    assert timed_out.waited_for == "attempt"


def test_tasks_of_an_agent_that_is_gone_are_given_to_a_live_one() -> None:
    run = scenario({"work": {"capability": "do"}})
    run.start()
    assert run.lose("a") == []
    run.agents.add("b", "do")
    run.agents.views["a"].slots = 0
    events = run.lose("a")
    assert kinds(events) == ["task-rerouted", "task-assigned"]
    assert isinstance(events[1], TaskAssigned)
    assert (events[1].agent, events[1].attempt) == ("b", 2)


def test_a_reroute_does_not_use_up_the_retries() -> None:
    run = scenario({"work": {"capability": "do", "retry": {"max_attempts": 2, "jitter": 0}}})
    run.agents.add("b", "do")
    first = assigned(run.start())["work"].agent
    run.agents.views[first].slots = 0
    run.lose(first)
    other = "b" if first == "a" else "a"
    assert kinds(run.fail("work", attempt=2, agent=other)) == ["task-failed", "retry-scheduled"]


def test_cancelling_without_a_grace_ends_the_run_and_lists_what_was_under_way() -> None:
    run = scenario({"work": {"capability": "do"}}, cancel_grace=0)
    run.start()
    events = run.when(CancelRun(run_id=run.run.id, reason="enough"))
    assert isinstance(events[-1], RunCancelled)
    assert [gone.task_id for gone in events[-1].abandoned] == ["work"]


def test_a_failing_task_abandons_its_siblings() -> None:
    run = scenario(
        {"bad": {"capability": "do", "retry": {"max_attempts": 1}}, "good": {"capability": "do"}}
    )
    run.start()
    ended = run.fail("bad")[-1]
    assert isinstance(ended, RunFailed)
    assert [gone.task_id for gone in ended.abandoned] == ["good"]


def test_live_agents_come_before_dormant_ones() -> None:
    directory = Directory()
    directory.add("asleep", "do", slots=0)
    run = Scenario(plan_of({"work": {"capability": "do"}}), directory)
    first = assigned(run.start())["work"]
    assert first.agent == "asleep"
    assert "no live replica" in first.reason
    directory.add("awake", "do")
    again = Scenario(plan_of({"work": {"capability": "do"}}), directory)
    assert assigned(again.start())["work"].agent == "awake"


def test_the_choice_names_every_candidate_with_its_score() -> None:
    run = scenario({"work": {"capability": "do", "prefer": {"tier": "fast"}}})
    run.agents.add("b", "do", tier="fast")
    event = assigned(run.start())["work"]
    assert event.agent == "b"
    assert [candidate.agent for candidate in event.candidates] == ["b", "a"]
    assert event.candidates[0].score > event.candidates[1].score


@pytest.mark.parametrize("asked", [1.7e12, 1e300])
def test_an_agent_that_asks_for_an_age_is_asked_again_within_a_month(asked: float) -> None:
    run = scenario({"work": {"capability": "do"}})
    run.start()
    scheduled = run.fail("work", after=asked)[-1]
    assert isinstance(scheduled, RetryScheduled)
    assert scheduled.delay_seconds == ASKED_SECONDS_MAX
