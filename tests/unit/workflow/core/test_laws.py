"""What holds for any workflow and any order of messages, copies and late reports among them."""

from typing import Any

from hypothesis import given, settings

from dalsegno_orchestrator.workflow.decider import decide
from dalsegno_orchestrator.workflow.facts import TimeReached
from dalsegno_orchestrator.workflow.run import ENDING
from dalsegno_orchestrator.workflow.turn import Refused
from support.random_runs import (
    Move,
    begun,
    brought_to_its_end,
    happen,
    message_of,
    played,
    scripts,
    workflows,
)
from support.scenario import Scenario, state_of

WAITS = {"assigned", "parked", "retrying", "waiting", "sleeping", "delegated"}


@given(workflows(), scripts)
@settings(max_examples=300)
def test_a_replay_of_the_history_gives_the_same_run_and_copies_change_nothing(
    top: dict[str, Any], script: list[Move]
) -> None:
    played(top, script).assert_sound()


@given(workflows(), scripts)
def test_deciding_twice_on_the_same_history_and_message_gives_the_same_facts(
    top: dict[str, Any], script: list[Move]
) -> None:
    run = played(top, script)
    for move in script[:3]:
        message, facts = message_of(run, move), run.facts("same")
        answers: list[object] = []
        for state in (run.replayed(), run.replayed()):
            try:
                answers.append((decide(state, message, facts), state_of(state)))
            except Refused as refused:
                answers.append(refused.problems)
        assert answers[0] == answers[1]


@given(workflows(), scripts)
def test_who_takes_a_run_over_decides_what_its_owner_would_have(
    top: dict[str, Any], script: list[Move]
) -> None:
    run = played(top, script)
    if not run.run.is_open:
        return
    again, facts = run.replayed(), run.facts("same")
    for task in run.run.assigned.values():  # when these are looked at is an index: see `state_of`
        run.run.look(task, facts.now)
        again.look(again.tasks[task.id], facts.now)
    theirs, ours = decide(again, TimeReached(), facts), decide(run.run, TimeReached(), facts)
    assert sorted(map(repr, theirs)) == sorted(map(repr, ours))


@given(workflows(), scripts)
def test_an_open_run_always_waits_for_something_that_can_come(
    top: dict[str, Any], script: list[Move]
) -> None:
    run = played(top, script).run
    if not run.is_open or run.status == "paused":
        return
    waits = {task.status for task in run.tasks.values() if not task.is_beside}
    undoing = {task.status for task in run.tasks.values() if task.role == "undo"}
    if run.status in ENDING:
        assert run.assigned or run.delegated or undoing & {"parked", "retrying"}
    else:
        assert not run.ready
        assert waits & WAITS
    timed = [task for task in run.tasks.values() if task.status in {"retrying", "sleeping"}]
    if run.status not in ENDING:
        assert all(task.look_at is not None for task in timed)
    if timed and run.status not in ENDING:
        assert run.next_look() is not None


@given(workflows(), scripts)
@settings(max_examples=300)
def test_every_run_ends_if_everybody_does_what_it_waits_for(
    top: dict[str, Any], script: list[Move]
) -> None:
    run = played(top, script)
    assert brought_to_its_end(run), _standing(run)


@given(workflows(), scripts)
@settings(max_examples=60)
def test_a_run_is_not_looked_at_again_and_again_for_nothing(
    top: dict[str, Any], script: list[Move]
) -> None:
    run = begun(top, is_yes=True)
    for move in script:
        happen(run, move)
        for _ in range(100):
            look = run.run.next_look()
            if look is None or look > run.now:
                break
            run.when(TimeReached())
        else:
            raise AssertionError(f"it wants to be looked at for ever: {_standing(run)}")


def _standing(run: Scenario) -> str:
    tasks = {task.id: task.status for task in run.run.tasks.values()}
    return f"{run.run.status} {tasks} ready={list(run.run.ready)} look={run.run.next_look()}"
