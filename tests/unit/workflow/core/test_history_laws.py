"""What holds in the history of any run: what may follow what."""

from collections.abc import Iterable, Iterator
from typing import Any

from hypothesis import given

from dalsegno_bus.ids import RunId, TaskId, undo_id
from dalsegno_orchestrator.workflow import events as e
from dalsegno_orchestrator.workflow.evolve import begin, evolve
from dalsegno_orchestrator.workflow.run import Run
from support.random_runs import Move, played, scripts, workflows
from support.scenario import RUN, Scenario

BEGINS = (e.TaskAssigned, e.ChildStarted)
ENDS = (e.RunCompleted, e.RunFailed, e.RunCancelled, e.RunCompensationFailed)


def steps_of(run: Scenario) -> Iterator[tuple[Run, e.RunEvent]]:
    """Every event after the first, each with the run as it was before it."""
    (first, at), *rest = run.history
    assert isinstance(first, e.RunStarted)
    state = begin(RunId(RUN), run.plan, first, at)
    for event, when in rest:
        yield state, event
        evolve(state, event, when)


@given(workflows(), scripts)
def test_no_task_begins_before_what_it_refers_to_is_done(
    top: dict[str, Any], script: list[Move]
) -> None:
    for state, event in steps_of(played(top, script)):
        match event:
            case e.TaskAssigned() | e.ChildStarted() | e.TimerSet() | e.SignalAwaited():
                step = state.tasks[TaskId(event.task_id)].step
                assert step.needs <= set(state.outputs) | {event.task_id.removesuffix("-undo")} | {
                    step.id.removesuffix("-undo")
                }, f"{event.task_id} began too early"
            case e.PlanFinished():
                task = state.tasks[TaskId(event.task_id)]
                assert task.proposal is not None
                parts = [name for name in task.proposal[0] if name in state.plan.steps]
                over = set(state.outputs)
                assert all(name in over or state.plan.steps[name].is_fallback for name in parts), (
                    "a plan is done when its parts are"
                )
            case _:
                pass


@given(workflows(), scripts)
def test_each_task_completes_at_most_once_unless_the_run_goes_back(
    top: dict[str, Any], script: list[Move]
) -> None:
    done: set[str] = set()
    went_back = False
    for state, event in steps_of(played(top, script)):
        if went_back:
            done = {*_still_done(state, done)}
        went_back = isinstance(event, e.RunRewound)
        match event:
            case e.TaskCompleted() | e.PlanFinished() | e.RepeatEnded() | e.TimerFired():
                assert event.task_id not in done
                done.add(event.task_id)
            case e.ChildEnded(status="completed"):
                assert event.task_id not in done
                done.add(event.task_id)
            case e.TaskRepeated():
                done.discard(f"{event.task_id}-{event.iteration}")
            case _:
                pass


def _still_done(state: Run, done: Iterable[str]) -> list[str]:
    """What is done after the run went back, and what waits again for a part that was undone."""
    tasks = (state.tasks.get(TaskId(task_id)) for task_id in done)
    return [task.id for task in tasks if task is not None and task.status == "completed"]


@given(workflows(), scripts)
def test_a_task_has_one_attempt_under_way_and_two_only_if_it_is_hedged(
    top: dict[str, Any], script: list[Move]
) -> None:
    under_way: dict[str, set[int]] = {}
    for _, event in steps_of(played(top, script)):
        match event:
            case e.TaskAssigned():
                others = under_way.setdefault(event.task_id, set())
                assert others == (set() if event.hedges is None else {event.hedges})
                others.add(event.attempt)
            case e.TaskCompleted() | e.TaskHandedOff() | e.PlanProposed():
                given_up = {gone.attempt for gone in event.abandoned}
                assert under_way.pop(event.task_id) == given_up | {event.attempt}
            case e.TaskFailed() | e.TaskTimedOut() | e.TaskRerouted():
                others = under_way.get(event.task_id, set())
                others.discard(event.attempt)
                final = not isinstance(event, e.TaskRerouted) and event.final
                assert not (final and others), "nobody would tell the other one to stop"
            case e.CompensationStarted() | e.RunRewound():
                for gone in event.abandoned:
                    under_way[gone.task_id].remove(gone.attempt)
                if isinstance(event, e.CompensationStarted):
                    assert not any(under_way.values())
            case e.RunCompleted() | e.RunFailed() | e.RunCancelled() | e.RunCompensationFailed():
                told = {(gone.task_id, gone.attempt) for gone in event.abandoned}
                assert told == {(task, one) for task, them in under_way.items() for one in them}
                under_way.clear()
            case _:
                pass


