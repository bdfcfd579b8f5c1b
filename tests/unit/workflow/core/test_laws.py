"""What holds for any workflow and any order of messages, copies and late reports among them."""

from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dalsegno_bus.ids import TaskId
from dalsegno_bus.messages import PauseRun, ResumeRun, SignalRun
from dalsegno_orchestrator.workflow.decider import RunMessage, decide
from dalsegno_orchestrator.workflow.events import (
    RunCompleted,
    RunEvent,
    RunFailed,
    RunPaused,
    RunResumed,
    SignalAwaited,
    TaskAssigned,
    TaskCompleted,
    TaskFailed,
    TaskParked,
    TaskRerouted,
    TasksExpanded,
    TaskTimedOut,
    TimerFired,
    TimerSet,
)
from dalsegno_orchestrator.workflow.facts import AgentsChanged, TimeReached
from dalsegno_orchestrator.workflow.run import Run
from support.scenario import Directory, Scenario, completed, failed, plan_of

NAMES = ("p", "q", "r", "s", "t")


@st.composite
def workflows(draw: st.DrawFn) -> dict[str, Any]:
    """Tasks in some order, each after some of those before it."""
    tasks: dict[str, Any] = {}
    for index, name in enumerate(NAMES[: draw(st.integers(1, len(NAMES)))]):
        kind = draw(st.sampled_from(["do", "do", "do", "each", "rare", "wait", "sleep"]))
        task: dict[str, Any] = {}
        match kind:
            case "wait":
                task["wait"] = {"signal": draw(st.sampled_from(["go", "ok"])), "timeout": "1h"}
            case "sleep":
                task["sleep"] = "5s"
            case _:
                task["capability"] = "rare" if kind == "rare" else "do"
                attempts = draw(st.integers(1, 3))
                task["retry"] = {"max_attempts": attempts, "delay": "1s", "jitter": 0}
                task["on_error"] = draw(st.sampled_from(["fail", "continue", "continue"]))
        if kind == "each":
            task["foreach"] = list(range(draw(st.integers(0, 4))))
            if draw(st.booleans()):
                task["max_parallel"] = 2
        if draw(st.integers(0, 4)) == 0:
            task["when"] = "${ input.yes }"
        before = draw(st.lists(st.sampled_from(NAMES[:index]), unique=True)) if index else []
        if before:
            task["after"] = before
        tasks[name] = task
    return tasks


@st.composite
def moves(draw: st.DrawFn) -> tuple[str, int, int]:
    """What happens next, and to which task and attempt, as numbers to be taken modulo."""
    kinds = ["done", "done", "done", "fail", "time", "signal", "join", "lose", "pause", "resume"]
    what = draw(st.sampled_from(kinds))
    return what, draw(st.integers(0, 20)), draw(st.integers(1, 3))


def message_of(move: tuple[str, int, int], run: Run, known: Sequence[TaskAssigned]) -> RunMessage:
    what, number, attempt = move
    match what:
        case "signal":
            return SignalRun(run_id=run.id, signal=("go", "ok")[number % 2])
        case "time":
            return TimeReached()
        case "join":
            return AgentsChanged()
        case "pause":
            return PauseRun(run_id=run.id)
        case "resume":
            return ResumeRun(run_id=run.id)
        case "lose":
            return AgentsChanged(gone=frozenset({("a", "b")[number % 2]}))
        case _ if not known:
            return TimeReached()
        case _:
            about = known[-1 - number % len(known)]
            nth = about.attempt if number % 3 else attempt
            make = completed if what == "done" else failed
            return make(about.task_id, attempt=nth, agent=about.agent)


def play(tasks: dict[str, Any], script: Sequence[tuple[str, int, int]]) -> Scenario:
    directory = Directory()
    directory.add("a", "do")
    directory.add("b", "do")
    run = Scenario(plan_of(tasks), directory)
    run.start({"yes": len(script) % 2 == 0})
    for move in script:
        if move[0] == "join":
            directory.add("b", "do", "rare")
        if move[0] == "time":
            run.after(move[1] * 5.0)
        known = [event for event, _ in run.history if isinstance(event, TaskAssigned)]
        run.when(message_of(move, run.run, known), message_id=f"m{move[1]}")
    return run


def events_of(run: Scenario) -> list[RunEvent]:
    return [event for event, _ in run.history]


scripts = st.lists(moves(), max_size=40)


@given(workflows(), scripts)
@settings(deadline=None)
def test_a_replay_of_the_history_gives_the_same_run(
    tasks: dict[str, Any], script: list[tuple[str, int, int]]
) -> None:
    played = play(tasks, script)
    again = played.replayed()
    assert _state(again) == _state(played.run)


