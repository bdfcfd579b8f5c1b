"""A second attempt beside a slow one: the first report wins."""

from typing import Any

from dalsegno_bus.messages import PauseRun, ResumeRun
from dalsegno_orchestrator.workflow.assignment import AgentView, Skill
from dalsegno_orchestrator.workflow.decider import command_of
from dalsegno_orchestrator.workflow.events import TaskAssigned, TaskCompleted, TaskRerouted
from dalsegno_orchestrator.workflow.facts import AgentsChanged
from support.reports import handoff, shared
from support.scenario import RUN, Scenario, assigned, kinds, scenario

WORK: dict[str, Any] = {
    "capability": "do",
    "hedge_after": "30s",
    "timeout": "5m",
    "retry": {"max_attempts": 2, "delay": "1s", "jitter": 0},
}


def two(**more: Any) -> Scenario:
    """A run of one task, with two agents for it; the first attempt is with `a`."""
    run = scenario({"work": WORK | more})
    run.agents.add("b", "do")
    assert assigned(run.start())["work"].agent == "a"
    return run


def hedged(**more: Any) -> Scenario:
    run = two(**more)
    run.after(30)
    assert run.task("work").open_attempts() == [(1, "a"), (2, "b")]
    return run


def test_after_its_time_another_agent_tries_as_well() -> None:
    run = two()
    assert run.after(29) == []
    events = run.after(1)
    assert kinds(events) == ["task-assigned"]
    assert isinstance(events[0], TaskAssigned)
    assert (events[0].agent, events[0].attempt, events[0].hedges) == ("b", 2, 1)
    assert run.after(60) == [], "there is no third one"


def test_the_first_report_wins_and_the_other_attempt_is_given_up() -> None:
    for winner, agent, loser in ((1, "a", "b"), (2, "b", "a")):
        run = hedged()
        events = run.done("work", agent, attempt=winner, agent=agent)
        assert kinds(events) == ["task-completed", "run-completed"]
        assert isinstance(events[0], TaskCompleted)
        assert [(gone.attempt, gone.agent) for gone in events[0].abandoned] == [(3 - winner, loser)]
        assert run.done("work", loser, attempt=3 - winner, agent=loser) == []
        assert run.run.outputs["work"] == agent


def test_one_fails_and_the_other_goes_on() -> None:
    for retryable in (True, False):
        run = hedged()
        assert kinds(run.fail("work", retryable=retryable)) == ["task-failed"]
        assert run.task("work").open_attempts() == [(2, "b")]
        done = run.done("work", attempt=2, agent="b")
        assert kinds(done) == ["task-completed", "run-completed"]
        assert getattr(done[0], "abandoned", None) == ()


def test_an_error_that_is_never_retried_does_not_end_the_other_attempt() -> None:
    run = hedged(retry={"max_attempts": 3, "never": ["test"]})
    assert kinds(run.fail("work")) == ["task-failed"]
    assert kinds(run.done("work", attempt=2, agent="b"))[-1] == "run-completed"


def test_both_fail_and_both_count_as_attempts() -> None:
    run = hedged()
    run.fail("work")
    assert kinds(run.fail("work", attempt=2, agent="b")) == ["task-failed", "run-failed"]


def test_an_agent_that_is_gone_leaves_it_to_the_other() -> None:
    run = hedged()
    run.agents.views["a"].slots = 0
    events = run.lose("a")
    assert kinds(events) == ["task-rerouted"]
    assert isinstance(events[0], TaskRerouted)
    assert events[0].attempt == 1
    assert run.done("work", "late") == []
    assert kinds(run.done("work", attempt=2, agent="b"))[-1] == "run-completed"


def test_both_take_too_long() -> None:
    run = hedged()
    for attempt, agent in ((1, "a"), (2, "b")):
        run.agents.working[f"{agent}:{RUN}/work/{attempt}"] = run.now
    assert kinds(run.after(310)) == ["task-timed-out", "task-timed-out", "run-failed"]


def test_the_older_attempt_takes_too_long_first() -> None:
    run = two()
    run.agents.working[f"a:{RUN}/work/1"] = run.now
    run.after(30)
    run.agents.working[f"b:{RUN}/work/2"] = run.now
    assert run.after(279) == []
    assert kinds(run.after(1)) == ["task-timed-out"]
    assert run.task("work").open_attempts() == [(2, "b")]
    assert kinds(run.after(30)) == ["task-timed-out", "run-failed"]


def test_after_both_failed_the_next_round_is_hedged_again() -> None:
    run = hedged(retry={"max_attempts": 4, "delay": "1s", "jitter": 0})
    run.fail("work")
    assert kinds(run.fail("work", attempt=2, agent="b")) == ["task-failed", "retry-scheduled"]
    first = assigned(run.after(2))["work"]
    assert (first.attempt, first.hedges) == (3, None)
    second = assigned(run.after(30))["work"]
    assert (second.attempt, second.hedges) == (4, 3)
    assert second.agent != first.agent


def test_where_nobody_else_is_there_one_is_looked_for_again() -> None:
    run = scenario({"work": WORK})
    run.start()
    assert run.after(30) == []
    look = run.run.next_look()
    assert look is not None
    assert look > run.now, "the orchestrator does not turn in a circle"
    run.agents.add("b", "do")
    assert assigned(run.after(30))["work"].hedges == 1


