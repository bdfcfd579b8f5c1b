from collections.abc import Mapping

import pytest
from unit.projections.story import (
    abandoned,
    assigned,
    completed,
    failed,
    handed_off,
    history,
    iso,
    proposed,
    read,
    registered,
    rejected,
    started,
)

from dalsegno_bus.messages import Failure, Usage
from dalsegno_orchestrator.workflow import events as e
from dalsegno_projections.views.agents import AGENTS, AgentRow, AgentsView, reports_of
from dalsegno_projections.views.spread import SECONDS_MAX, SECONDS_MIN, counted, percentile
from dalsegno_projections.views.table import fold
from dalsegno_projections.views.workflows import WORKFLOWS, WorkflowRow, WorkflowsView


def agents_after(*events: e.Event) -> dict[str, AgentRow]:
    rows = fold(AgentsView(), history(*events)).tables[AGENTS.name]
    return {row.agent: row for row in rows.values()}


def test_an_agent_is_known_by_what_it_was_given_and_what_came_back() -> None:
    agents = agents_after(
        started(),
        assigned("a"),
        failed("a", usage=Usage(usd=0.5, tokens=1)),
        assigned("a", 2, "bob"),
        completed("a", attempt=2, agent="bob"),
    )
    ann, bob = agents["ann"], agents["bob"]
    assert (ann.assigned, ann.completed, ann.failed, ann.usd, ann.tokens) == (1, 0, 1, 0.5, 1)
    assert (bob.assigned, bob.completed, bob.work_seconds) == (1, 1, 0.5)
    assert (ann.last_seen_at, bob.last_seen_at) == (iso(2), iso(4))


def test_an_agents_work_times_are_those_of_what_it_did_well() -> None:
    agents = agents_after(
        started(), assigned("a"), failed("a"), assigned("a", 2), completed("a", attempt=2),
        assigned("b"), completed("b"),
    )  # fmt: skip
    assert sum(agents["ann"].work_times.values()) == 2
    assert percentile(agents["ann"].work_times, 50) == pytest.approx(0.5, rel=0.07)


@pytest.mark.parametrize("unit", [0.002, 0.1, 1.0, 3_600.0])
def test_a_percentile_is_near_that_of_all_times(unit: float) -> None:
    times = [unit * number / 100 + unit for number in range(100)]
    spread: Mapping[str, int] = {}
    for time in (*times, 0.0):
        spread = counted(spread, time)
    assert len(spread) <= 10
    for percent in (1, 50, 95, 100):
        near = pytest.approx(times[percent - 1], rel=0.07)
        assert percentile(spread, percent) == near


def test_times_beyond_all_measure_are_bounded() -> None:
    spread = counted(counted({}, 1e-12), 1e300)
    assert percentile(spread, 50) == pytest.approx(SECONDS_MIN, rel=0.07)
    assert percentile(spread, 100) == pytest.approx(SECONDS_MAX, rel=0.07)
    assert percentile({}, 50) is None


def test_an_agent_that_never_reported_was_never_seen() -> None:
    away = e.TaskRerouted(task_id="a", attempt=1, agent="ann", reason="gone")
    ann = agents_after(started(), assigned("a"), away)["ann"]
    assert (ann.rerouted, ann.last_seen_at) == (1, None)


def test_a_task_that_could_not_begin_is_nobodys() -> None:
    assert agents_after(started(), failed("a", 0, None, final=True)) == {}


def test_every_registered_version_has_a_row() -> None:
    document = {"workflow": "w", "version": 2, "tasks": {"a": {"capability": "do"}}}
    rows = fold(WorkflowsView(), read(registered(document))).tables[WORKFLOWS.name]
    (row,) = rows.values()
    assert isinstance(row, WorkflowRow)
    assert (row.workflow, row.version, row.steps, row.registered_at) == ("w", 2, 1, iso(0))


def test_the_attempt_of_a_hedged_task_that_lost_is_no_failure() -> None:
    agents = agents_after(
        started(),
        assigned("a"),
        assigned("a", 2, "bob", hedges=1),
        completed("a", attempt=2, agent="bob", abandoned=abandoned("a")),
    )
    ann, bob = agents["ann"], agents["bob"]
    assert (ann.assigned, ann.completed, ann.failed, ann.abandoned) == (1, 0, 0, 1)
    assert (ann.last_seen_at, bob.completed, bob.abandoned) == (None, 1, 0)


def test_an_attempt_that_handed_its_task_on_has_reported() -> None:
    ann = agents_after(started(), assigned("a"), handed_off("a", "tax"))["ann"]
    assert (ann.handed_off, ann.failed, ann.work_seconds, reports_of(ann)) == (1, 0, 0.5, 1)


def test_a_plan_that_was_rejected_counts_as_a_failure() -> None:
    begun = (started(), assigned("p"), proposed("p", "x"))
    ann = agents_after(*begun)["ann"]
    assert (ann.completed, ann.failed, ann.work_seconds) == (1, 0, 0.5)
    ann = agents_after(*begun, rejected("p"))["ann"]
    assert (ann.completed, ann.failed, reports_of(ann)) == (0, 1, 1)


def test_progress_is_a_sign_of_life() -> None:
    told = e.AttemptProgressed(task_id="a", attempt=1, agent="ann")
    assert agents_after(started(), assigned("a"), told)["ann"].last_seen_at == iso(2)


def test_an_agent_may_abandon_what_it_reports() -> None:
    won = completed("a", attempt=2, abandoned=abandoned("a"))
    ann = agents_after(started(), assigned("a"), assigned("a", 2, hedges=1), won)["ann"]
    assert (ann.completed, ann.abandoned) == (1, 1)


def test_an_attempt_that_was_cancelled_with_its_run_is_no_failure() -> None:
    cancelled = failed("a", final=True, queue_seconds=0.5, work_seconds=2.0).model_copy(
        update={"error": Failure(code="task.cancelled", message="cancelled: enough")}
    )
    ann = agents_after(started(), assigned("a"), cancelled)["ann"]
    assert (ann.failed, ann.abandoned, reports_of(ann), ann.work_seconds) == (0, 1, 0, 0.0)
    assert ann.last_seen_at is not None