@given(workflows(), scripts)
def test_the_number_of_an_attempt_never_comes_twice(
    top: dict[str, Any], script: list[Move]
) -> None:
    numbers: dict[str, int] = {}
    for _, event in steps_of(played(top, script)):
        if isinstance(event, BEGINS):
            assert event.attempt == numbers.get(event.task_id, 0) + 1
            numbers[event.task_id] = event.attempt


@given(workflows(), scripts)
def test_what_was_done_is_undone_one_by_one_the_last_first(
    top: dict[str, Any], script: list[Move]
) -> None:
    done: list[str] = []
    to_undo: list[str] = []
    went_back = False
    for state, event in steps_of(played(top, script)):
        if went_back:
            done = _still_done(state, done)
        went_back = isinstance(event, e.RunRewound)
        match event:
            case e.TaskCompleted() | e.PlanFinished() | e.ChildEnded(status="completed"):
                task = state.tasks[TaskId(event.task_id)]
                if task.role == "undo":
                    assert event.task_id == undo_id(to_undo.pop(0))
                elif task.step.undo is not None and not task.is_beside:
                    done.append(event.task_id)
            case e.CompensationStarted():
                assert list(event.tasks) == done[::-1]
                to_undo = list(event.tasks)
            case e.CompensationFailed():
                assert event.task_id == to_undo.pop(0)
            case e.RunReopened(undoing=True):
                to_undo = list(event.tasks)
            case e.TaskAssigned() if state.tasks[TaskId(event.task_id)].role == "undo":
                assert event.task_id == undo_id(to_undo[0]), "one after the other"
            case _:
                pass


@given(workflows(), scripts)
def test_a_run_that_stands_still_begins_nothing_and_its_timers_stand_still(
    top: dict[str, Any], script: list[Move]
) -> None:
    for state, event in steps_of(played(top, script)):
        if state.status != "paused":
            continue
        match event:
            case e.TaskAssigned() | e.ChildStarted() | e.TaskParked() | e.TasksExpanded():
                raise AssertionError(f"{event.kind} while it stood still")
            case e.TaskRepeated() | e.TimerSet() | e.TimerFired() | e.SignalAwaited():
                raise AssertionError(f"{event.kind} while it stood still")
            case e.TaskTimedOut() | e.WaitEscalated() | e.TaskRerouted() | e.PlanFinished():
                raise AssertionError(f"{event.kind} while it stood still")
            case e.RunCompleted() | e.CompensationStarted() | e.BudgetExceeded():
                raise AssertionError(f"{event.kind} while it stood still")
            case _:
                pass


@given(workflows(), scripts)
def test_a_run_that_is_ending_begins_nothing_but_what_undoes_it(
    top: dict[str, Any], script: list[Move]
) -> None:
    for state, event in steps_of(played(top, script)):
        if state.ending is None or not state.is_open:
            continue
        if isinstance(event, BEGINS):
            assert state.tasks[TaskId(event.task_id)].role == "undo"
        assert not isinstance(event, e.RunCompleted | e.RunReplanned | e.RunMigrated | e.RunPaused)


@given(workflows(), scripts)
def test_an_ended_run_says_so_once_until_somebody_takes_it_up_again(
    top: dict[str, Any], script: list[Move]
) -> None:
    for state, event in steps_of(played(top, script)):
        if not state.is_open:
            assert isinstance(event, e.RunReopened | e.RunRewound)
            assert not state.assigned
            assert not state.parked
            assert not state.delegated
        elif isinstance(event, ENDS):
            assert not state.delegated, "children end first"


@given(workflows(), scripts)
def test_what_a_plan_says_of_its_version_is_true(top: dict[str, Any], script: list[Move]) -> None:
    for state, event in steps_of(played(top, script)):
        if isinstance(event, e.PlanAccepted | e.RunReplanned | e.RunMigrated):
            assert event.plan_version == state.plan_version + 1
