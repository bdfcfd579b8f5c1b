from collections.abc import Sequence

from unit.projections.story import (
    RUN,
    assigned,
    at,
    completed,
    failed,
    history,
    iso,
    read,
    registered,
    run_failed,
    started,
)

from dalsegno_bus.messages import Usage
from dalsegno_orchestrator.history import Recorded
from dalsegno_orchestrator.workflow import events as e
from dalsegno_projections.views.runs import RUNS, UNKNOWN_WORKFLOW, RunRow, RunsView
from dalsegno_projections.views.table import fold
from dalsegno_projections.views.values import INTEGER_MAX, JSON_BYTES_MAX


def row_of(recorded: Sequence[Recorded]) -> RunRow:
    row = fold(RunsView(), recorded).get(RUNS, (str(RUN),))
    assert row is not None
    return row


def row_after(*events: e.Event) -> RunRow:
    return row_of(history(*events))


def test_a_run_is_running_from_its_first_event() -> None:
    row = row_after(started({"year": 2025}, team="eu"))
    assert (row.status, row.workflow, row.workflow_version) == ("running", "story", 1)
    assert (row.started_at, row.changed_at, row.ended_at) == (iso(0), iso(0), None)
    assert (row.input, row.input_bytes, row.labels) == ('{"year":2025}', 13, '{"team":"eu"}')
    assert (row.version, row.started_by) == (1, "client:test")


def test_its_tasks_are_counted_by_status() -> None:
    row = row_after(started(), assigned("a"), assigned("b"), completed("a"), assigned("c"))
    assert row.tasks == {"assigned": 2, "completed": 1}
    assert row.version == 5


def test_a_retry_moves_a_task_and_adds_none() -> None:
    retry = e.RetryScheduled(task_id="a", at=at(9), delay_seconds=7.0)
    row = row_after(started(), assigned("a"), failed("a"), retry, assigned("a", 2))
    assert row.tasks == {"assigned": 1}


def test_a_foreach_is_completed_with_its_last_item() -> None:
    begun = [started(), e.TasksExpanded(task_id="a", count=2), assigned("a-0"), assigned("a-1")]
    assert row_after(*begun, completed("a-1")).tasks == {
        "expanded": 1,
        "assigned": 1,
        "completed": 1,
    }
    assert row_after(*begun, completed("a-1"), completed("a-0")).tasks == {"completed": 3}


def test_a_foreach_without_items_is_completed_at_once() -> None:
    assert row_after(started(), e.TasksExpanded(task_id="a", count=0)).tasks == {"completed": 1}


def test_an_item_that_sinks_its_run_leaves_the_foreach_open() -> None:
    row = row_after(
        started(),
        e.TasksExpanded(task_id="a", count=1),
        assigned("a-0"),
        failed("a-0", final=True),
        run_failed("a-0"),
    )
    assert row.tasks == {"expanded": 1, "failed": 1}


def test_what_it_waits_for_is_told_until_it_comes() -> None:
    waiting = e.SignalAwaited(task_id="approve", signal="approval")
    parked = e.TaskParked(task_id="b", capability="finance.gather", reason="nobody can")
    timer = e.TimerSet(task_id="c", at=at(90))
    row = row_after(started(), waiting, parked, timer)
    assert row.waiting_for == {"signal approval": 1, "capability finance.gather": 1, "timer": 1}
    signal = e.SignalReceived(signal="approval", message_id="m", task_id="approve")
    row = row_after(
        started(), waiting, parked, timer, signal, assigned("b"), e.TimerFired(task_id="c")
    )
    assert row.waiting_for == {}
    assert row.tasks == {"completed": 2, "assigned": 1}


def test_it_waits_for_nothing_when_it_has_ended() -> None:
    waiting = e.SignalAwaited(task_id="approve", signal="approval")
    row = row_after(started(), waiting, e.RunCancelled(reason="enough"))
    assert (row.status, row.ended_at, row.waiting_for) == ("cancelled", iso(2), {})
    assert (row.error_code, row.error_message) == ("run.cancelled", "enough")


def test_a_paused_run_stands_so_until_it_goes_on() -> None:
    assert row_after(started(), e.RunPaused(reason="a look")).status == "paused"
    assert row_after(started(), e.RunPaused(), e.RunResumed()).status == "running"


def test_a_completed_run_has_its_output() -> None:
    row = row_after(started(), assigned("a"), completed("a"), e.RunCompleted(output=[1, 2]))
    assert (row.status, row.output, row.output_bytes) == ("completed", "[1,2]", 5)
    assert row.ended_at == iso(3)


def test_a_failed_run_says_why_and_names_the_task() -> None:
    row = row_after(started(), assigned("a"), assigned("b"), run_failed("a", ("b", 1)))
    assert (row.status, row.error_code, row.failed_task) == ("failed", "books.closed", "a")
    assert row.tasks == {"assigned": 1, "abandoned": 1}


def test_usage_adds_up_over_all_attempts() -> None:
    row = row_after(
        started(),
        assigned("a"),
        failed("a", usage=Usage(usd=0.5, tokens=10)),
        assigned("a", 2),
        completed("a", attempt=2, usage=Usage(usd=0.25, tokens=INTEGER_MAX)),
    )
    assert (row.usd, row.tokens) == (0.75, INTEGER_MAX)


def test_a_payload_above_the_bound_stays_in_the_history() -> None:
    row = row_after(started("x" * JSON_BYTES_MAX), e.RunCompleted(output="y" * JSON_BYTES_MAX))
    assert (row.input, row.input_bytes) == (None, JSON_BYTES_MAX + 2)
    assert (row.output, row.output_bytes) == (None, JSON_BYTES_MAX + 2)


def test_a_run_whose_beginning_is_missing_is_followed_all_the_same() -> None:
    recorded = history(started(), assigned("a"), completed("a"))[1:]
    row = row_of(recorded)
    assert (row.workflow, row.version, row.tasks) == (UNKNOWN_WORKFLOW, 3, {"completed": 1})


def test_a_workflow_is_no_run() -> None:
    document = {"workflow": "w", "version": 1, "tasks": {"a": {"capability": "do"}}}
    assert fold(RunsView(), read(registered(document))).tables[RUNS.name] == {}