@given(workflows(), scripts)
@settings(deadline=None)
def test_deciding_twice_on_the_same_history_and_message_gives_the_same_facts(
    tasks: dict[str, Any], script: list[tuple[str, int, int]]
) -> None:
    played = play(tasks, script)
    known = [event for event in events_of(played) if isinstance(event, TaskAssigned)]
    for move in script[:5]:
        message = message_of(move, played.run, known)
        facts = played.facts("same")
        one, two = played.replayed(), played.replayed()
        assert decide(one, message, facts) == decide(two, message, facts)


@given(workflows(), scripts)
@settings(deadline=None)
def test_no_task_begins_before_what_it_needs_is_over(
    tasks: dict[str, Any], script: list[tuple[str, int, int]]
) -> None:
    played = play(tasks, script)
    for position, event in enumerate(events_of(played)):
        if not isinstance(event, TaskAssigned):
            continue
        before = played.history[:position]
        state = _replay(played, before)
        step = state.tasks[TaskId(event.task_id)].step
        assert step.needs <= set(state.outputs), f"{event.task_id} began too early"


@given(workflows(), scripts)
@settings(deadline=None)
def test_each_task_completes_at_most_once_and_has_one_attempt_out_at_a_time(
    tasks: dict[str, Any], script: list[tuple[str, int, int]]
) -> None:
    out: dict[str, int] = {}
    completions: dict[str, int] = {}
    for event in events_of(play(tasks, script)):
        match event:
            case TaskAssigned():
                assert event.task_id not in out
                out[event.task_id] = event.attempt
            case TaskCompleted():
                assert out.pop(event.task_id) == event.attempt
                completions[event.task_id] = completions.get(event.task_id, 0) + 1
            case TaskFailed() | TaskTimedOut() | TaskRerouted():
                out.pop(event.task_id, None)
            case _:
                pass
    assert all(count == 1 for count in completions.values())


@given(workflows(), scripts)
@settings(deadline=None)
def test_an_open_run_always_waits_for_something_that_can_come(
    tasks: dict[str, Any], script: list[tuple[str, int, int]]
) -> None:
    run = play(tasks, script).run
    if run.status != "running":
        return
    assert not run.ready
    waits = {task.status for task in run.tasks.values() if task.is_open}
    assert waits & {"assigned", "parked", "retrying", "waiting", "sleeping"}
    timed = [task for task in run.tasks.values() if task.status in {"retrying", "sleeping"}]
    assert all(task.look_at is not None for task in timed)
    if timed:
        assert run.next_look() is not None


@given(workflows(), scripts)
@settings(deadline=None)
def test_a_message_that_was_handled_changes_nothing_the_second_time(
    tasks: dict[str, Any], script: list[tuple[str, int, int]]
) -> None:
    played = play(tasks, script)
    known = [event for event in events_of(played) if isinstance(event, TaskAssigned)]
    for move in script:
        if move[0] not in {"done", "fail", "signal"}:
            continue
        message = message_of(move, played.run, known)
        played.when(message, message_id="twice")
        assert played.when(message, message_id="twice") == []


@given(workflows(), scripts)
def test_a_paused_run_begins_nothing_and_its_timers_stand_still(
    tasks: dict[str, Any], script: list[tuple[str, int, int]]
) -> None:
    is_paused = False
    for event in events_of(play(tasks, script)):
        match event:
            case RunPaused():
                is_paused = True
            case RunResumed():
                is_paused = False
            case TaskAssigned() | TaskParked() | TasksExpanded() | TimerSet() | TimerFired():
                assert not is_paused
            case TaskTimedOut() | SignalAwaited() | RunCompleted() | RunFailed():
                assert not is_paused
            case _:
                pass


def _replay(played: Scenario, history: list[Any]) -> Run:
    part = Scenario(played.plan, played.agents)
    part.history = history
    return part.replayed()


def _state(run: Run) -> dict[str, Any]:
    tasks = {
        task.id: (task.status, task.attempt, task.agent, task.failures, task.avoid, task.output)
        for task in run.tasks.values()
    }
    return {
        "status": run.status,
        "version": run.version,
        "tasks": tasks,
        "outputs": run.outputs,
        "assigned": sorted(run.assigned),
        "parked": sorted(run.parked),
        "ready": list(run.ready),
        "unresolved": run.unresolved,
        "signals": run.signals,
        "heard": run.heard,
        "missing": run.missing,
        "next_look": run.next_look(),
    }
