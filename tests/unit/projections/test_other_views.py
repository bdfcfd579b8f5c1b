from unit.projections.story import (
    assigned,
    completed,
    failed,
    history,
    iso,
    read,
    registered,
    started,
)

from dalsegno_bus.messages import Usage
from dalsegno_orchestrator.workflow import events as e
from dalsegno_projections.views.agents import AGENTS, AgentRow, AgentsView
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
