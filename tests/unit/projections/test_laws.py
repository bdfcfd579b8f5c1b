"""Laws of the views, over histories that the saga itself made from drawn messages."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from random import Random
from typing import Any, Literal, NamedTuple, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from unit.projections.story import chain, read, run_of

from dalsegno_bus.messages import (
    CancelRun,
    ChildOver,
    CompletedReport,
    ContextReport,
    Failure,
    HandoffReport,
    HeartbeatReport,
    PauseRun,
    QuestionReport,
    ReplanRun,
    Report,
    ResumeRun,
    RetryRun,
    RewindRun,
    Usage,
)
from dalsegno_orchestrator.history import Recorded
from dalsegno_orchestrator.store import Store
from dalsegno_orchestrator.workflow.evolve import replay
from dalsegno_orchestrator.workflow.run import FINAL, Run, Task
from dalsegno_orchestrator.workflow.turn import Refused
from dalsegno_projections.catalog import VIEWS
from dalsegno_projections.projector import Projector
from dalsegno_projections.spans import spans_of
from dalsegno_projections.storage.rows import Rows
from dalsegno_projections.views.runs import RUNS, RunRow, RunsView
from dalsegno_projections.views.table import fold
from dalsegno_projections.views.tasks import TASKS, TaskRow, TasksView
from support.scenario import RUN, Scenario, scenario

ReportT = TypeVar("ReportT", bound=Report)

TASKS_OF_ALL_KINDS: dict[str, Any] = {
    "first": {
        "capability": "do",
        "retry": {"max_attempts": 2, "jitter": 0},
        "compensate": {"capability": "other", "retry": {"max_attempts": 1}},
    },
    "many": {
        "capability": "do",
        "foreach": [1, 2, 3],
        "max_parallel": 2,
        "on_error": "continue",
        "after": ["first"],
        "compensate": {"capability": "other", "input": "${ item }"},
    },
    "sink": {"capability": "do", "foreach": [1, 2], "retry": {"max_attempts": 1}},
    "none": {"capability": "do", "foreach": [], "after": ["first"]},
    "ok": {
        "wait": {
            "signal": "go",
            "timeout": 30,
            "escalate": [{"after": 5, "capability": "other", "input": {}}],
        },
        "on_error": "continue",
    },
    "nap": {"sleep": 5, "after": ["first"]},
    "maybe": {"capability": "other", "when": "${ tasks.first == 1 }"},
    "plan_a": {
        "capability": "other",
        "on_error": {"fallback": "plan_b"},
        "retry": {"max_attempts": 1},
        "reroute": ["other_agent", {"capability": "rare"}, {"wait": 5}],
    },
    "plan_b": {"capability": "rare"},
    "again": {
        "capability": "do",
        "repeat": {"until": "${ output == 1 }", "max": 3, "delay": 2},
        "on_error": "continue",
    },
    "more": {"capability": "do", "dynamic": {"max_tasks": 6}, "on_error": "continue"},
    "below": {"workflow": "payment", "retry": {"max_attempts": 2, "jitter": 0}},
    "twice": {"capability": "do", "hedge_after": 3, "heartbeat_timeout": 20, "timeout": 60},
    "dear": {"capability": "do", "quota": {"tokens": 1}, "when": "${ tasks.first == 1 }"},
}
TOP: dict[str, Any] = {
    "context": {"key": {"on_conflict": "reject"}},
    "budget": {"tokens": 30, "on_exceeded": "ask"},
}

Action = tuple[str, int]
ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(
            ["done", "done", "done", "done", "fail", "fail_for_good", "time", "time", "signal",
             "share", "join", "lose", "leave", "cancel", "hand_off", "ask", "progress", "plan",
             "plan", "child", "retry", "retry", "rewind", "pause", "resume", "work", "raise",
             "replan"]
        ),
        st.integers(0, 7),
    ),
    max_size=60,
)  # fmt: skip


def played(actions: Sequence[Action]) -> Scenario:
    """A run to which all this happened."""
    run = scenario(TASKS_OF_ALL_KINDS, **TOP)
    run.agents.add("b", "do", "other")
    run.start()
    for action, number in actions:
        run.now += timedelta(microseconds=7)
        with suppress(Refused):
            act(run, action, number)
    return run


def ended(actions: Sequence[Action]) -> Scenario:
    """The same, and then it was cancelled and given all the time that it needs."""
    run = played(actions)
    with suppress(Refused):
        run.when(CancelRun(run_id=RUN))
    for _ in range(ROUNDS_MAX):
        if not run.run.is_open:
            break
        _work(run, 0)
    return run


def _work(run: Scenario, number: int) -> None:
    """Everything that is under way is done, and time passes."""
    _join(run, number)
    _child_over(run, 1)
    for on in under_way_in(run):
        run.done(on.task, {"tasks": {}}, attempt=on.attempt, agent=on.agent)
    with suppress(Refused):
        run.signal("go", number)
    run.after(60.0)


def act(run: Scenario, action: str, number: int) -> None:
    """One thing that happens, to one of the attempts under way."""
    under_way = under_way_in(run)
    if under_way and action in OF_ATTEMPTS:
        OF_ATTEMPTS[action](run, under_way[number % len(under_way)], number)
    elif action in OF_RUNS:
        OF_RUNS[action](run, number)


def under_way_in(run: Scenario) -> list["Attempt"]:
    return [
        Attempt(task.id, attempt, agent)
        for task in run.run.assigned.values()
        for attempt, agent in task.open_attempts()
    ]


class Attempt(NamedTuple):
    """An attempt that is under way."""

    task: str
    attempt: int
    agent: str

    def report(self, report: type[ReportT], **more: Any) -> ReportT:
        return report(
            run_id=RUN, task_id=self.task, attempt=self.attempt, agent=self.agent, replica="r",
            **more,
        )  # fmt: skip


def _fail(run: Scenario, on: Attempt, number: int, *, retryable: bool) -> None:
    run.fail(on.task, attempt=on.attempt, agent=on.agent, retryable=retryable)


def _plan(run: Scenario, on: Attempt, number: int) -> None:
    """What a dynamic task returns; others just complete with it."""
    names = [f"x{on.attempt}{letter}" for letter in "abcd"[: number % 4]]
    tasks: dict[str, Any] = {name: {"capability": "do"} for name in names}
    if number == 7:
        tasks["first"] = {"capability": "do"}  # there is one already: it is rejected
    run.done(on.task, {"tasks": tasks}, attempt=on.attempt, agent=on.agent)


OF_ATTEMPTS: dict[str, Callable[[Scenario, Attempt, int], object]] = {
    "done": lambda run, on, number: run.when(
        on.report(CompletedReport, output=number, usage=Usage(usd=0.5, tokens=number))
    ),
    "plan": _plan,
    "fail": partial(_fail, retryable=True),
    "fail_for_good": partial(_fail, retryable=False),
    "share": lambda run, on, number: run.when(
        on.report(ContextReport, key="key", value=number, base_version=number // 2)
    ),
    "hand_off": lambda run, on, number: run.when(
        on.report(HandoffReport, capability="other", input=number)
    ),
    "progress": lambda run, on, number: run.when(
        on.report(HeartbeatReport, progress={"fraction": number / 10})
    ),
    "ask": lambda run, on, number: run.when(
        on.report(QuestionReport, question=f"q{number}", capability="other")
    ),
}


def _child_over(run: Scenario, number: int) -> None:
    status: Literal["completed", "failed"] = "completed" if number % 2 else "failed"
    error = None if number % 2 else Failure(code="test", message="as the test asked")
    for task in list(run.run.delegated.values()):
        assert task.child is not None
        over = ChildOver(
            run_id=RUN, task_id=task.id, attempt=task.attempt, child=task.child, status=status,
            output=number, error=error,
        )  # fmt: skip
        run.when(over)


def _rewind(run: Scenario, number: int) -> None:
    steps = [task.id for task in run.run.tasks.values() if task.role == "step"]
    run.when(RewindRun(run_id=RUN, task_id=steps[number % len(steps)]))


def _replan(run: Scenario, number: int) -> None:
    run.when(ReplanRun(run_id=RUN, add={f"added{number}": {"capability": "do"}}))


def _join(run: Scenario, number: int) -> None:
    run.agents.add("c", "rare", "do", "other")
    run.join()


OF_RUNS: dict[str, Callable[[Scenario, int], object]] = {
    "time": lambda run, number: run.after(10.0 * number),
    "signal": lambda run, number: run.signal("go", number),
    "join": _join,
    "lose": lambda run, number: run.lose("a"),
    "leave": lambda run, number: run.agents.views.pop("b", None),
    "cancel": lambda run, number: None if number else run.when(CancelRun(run_id=RUN)),
    "child": _child_over,
    "retry": lambda run, number: run.when(RetryRun(run_id=RUN)),
    "rewind": _rewind,
    "work": _work,
    "raise": lambda run, number: run.signal("budget", {"tokens": 10 * number} if number else {}),
    "replan": _replan,
    "pause": lambda run, number: run.when(PauseRun(run_id=RUN)),
    "resume": lambda run, number: run.when(ResumeRun(run_id=RUN)),
}


def recorded(run: Scenario) -> list[Recorded]:
    return read(chain(run.history, stream=RUN))


def as_the_core_says(row: TaskRow) -> str:
    """The core keeps an attempt that nobody waits for as it was."""
    return {"abandoned": "assigned", "undone": "ready"}.get(row.status, row.status)


def is_moved_in_silence(task: Task, state: Run, kinds: set[str]) -> bool:
    """Whether the core may know more of it than events say: the definition, above all."""
    taken_up = bool(kinds & {"run-reopened", "run-rewound"})
    if taken_up and task.status == "ready":
        return True  # it begins anew, and nothing came of that yet
    if task.is_beside or task.proposal is not None:
        return taken_up  # what was asked goes on, and a plan that was taken is kept
    sinking = state.failing is not None or "run-ending" in kinds or not state.is_open
    return bool(task.count or task.begun) and sinking  # as `on_error` says of its items


def waits_of(state: Run) -> Counter[str]:
    """What the tasks of a run wait for, as the core has it."""
    waits: list[str] = []
    for task in state.tasks.values():
        match task.status:
            case "parked":
                what = f"limit {task.waits_for}" if task.waits_for else None
                waits.append(what or f"capability {task.capability}")
            case "waiting":
                assert task.step.task.wait is not None
                waits.append(f"signal {task.step.task.wait.signal}")
            case "sleeping":
                waits.append("timer")
            case "delegated":
                waits.append(f"run {task.step.task.workflow}")
            case _:
                pass
    return Counter(waits)


ROUNDS_MAX = 50
RESETS = ("ladder-climbed", "task-handed-off", "run-reopened", "run-rewound")
"""After these the core counts failures anew, and the view does not."""


@pytest.mark.slow
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(ACTIONS)
def test_the_views_tell_of_a_run_what_its_replay_tells(actions: Sequence[Action]) -> None:
    run = played(actions)
    history = recorded(run)
    state = replay(RUN, run.plan, run.history)
    row = fold(RunsView(), history).get(RUNS, (str(RUN),))
    tasks = fold(TasksView(), history).tables[TASKS.name].values()
    assert isinstance(row, RunRow)
    assert (row.status, row.version) == (state.status, state.version)
    assert row.plan_version == state.plan_version
    assert (row.ended_at is None) == state.is_open
    told = {task.task_id: task for task in tasks if isinstance(task, TaskRow)}
    kinds = {event.kind.partition(".")[0] for event, _ in run.history}
    for task in state.tasks.values():
        if task.id not in told:
            assert task.status == "ready"
            continue
        known = told[task.id]
        assert (known.role, known.parent, known.index) == (task.role, task.parent, task.index)
        assert (known.attempt, known.child_run) == (
            task.attempt,
            None if task.child is None else str(task.child),
        ), task.id
        if is_moved_in_silence(task, state, kinds):
            continue
        assert as_the_core_says(known) == task.status, task.id
        assert known.failures == task.failures or kinds.intersection(RESETS), task.id
    assert row.tasks == Counter(task.status for task in told.values())
    assert (row.usd, row.tokens) == (state.spent.usd, state.spent.tokens)
    if state.status in {"running", "paused"}:
        assert row.waiting_for == waits_of(state)
    elif state.status in FINAL:
        assert row.waiting_for == {}


@pytest.mark.slow
@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(ACTIONS)
def test_every_attempt_of_an_ended_run_is_a_span_within_it(actions: Sequence[Action]) -> None:
    run = ended(actions)
    spans = spans_of(recorded(run))
    root, rest = spans[0], spans[1:]
    assert len({span.span_id for span in spans}) == len(spans)
    attempts = [event for event, _ in run.history if event.kind == "task-assigned.v1"]
    assert len([span for span in rest if span.kind == "client"]) == len(attempts)
    asked = {span.span_id for span in spans}
    for span in rest:
        assert span.parent_span_id in asked
        assert root.start_ns <= span.start_ns <= span.end_ns <= root.end_ns


@pytest.mark.slow
@settings(
    deadline=None,
    max_examples=15,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(
    histories=st.lists(ACTIONS, min_size=1, max_size=3),
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=8),
    order=st.randoms(use_true_random=False),
)
def test_any_split_into_batches_gives_the_same_rows(
    tmp_path_factory: pytest.TempPathFactory,
    histories: list[list[Action]],
    sizes: list[int],
    order: Random,
) -> None:
    folder = tmp_path_factory.mktemp("law")
    store = Store(f"sqlite:///{folder}/store.db", namespace="law")
    store.ensure_schema()
    streams = [
        chain(played(actions).history, stream=run_of(str(number)))
        for number, actions in enumerate(histories)
    ]
    while streams:  # the runs in any order, each in its own
        stream = order.choice(streams)
        store.append([stream.pop(0)])
        if not stream:
            streams.remove(stream)
    rows = [Rows(f"sqlite:///{folder}/{name}", namespace="law", views=VIEWS) for name in "ab"]
    for each in rows:
        each.ensure_schema()
    at_once = Projector(store, rows[0], VIEWS, batch_events_max=10_000)
    at_once.catch_up()
    for size in sizes:
        Projector(store, rows[1], VIEWS, batch_events_max=size).step()
    Projector(store, rows[1], VIEWS, batch_events_max=sizes[0]).catch_up()
    for view in VIEWS:
        assert rows[0].digest(view.name) == rows[1].digest(view.name)
    assert at_once.parked == 0
    for each in (*rows, store):
        each.close()