def test_after_a_takeover_one_is_looked_for_just_the_same() -> None:
    run = scenario({"work": WORK})
    run.start()
    run.after(30)
    run.agents.add("b", "do")
    again = run.replayed()
    look = again.next_look()
    assert look is not None
    assert look <= run.now, "a replay looks at once"


def test_p95_hedges_only_what_is_known_of_the_agent() -> None:
    run = scenario({"work": WORK | {"hedge_after": "p95"}})
    run.agents.add("b", "do")
    run.start()
    assert run.run.tasks[run.task("work").id].hedge_at is None
    known = scenario({"work": WORK | {"hedge_after": "p95"}})
    skill = {"do": Skill(completed=50, p50_seconds=5.0, p95_seconds=20.0)}
    known.agents.views["a"] = AgentView(name="a", labels={}, skills=skill, slots=4)
    known.start()
    known.agents.add("b", "do")
    assert known.after(19) == []
    assert assigned(known.after(1))["work"].agent == "b"


def test_p95_hedges_nothing_before_twenty_attempts_were_seen() -> None:
    for seen, hedges in ((19, False), (20, True)):
        run = scenario({"work": WORK | {"hedge_after": "p95"}})
        skill = {"do": Skill(completed=seen, p50_seconds=5.0, p95_seconds=20.0)}
        run.agents.views["a"] = AgentView(name="a", labels={}, skills=skill, slots=4)
        (event,) = assigned(run.start()).values()
        assert (event.hedge_at is not None) is hedges


def test_an_agent_that_is_not_there_is_no_help() -> None:
    run = two()
    run.agents.add("b", "do", slots=0)
    assert run.after(30) == []
    run.agents.add("b", "do")
    assert kinds(run.after(300)) != []


def test_a_run_that_stands_still_hedges_nothing() -> None:
    run = two()
    run.when(PauseRun(run_id=RUN))
    assert run.after(600) == []
    run.when(ResumeRun(run_id=RUN))
    assert run.after(29) == []
    assert kinds(run.after(1)) == ["task-assigned"]


def test_a_run_that_ends_tells_both_and_waits_for_both() -> None:
    run = hedged()
    ending = run.cancel()[0]
    assert [gone.attempt for gone in getattr(ending, "stopping", ())] == [1, 2]
    assert kinds(run.fail("work")) == ["task-failed"]
    assert run.run.status == "cancelling"
    assert kinds(run.done("work", attempt=2, agent="b")) == ["task-completed", "run-cancelled"]


def test_handing_on_while_the_run_ends_leaves_it_to_the_other_attempt() -> None:
    run = hedged()
    run.cancel()
    assert kinds(run.when(handoff("work", "other"))) == ["task-failed"]
    assert kinds(run.done("work", attempt=2, agent="b")) == ["task-completed", "run-cancelled"]


def test_handing_on_gives_up_the_other_attempt() -> None:
    run = hedged()
    events = run.when(handoff("work", "other", 1))
    assert kinds(events) == ["task-handed-off", "task-assigned"]
    assert [gone.attempt for gone in getattr(events[0], "abandoned", ())] == [2]
    assert run.done("work", attempt=2, agent="b") == []
    assert kinds(run.done("work", attempt=3))[-1] == "run-completed"


def test_a_budget_that_is_used_up_pauses_before_the_second_attempt() -> None:
    run = scenario({"work": WORK}, budget={"tasks": 1})
    run.agents.add("b", "do")
    run.start()
    assert kinds(run.after(30)) == ["budget-exceeded", "run-paused"]
    run.when(ResumeRun(run_id=RUN))
    assert kinds(run.after(0)) == ["task-assigned"]


def test_a_quota_that_leaves_no_room_hedges_nothing() -> None:
    run = scenario({"work": WORK | {"quota": {"calls": 1}}})
    run.agents.add("b", "do")
    run.limits.set("quota:calls", 1)
    run.start()
    assert run.after(30) == []
    run.limits.set("quota:calls", 2)
    assert kinds(run.after(30)) == ["task-assigned"]
    assert run.limits.held("quota:calls") == 2
    run.done("work")
    assert run.limits.held("quota:calls") == 0


def test_both_attempts_see_the_same_context() -> None:
    run = scenario(
        {"put": {"capability": "do"}, "work": WORK | {"input": "${ context.n }", "after": ["put"]}}
    )
    run.agents.add("b", "do")
    run.start()
    run.when(shared("put", "n", 1))
    run.done("put")
    first = run.run.assigned[run.task("work").id].agent
    command = command_of(run.run, run.task("work"), 1)
    run.when(shared("work", "n", 2, agent=str(first)))
    run.after(30)
    assert command_of(run.run, run.task("work"), 1) == command
    second = command_of(run.run, run.task("work"), 2)
    assert (second.input, second.context_versions) == (1, {"n": 1})


def test_a_change_among_the_agents_without_anyone_gone_changes_nothing() -> None:
    run = hedged()
    assert run.when(AgentsChanged()) == []
