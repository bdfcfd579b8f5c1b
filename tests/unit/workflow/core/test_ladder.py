"""What is tried when the attempts that the retry policy allows are used up."""

from typing import Any

from dalsegno_orchestrator.workflow.events import LadderClimbed
from support.scenario import Scenario, assigned, kinds, scenario

ONCE = {"max_attempts": 1}


def ladder(*rungs: Any, **more: Any) -> Scenario:
    return scenario({"work": {"capability": "do", "retry": ONCE, "reroute": list(rungs)} | more})


def test_other_agents_are_asked_and_those_that_failed_are_not() -> None:
    run = ladder("other_agent")
    run.agents.add("b", "do")
    first = assigned(run.start())["work"].agent
    events = run.fail("work", agent=first)
    assert kinds(events) == ["task-failed", "ladder-climbed", "task-assigned"]
    assert isinstance(events[1], LadderClimbed)
    assert (events[1].rung, events[1].others_only) == (0, True)
    assert assigned(events)["work"].agent != first
    other = assigned(events)["work"].agent
    assert kinds(run.fail("work", attempt=2, agent=other)) == ["task-failed", "run-failed"]


def test_where_there_are_no_others_the_task_waits_for_one() -> None:
    run = ladder("other_agent")
    run.start()
    assert kinds(run.fail("work")) == ["task-failed", "ladder-climbed", "task-parked"]
    assert run.join() == []
    run.agents.add("b", "do")
    assert assigned(run.join())["work"].agent == "b"


def test_where_there_are_no_others_the_rung_after_it_is_taken_if_there_is_one() -> None:
    run = ladder("other_agent", {"capability": "other"})
    run.start()
    events = run.fail("work")
    assert isinstance(events[1], LadderClimbed)
    assert events[1].rung == 1
    assert assigned(events)["work"].capability == "other"


def test_another_agent_has_all_the_attempts_of_its_rung() -> None:
    run = ladder("other_agent", retry={"max_attempts": 2, "delay": "1s", "jitter": 0})
    run.agents.add("b", "do")
    first = assigned(run.start())["work"].agent
    run.fail("work", agent=first)
    second = assigned(run.after(1))["work"].agent
    run.agents.add("c", "do")
    third = assigned(run.fail("work", attempt=2, agent=second))["work"]
    assert third.agent == "c"
    run.fail("work", attempt=3, agent="c")
    assert assigned(run.after(1))["work"].agent == "c", "nobody but c is left who may be asked"
    assert kinds(run.fail("work", attempt=4, agent="c")) == ["task-failed", "run-failed"]


def test_another_capability_is_asked_for_with_the_same_input() -> None:
    run = ladder({"capability": "other"}, input={"n": 1})
    run.start()
    events = run.fail("work")
    assert assigned(events)["work"].capability == "other"
    assert run.input_of("work") == {"n": 1}
    assert kinds(run.done("work", attempt=2)) == ["task-completed", "run-completed"]


def test_a_wait_and_then_all_agents_anew() -> None:
    run = ladder({"wait": "5m"})
    run.start()
    events = run.fail("work")
    assert kinds(events) == ["task-failed", "ladder-climbed"]
    assert run.after(299) == []
    again = assigned(run.after(1))["work"]
    assert (again.agent, again.attempt) == ("a", 2)
    assert "left out" not in again.reason


def test_one_rung_after_the_other_each_with_all_its_attempts() -> None:
    retry = {"max_attempts": 2, "delay": "1s", "jitter": 0}
    run = ladder({"wait": "1m"}, {"capability": "other"}, retry=retry)
    run.start()
    seen: list[str] = []
    for attempt in range(1, 7):
        seen += kinds(run.fail("work", attempt=attempt))
        run.after(60)
    assert [kind for kind in seen if kind != "task-failed"] == [
        "retry-scheduled", "ladder-climbed", "retry-scheduled", "ladder-climbed",
        "task-assigned", "retry-scheduled", "run-failed",
    ]  # fmt: skip


def test_an_error_that_is_not_to_be_retried_does_not_climb() -> None:
    run = ladder({"capability": "other"})
    run.start()
    assert kinds(run.fail("work", retryable=False)) == ["task-failed", "run-failed"]
    never = ladder({"capability": "other"}, retry={"max_attempts": 1, "never": ["test"]})
    never.start()
    assert kinds(never.fail("work")) == ["task-failed", "run-failed"]


def test_a_timeout_climbs_too() -> None:
    run = ladder({"capability": "other"}, queue_timeout="1m")
    run.start()
    assert kinds(run.after(60)) == ["task-timed-out", "ladder-climbed", "task-assigned"]


def test_an_item_climbs_alone() -> None:
    run = ladder({"capability": "other"}, foreach=[1, 2])
    run.start()
    assert list(assigned(run.fail("work-1"))) == ["work-1"]
    run.done("work-0", 0)
    run.done("work-1", 1, attempt=2)
    assert run.run.outputs["work"] == [0, 1]
