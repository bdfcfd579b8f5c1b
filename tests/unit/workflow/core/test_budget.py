"""Budgets: what a run may cost, and what happens when that is used up."""

from typing import Any

import pytest

from dalsegno_bus.messages import ResumeRun, RetryRun, Usage
from dalsegno_orchestrator.workflow.events import BudgetExceeded, BudgetRaised, RunFailed, RunPaused
from dalsegno_orchestrator.workflow.turn import Refused
from support.scenario import RUN, Scenario, assigned, kinds, scenario

DO: dict[str, Any] = {"capability": "do", "retry": {"max_attempts": 1}}
CHAIN: dict[str, Any] = {
    "one": DO,
    "two": {**DO, "after": ["one"]},
    "three": {**DO, "after": ["two"]},
}
COST = Usage(usd=2.0, tokens=500)


def chain(**budget: Any) -> Scenario:
    run = scenario(CHAIN, budget=budget)
    run.start()
    return run


@pytest.mark.parametrize(
    ("limit", "allowed", "used"),
    [("usd", 1.5, {"one": 2.0}), ("tokens", 500, {"one": 500.0}), ("tasks", 1, {})],
)
def test_what_is_used_up_pauses_the_run_with_a_receipt(
    limit: str, allowed: float, used: dict[str, float]
) -> None:
    run = chain(**{limit: allowed})
    events = run.done("one", usage=COST)
    assert kinds(events) == ["task-completed", "budget-exceeded", "run-paused"]
    receipt = events[1]
    assert isinstance(receipt, BudgetExceeded)
    assert (receipt.limit, receipt.allowed, receipt.action) == (limit, allowed, "pause")
    assert (receipt.spent_usd, receipt.spent_tokens, receipt.spent_tasks) == (2.0, 500, 1)
    assert receipt.by_task == used
    assert isinstance(events[2], RunPaused)
    assert "used up" in events[2].reason


def test_time_that_is_used_up_pauses_the_run_in_the_middle_of_its_work() -> None:
    run = chain(time="1m")
    assert run.after(59) == []
    assert kinds(run.after(1)) == ["budget-exceeded", "run-paused"]
    assert kinds(run.done("one")) == ["task-completed"], "what is under way goes on"


def test_who_resumes_a_paused_run_lets_it_cost_more() -> None:
    run = chain(usd=1.0)
    run.done("one", usage=COST)
    assert kinds(run.when(ResumeRun(run_id=RUN))) == ["run-resumed", "task-assigned"]
    run.done("two", usage=COST)
    assert kinds(run.done("three", usage=COST)) == ["task-completed", "run-completed"]


def test_a_run_that_is_done_anyway_is_not_stopped() -> None:
    run = scenario({"one": DO}, budget={"usd": 1.0, "on_exceeded": "stop"})
    run.start()
    assert kinds(run.done("one", usage=COST)) == ["task-completed", "run-completed"]


def test_what_costs_nothing_goes_on() -> None:
    tasks = {
        "loop": {**DO, "repeat": {"until": "${ output }"}},
        "nap": {"sleep": "5s", "after": ["loop"]},
        "left": {**DO, "when": "${ !tasks.loop }"},
    }
    run = scenario(tasks, budget={"usd": 1.0, "on_exceeded": "stop"})
    run.start()
    assert kinds(run.done("loop-0", True, usage=COST)) == [
        "task-completed", "repeat-ended", "timer-set", "task-skipped",
    ]  # fmt: skip
    assert kinds(run.after(5)) == ["timer-fired", "run-completed"]


def test_a_sub_workflow_counts_as_something_new() -> None:
    tasks = {"one": DO, "sub": {"workflow": "inner", "after": ["one"]}}
    run = scenario(tasks, budget={"usd": 1.0})
    run.start()
    assert kinds(run.done("one", usage=COST))[1:] == ["budget-exceeded", "run-paused"]
    assert kinds(run.when(ResumeRun(run_id=RUN))) == ["run-resumed", "child-started"]


def test_failed_attempts_cost_too() -> None:
    run = scenario({"one": {"capability": "do"}}, budget={"usd": 1.0})
    run.start()
    run.fail("one", usage=COST)
    assert kinds(run.after(60)) == ["budget-exceeded", "run-paused"]


def test_stop_fails_the_run_and_undoes_it() -> None:
    tasks = CHAIN | {"one": {**DO, "compensate": {"capability": "other"}}}
    run = scenario(tasks, budget={"usd": 1.0, "on_exceeded": "stop"})
    run.start()
    events = run.done("one", usage=COST)
    assert kinds(events) == [
        "task-completed", "budget-exceeded", "run-ending", "compensation-started", "task-assigned",
    ]  # fmt: skip
    over = run.done("one-undo")[-1]
    assert isinstance(over, RunFailed)
    assert (over.error.code, over.compensated) == ("run.budget", ("one",))


def test_a_run_that_its_budget_stopped_fails_again_when_it_is_retried() -> None:
    run = chain(usd=1.0, on_exceeded="stop")
    assert kinds(run.done("one", usage=COST))[-1] == "run-failed"
    assert kinds(run.when(RetryRun(run_id=RUN))) == ["run-reopened", "run-failed"]


