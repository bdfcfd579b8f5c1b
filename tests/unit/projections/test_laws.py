"""Laws of the views, over histories that the saga itself made from drawn messages."""

from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from unit.projections.story import chain, read, run_of

from dalsegno_bus.messages import CancelRun
from dalsegno_orchestrator.history import Recorded
from dalsegno_orchestrator.store import Store
from dalsegno_orchestrator.workflow.evolve import replay
from dalsegno_projections.catalog import VIEWS
from dalsegno_projections.projector import Projector
from dalsegno_projections.spans import spans_of
from dalsegno_projections.storage.rows import Rows
from dalsegno_projections.views.runs import RUNS, RunRow, RunsView
from dalsegno_projections.views.table import fold
from dalsegno_projections.views.tasks import TASKS, TaskRow, TasksView
from support.scenario import RUN, Scenario, scenario, shared

TASKS_OF_ALL_KINDS: dict[str, Any] = {
    "first": {"capability": "do", "retry": {"max_attempts": 2, "jitter": 0}},
    "many": {
        "capability": "do",
        "foreach": [1, 2, 3],
        "max_parallel": 2,
        "on_error": "continue",
        "after": ["first"],
    },
    "sink": {"capability": "do", "foreach": [1, 2], "retry": {"max_attempts": 1}},
    "none": {"capability": "do", "foreach": [], "after": ["first"]},
    "ok": {"wait": {"signal": "go", "timeout": 30}, "on_error": "continue"},
    "nap": {"sleep": 5, "after": ["first"]},
    "maybe": {"capability": "other", "when": "${ tasks.first == 1 }"},
    "plan_a": {"capability": "other", "on_error": {"fallback": "plan_b"}},
    "plan_b": {"capability": "rare"},
}

Action = tuple[str, int]
ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(
            ["done", "done", "done", "fail", "fail_for_good", "time", "signal", "share", "join",
             "lose", "leave", "cancel"]
        ),
        st.integers(0, 5),
    ),
    max_size=40,
)  # fmt: skip


def played(actions: Sequence[Action]) -> Scenario:
    """A run to which all this happened."""
    run = scenario(TASKS_OF_ALL_KINDS)
    run.agents.add("b", "other")
    run.start()
    for action, number in actions:
        _act(run, action, number)
    return run


def _act(run: Scenario, action: str, number: int) -> None:
    open_tasks = list(run.run.assigned.values())
    task = open_tasks[number % len(open_tasks)] if open_tasks else None
    run.now = run.now.replace(microsecond=(run.now.microsecond + 7) % 1_000_000)
    match action:
        case "done" if task is not None:
            run.done(task.id, number, attempt=task.attempt, agent=task.agent or "")
        case "fail" | "fail_for_good" if task is not None:
            retryable = action == "fail"
            run.fail(task.id, attempt=task.attempt, agent=task.agent or "", retryable=retryable)
        case "share" if task is not None:
            run.when(shared(task.id, "key", number, agent=task.agent or ""))
        case "time":
            run.after(10.0 * number)
        case "signal":
            run.signal("go", number)
        case "join":
            run.agents.add("c", "rare", "do", "other")
            run.join()
        case "lose":
            run.lose("a")
        case "leave":
            run.agents.views.pop("b", None)
        case "cancel" if number == 0:
            run.when(CancelRun(run_id=RUN))
        case _:
            pass


def recorded(run: Scenario) -> list[Recorded]:
    return read(chain(run.history, stream=RUN))


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
    told = {task.task_id: task for task in tasks if isinstance(task, TaskRow)}
    for task in state.tasks.values():
        if task.id not in told:
            assert task.status == "ready"
            continue
        known = told[task.id]
        status = "assigned" if known.status == "abandoned" else known.status
        assert (status, known.attempt, known.failures) == (
            task.status,
            task.attempt,
            task.failures,
        ), task.id
        assert (known.step, known.index) == (task.step.id, task.index)
    assert row.tasks == Counter(task.status for task in told.values())


@pytest.mark.slow
@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(ACTIONS)
def test_every_attempt_of_an_ended_run_is_a_span_within_it(actions: Sequence[Action]) -> None:
    run = played([*actions, ("cancel", 0)])
    spans = spans_of(recorded(run))
    root, rest = spans[0], spans[1:]
    assert len({span.span_id for span in spans}) == len(spans)
    attempts = [event for event, _ in run.history if event.kind == "task-assigned.v1"]
    assert len([span for span in rest if span.kind == "client"]) == len(attempts)
    for span in rest:
        assert span.parent_span_id == root.span_id
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
