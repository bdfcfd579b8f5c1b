"""How the row of a run tells of the whole saga: ends, plans, budgets, children."""

from unit.projections.story import (
    OTHER,
    RUN,
    WHY,
    abandoned,
    assigned,
    at,
    budget_exceeded,
    child_ended,
    child_started,
    completed,
    ending,
    failed,
    handed_off,
    history,
    iso,
    not_compensated,
    proposed,
    run_failed,
    scheduled,
    started,
)

from dalsegno_bus.messages import Usage
from dalsegno_orchestrator.workflow import events as e
from dalsegno_projections.views.runs import RUNS, RunRow, RunsView
from dalsegno_projections.views.table import fold

WAITING = e.SignalAwaited(task_id="ok", signal="approval")
PARKED = e.TaskParked(task_id="b", capability="do", reason="no room", waits_for="quota:x")


def row_after(*events: e.Event) -> RunRow:
    row = fold(RunsView(), history(*events)).get(RUNS, (str(RUN),))
    assert row is not None
    return row


def test_a_run_on_its_way_to_an_end_says_so_and_why() -> None:
    row = row_after(started(), assigned("b"), ending("a", stopping=abandoned("b")))
    assert (row.status, row.failed_task, row.error_code) == ("failing", "a", "books.closed")
    assert (row.ended_at, row.tasks) == (None, {"abandoned": 1})
    assert row_after(started(), ending(None, "cancelled")).status == "cancelling"
    undoing = e.CompensationStarted(tasks=("a",))
    assert row_after(started(), ending(), undoing).status == "compensating"


def test_a_report_in_time_counts_while_the_run_ends() -> None:
    stopping = ending("a", stopping=abandoned("b"))
    row = row_after(started(), assigned("b"), stopping, completed("b"), run_failed("a"))
    assert (row.status, row.tasks) == ("failed", {"completed": 1})


def test_what_could_not_be_undone_is_listed_until_it_is_tried_again() -> None:
    over = (started(), assigned("a"), completed("a"), ending(), not_compensated("a", "b"))
    row = row_after(*over)
    assert (row.status, row.uncompensated) == ("compensation_failed", '["a","b"]')
    assert (row.uncompensated_total, row.ended_at, row.failed_task) == (2, iso(4), "a")
    row = row_after(*over, e.RunReopened(tasks=("a", "b"), undoing=True))
    assert (row.status, row.ended_at, row.uncompensated) == ("compensating", None, "[]")
    assert row.tasks == {"completed": 1, "ready": 2}


def test_of_very_many_that_could_not_be_undone_the_first_are_listed() -> None:
    row = row_after(started(), not_compensated(*(f"t{number}" for number in range(1_000))))
    assert row.uncompensated_total == 1_000
    assert len(row.uncompensated) < 2_000


def test_a_run_that_is_retried_runs_again() -> None:
    over = (started(), assigned("a"), failed("a", final=True), run_failed("a"))
    row = row_after(*over, e.RunReopened(tasks=("a",)), assigned("a", 2))
    assert (row.status, row.ended_at, row.error_code, row.failed_task) == (
        "running",
        None,
        None,
        None,
    )
    assert row.tasks == {"assigned": 1}


def test_a_run_that_went_back_has_no_output_any_more() -> None:
    over = (started(), assigned("a"), completed("a"), e.RunCompleted(output=[1]))
    row = row_after(*over, e.RunRewound(task_id="a", undone=("a",)))
    assert (row.status, row.ended_at, row.output, row.output_bytes) == ("running", None, None, 0)
    assert row.tasks == {"undone": 1}


def test_a_run_that_is_paused_stays_so_when_it_goes_back() -> None:
    rewound = e.RunRewound(task_id="a", undone=("a",))
    row = row_after(started(), assigned("a"), e.RunPaused(reason="a look"), rewound)
    assert (row.status, row.paused_reason) == ("paused", "a look")


def test_it_waits_for_limits_and_for_runs_by_their_names() -> None:
    row = row_after(started(), PARKED, child_started("pay"))
    assert row.waiting_for == {"limit quota:x": 1, "run payment": 1}
    row = row_after(started(), PARKED, child_started("pay"), assigned("b"), child_ended("pay"))
    assert row.waiting_for == {}


def test_an_ending_run_waits_for_its_children_only() -> None:
    begun = (started(), WAITING, child_started("pay"), ending(children=(OTHER,)))
    assert row_after(*begun).waiting_for == {"run payment": 1}
    row = row_after(*begun, child_ended("pay", status="cancelled"), run_failed("a"))
    assert row.waiting_for == {}