def test_ask_waits_for_the_answer_and_not_for_a_resume() -> None:
    run = chain(usd=1.0, on_exceeded="ask")
    paused = run.done("one", usage=COST)[-1]
    assert isinstance(paused, RunPaused)
    assert "signal 'budget'" in paused.reason
    with pytest.raises(Refused, match="asks whether"):
        run.when(ResumeRun(run_id=RUN))
    events = run.signal("budget", {"usd": 3}, message_id="yes")
    assert kinds(events) == ["budget-raised", "run-resumed", "task-assigned"]
    assert events[0] == BudgetRaised(usd=3, message_id="yes")
    assert run.signal("budget", {"usd": 3}, message_id="yes") == []
    again = run.done("two", usage=COST)
    assert kinds(again)[1:] == ["budget-exceeded", "run-paused"], "4 are more than 3"
    assert kinds(run.signal("budget", {"usd": 4, "tasks": 100}))[1] == "run-resumed"


def test_an_answer_that_raises_too_little_is_asked_about_again() -> None:
    run = chain(usd=1.0, on_exceeded="ask")
    run.done("one", usage=COST)
    assert kinds(run.signal("budget", {"usd": 1.5})) == [
        "budget-raised", "run-resumed", "budget-exceeded", "run-paused",
    ]  # fmt: skip


def test_the_answer_may_be_to_stop() -> None:
    run = chain(usd=1.0, on_exceeded="ask")
    run.done("one", usage=COST)
    events = run.signal("budget", {"stop": True})
    assert kinds(events) == ["signal-received", "run-failed"]
    assert isinstance(events[1], RunFailed)
    assert events[1].error.code == "run.budget"


@pytest.mark.parametrize(
    "payload",
    [None, {}, 5, {"usd": None}, {"usd": 0}, {"tokens": -1}, {"euro": 5}, {"stop": False},
     {"time": "soon"}, {"usd": "much"}, {"message_id": "x", "usd": 5}],
)  # fmt: skip
def test_what_is_no_answer_is_refused(payload: Any) -> None:
    run = chain(usd=1.0, on_exceeded="ask")
    run.done("one", usage=COST)
    before = run.run.version
    with pytest.raises(Refused):
        run.signal("budget", payload)
    assert run.run.version == before


def test_more_time_counts_from_where_the_run_stood() -> None:
    run = chain(time="1m", on_exceeded="ask")
    run.after(60)
    run.after(600)
    assert kinds(run.signal("budget", {"time": "90s"})) == ["budget-raised", "run-resumed"]
    assert run.after(29) == []
    assert kinds(run.after(1)) == ["budget-exceeded", "run-paused"]


def test_a_time_limit_that_there_was_none_of_begins_with_the_answer() -> None:
    run = chain(usd=1.0, on_exceeded="ask")
    run.done("one", usage=COST)
    run.after(600)
    run.signal("budget", {"usd": 100, "time": "1m"})
    assert run.after(59) == []
    assert kinds(run.after(1)) == ["budget-exceeded", "run-paused"]


def test_timers_that_were_due_when_the_money_ran_out_are_due_when_it_goes_on() -> None:
    retry = {"max_attempts": 2, "delay": "10s", "jitter": 0}
    run = scenario(
        {"one": {**DO, "retry": retry}, "two": {**DO, "retry": retry}, "nap": {"sleep": "10s"}},
        budget={"tasks": 2, "on_exceeded": "ask"},
    )
    run.start()
    run.fail("one")
    run.fail("two")
    events = run.after(10)
    assert "run-paused" in kinds(events)
    run.after(100)
    run.signal("budget", {"tasks": 50})
    rest = events + run.after(0)
    assert set(assigned(rest)) == {"one", "two"}
    assert kinds(rest).count("timer-fired") == 1


def test_the_last_that_the_budget_covers_is_the_last_that_goes_out() -> None:
    run = scenario({"one": DO, "two": {"capability": "rare"}}, budget={"tasks": 1})
    assert kinds(run.start())[-2:] == ["budget-exceeded", "run-paused"]
    run.agents.add("b", "rare")
    assert run.join() == []
    events = run.when(ResumeRun(run_id=RUN))
    assert list(assigned(events)) == ["two"]


def test_an_agent_that_is_gone_loses_its_attempts_though_the_money_runs_out() -> None:
    run = scenario({"one": DO, "two": {"capability": "rare"}}, budget={"tasks": 2})
    run.agents.add("b", "do", slots=1)
    first = assigned(run.start())["one"].agent
    run.agents.add("c", "rare")
    run.agents.views[first].slots = 0
    events = run.lose(first)
    assert kinds(events)[0] == "task-rerouted"
    assert "task-rerouted" not in kinds(events)[1:]


def test_a_run_that_its_budget_paused_goes_on_with_a_new_limit() -> None:
    run = scenario(
        {"one": {"capability": "do"}, "two": {"capability": "do", "after": ["one"]}},
        budget={"tasks": 1},
    )
    run.start()
    run.done("one")
    assert run.run.status == "paused"
    events = run.signal("budget", {"tasks": 2})
    assert kinds(events) == ["budget-raised", "run-resumed", "task-assigned"]