def test_what_was_waited_for_before_the_end_is_waited_for_again() -> None:
    again = (started(), WAITING, PARKED, run_failed("a"), e.RunReopened(tasks=("a",)))
    assert row_after(*again).waiting_for == {"signal approval": 1, "limit quota:x": 1}
    assert row_after(*again, WAITING, assigned("b")).waiting_for == {"signal approval": 1}
    signal = e.SignalReceived(signal="approval", message_id="m", task_id="ok")
    row = row_after(*again, WAITING, assigned("b"), signal)
    assert (row.waiting_for, row.waiting_before) == ({}, {})


def test_what_was_waited_for_is_kept_through_every_step_of_an_end() -> None:
    over = (started(), WAITING, ending(), PARKED, run_failed("a"))
    row = row_after(*over, e.RunReopened(tasks=("a",)))
    assert row.waiting_for == {"signal approval": 1, "limit quota:x": 1}


def test_a_foreach_that_sank_its_run_stays_open_whatever_its_other_items_do() -> None:
    row = row_after(
        started(),
        e.TasksExpanded(task_id="a", count=2),
        assigned("a-0"),
        assigned("a-1"),
        failed("a-0", final=True),
        ending("a-0", stopping=abandoned("a-1")),
        completed("a-1"),
    )
    assert row.tasks == {"expanded": 1, "failed": 1, "completed": 1}


def test_every_kind_of_report_adds_to_what_it_costs() -> None:
    usage = Usage(usd=0.5, tokens=10)
    row = row_after(
        started(),
        assigned("a"),
        handed_off("a", "other", usage=usage),
        assigned("p"),
        proposed("p", "x", usage=usage),
        child_started("pay"),
        child_ended("pay", status="failed", usage=usage),
    )
    assert (row.usd, row.tokens) == (1.5, 30)


def test_a_budget_that_is_used_up_is_noted_until_it_is_raised() -> None:
    exceeded = budget_exceeded("usd", 2.5, "ask")
    row = row_after(started(), exceeded)
    assert row.budget == "The run has used 2.75 USD of 2.5: it waits for the signal 'budget'."
    assert row_after(started(), exceeded, e.BudgetRaised(usd=9, message_id="m")).budget is None
    assert row_after(started(), exceeded, e.RunResumed(message_id="m")).budget is None


def test_changes_of_the_plan_are_counted() -> None:
    assert row_after(started()).plan_version == 1
    accepted = e.PlanAccepted(task_id="p", plan_version=2)
    replanned = e.RunReplanned(plan_version=3, add={"x": {}})
    migrated = e.RunMigrated(
        plan_version=4, workflow_version=7, definition_digest="d", definition={}
    )
    row = row_after(started(), accepted, replanned)
    assert (row.plan_version, row.workflow_version) == (3, 1)
    row = row_after(started(), accepted, replanned, migrated)
    assert (row.plan_version, row.workflow_version) == (4, 7)


def test_a_run_knows_its_parent() -> None:
    parent = e.Parent(run_id=OTHER, task_id="pay", attempt=1)
    row = row_after(started().model_copy(update={"parent": parent}))
    assert (row.parent_run, row.parent_task) == (str(OTHER), "pay")
    assert row_after(started()).parent_run is None


def test_a_hedged_task_counts_once() -> None:
    hedged = (started(), assigned("a"), assigned("a", 2, "bob", hedges=1))
    assert row_after(*hedged).tasks == {"assigned": 1}
    assert row_after(*hedged, failed("a")).tasks == {"assigned": 1}
    row = row_after(*hedged, failed("a"), failed("a", 2, "bob"))
    assert row.tasks == {"retrying": 1}
    row = row_after(*hedged, completed("a", attempt=2, agent="bob", abandoned=abandoned("a")))
    assert row.tasks == {"completed": 1}


def test_an_item_that_sinks_its_run_in_two_steps_leaves_the_foreach_open() -> None:
    begun = (started(), e.TasksExpanded(task_id="a", count=1), assigned("a-0"))
    sunk = (*begun, failed("a-0", final=True), ending("a-0"), run_failed("a-0"))
    assert row_after(*sunk).tasks == {"expanded": 1, "failed": 1}
    again = (*sunk, e.RunReopened(tasks=("a-0",)), assigned("a-0", 2))
    assert row_after(*again).tasks == {"expanded": 1, "assigned": 1}
    assert row_after(*again, completed("a-0", attempt=2)).tasks == {"completed": 2}
    back = (*sunk, e.RunRewound(task_id="b", undone=("b",)), assigned("a-0", 2))
    tasks = row_after(*back, completed("a-0", attempt=2)).tasks
    assert tasks == {"completed": 2, "undone": 1}


def test_schedules_and_limits_are_no_runs() -> None:
    streams = history(
        scheduled(), e.TickFired(tick=at(1), run_id=RUN), e.LimitSet(limit="quota:x", rate=1.0)
    )
    assert fold(RunsView(), streams).tables[RUNS.name] == {}
    assert WHY.code == "books.closed"
