import orjson
from unit.projections.story import RUN, assigned, at, completed, failed, history, iso, started

from dalsegno_bus.messages import Failure, Usage
from dalsegno_orchestrator.workflow import events as e
from dalsegno_projections.views.table import fold
from dalsegno_projections.views.tasks import TASKS, TaskRow, TasksView
from dalsegno_projections.views.values import JSON_BYTES_MAX, TEXT_CHARACTERS_MAX


def tasks_after(*events: e.Event) -> dict[str, TaskRow]:
    found = fold(TasksView(), history(*events))
    return {row.task_id: row for row in found.tables[TASKS.name].values()}


def task_after(*events: e.Event) -> TaskRow:
    (row,) = tasks_after(*events).values()
    return row


def test_an_assignment_says_to_whom_and_why() -> None:
    row = task_after(started(), assigned("a"))
    assert (row.status, row.attempt, row.agent, row.capability) == ("assigned", 1, "ann", "do")
    assert (row.reason, row.assigned_at) == ("the only one", iso(1))
    assert (row.run_id, row.step, row.index) == (str(RUN), "a", None)
    assert row.candidates is not None
    assert orjson.loads(row.candidates) == [
        {"agent": "ann", "score": 0.5, "open_attempts": 0, "live": True}
    ]


def test_a_completed_task_has_its_output_and_its_times() -> None:
    usage = Usage(usd=0.5, tokens=7)
    row = task_after(started(), assigned("a"), completed("a", {"n": 1}, usage=usage))
    assert (row.status, row.output, row.output_bytes) == ("completed", '{"n":1}', 7)
    assert (row.queue_seconds, row.work_seconds, row.replica) == (0.25, 0.5, "r1")
    assert (row.usd, row.tokens) == (0.5, 7)
    assert (row.began_at, row.completed_at, row.changed_at) == (iso(1), iso(2), iso(2))


def test_a_failure_is_kept_when_the_next_attempt_succeeds() -> None:
    retry = e.RetryScheduled(task_id="a", at=at(9), delay_seconds=7.0)
    row = task_after(started(), assigned("a"), failed("a"), retry)
    assert (row.status, row.retry_at, row.failures) == ("retrying", iso(9), 1)
    assert (row.error_code, row.completed_at) == ("books.closed", None)
    row = task_after(
        started(), assigned("a"), failed("a"), retry, assigned("a", 2, "bob"),
        completed("a", attempt=2, agent="bob"),
    )  # fmt: skip
    assert (row.status, row.attempt, row.agent) == ("completed", 2, "bob")
    assert (row.retry_at, row.failures, row.error_code) == (None, 1, "books.closed")


def test_a_parked_task_says_what_it_lacks_until_it_is_assigned() -> None:
    parked = e.TaskParked(task_id="a", capability="finance.gather", reason="nobody can")
    row = task_after(started(), parked)
    assert (row.status, row.capability, row.parked_reason) == (
        "parked",
        "finance.gather",
        "nobody can",
    )
    assert row.waits_for is None
    assert task_after(started(), parked, assigned("a")).parked_reason is None


def test_a_parked_task_names_its_limit_while_it_is_parked() -> None:
    parked = e.TaskParked(
        task_id="a", capability="do", reason="it is used up", waits_for="quota:tpm"
    )
    nobody = e.TaskParked(task_id="a", capability="do", reason="nobody can")
    rewound = e.RunRewound(task_id="a", undone=("a",))
    assert task_after(started(), parked).waits_for == "quota:tpm"
    for after in (assigned("a"), nobody, rewound, e.TaskSkipped(task_id="a", reason="no need")):
        assert task_after(started(), parked, after).waits_for is None, after


def test_items_know_their_step_and_their_place_in_it() -> None:
    tasks = tasks_after(
        started(), e.TasksExpanded(task_id="a", count=12), assigned("a-0"), assigned("a-11")
    )
    assert (tasks["a"].status, tasks["a"].items) == ("expanded", 12)
    assert (tasks["a-11"].step, tasks["a-11"].index) == ("a", 11)


def test_a_number_beyond_the_items_is_no_item() -> None:
    tasks = tasks_after(
        started(), e.TasksExpanded(task_id="a", count=2), assigned("a-2"), assigned("a-01")
    )
    assert [(row.step, row.index) for row in tasks.values()][1:] == [("a-2", None), ("a-01", None)]


def test_a_foreach_ends_with_its_last_item_whatever_became_of_it() -> None:
    begun = (started(), e.TasksExpanded(task_id="a", count=2), assigned("a-0"), assigned("a-1"))
    tasks = tasks_after(*begun, failed("a-0", final=True))
    assert (tasks["a"].status, tasks["a"].items_over, tasks["a"].completed_at) == (
        "expanded",
        1,
        None,
    )
    tasks = tasks_after(*begun, failed("a-0", final=True), completed("a-1"))
    assert (tasks["a"].status, tasks["a"].completed_at) == ("completed", iso(5))
    assert (tasks["a-0"].status, tasks["a-1"].status) == ("failed", "completed")


def test_a_wait_ends_with_the_signal_and_takes_its_payload() -> None:
    waiting = e.SignalAwaited(task_id="ok", signal="approval", until=at(60))
    row = task_after(started(), waiting)
    assert (row.status, row.signal, row.until) == ("waiting", "approval", iso(60))
    signal = e.SignalReceived(signal="approval", payload=True, message_id="m", task_id="ok")
    row = task_after(started(), waiting, signal)
    assert (row.status, row.output, row.completed_at) == ("completed", "true", iso(2))


def test_a_signal_that_nobody_waits_for_moves_nothing() -> None:
    signal = e.SignalReceived(signal="approval", message_id="m")
    assert tasks_after(started(), signal) == {}
    taken = e.SignalTaken(task_id="ok", signal="approval")
    assert task_after(started(), signal, taken).status == "completed"


def test_a_sleep_lasts_until_its_timer_fires() -> None:
    row = task_after(started(), e.TimerSet(task_id="nap", at=at(90)))
    assert (row.status, row.until) == ("sleeping", iso(90))
    row = task_after(started(), e.TimerSet(task_id="nap", at=at(90)), e.TimerFired(task_id="nap"))
    assert row.status == "completed"


def test_a_timeout_counts_as_a_failure() -> None:
    late = e.TaskTimedOut(
        task_id="a",
        attempt=1,
        agent="ann",
        waited_for="attempt",
        error=Failure(code="task.timeout", message="too late"),
        final=True,
    )
    row = task_after(started(), assigned("a"), late)
    assert (row.status, row.failures, row.error_code) == ("failed", 1, "task.timeout")
    assert row.completed_at == iso(2)


def test_a_rerouted_task_is_ready_for_somebody_else() -> None:
    away = e.TaskRerouted(task_id="a", attempt=1, agent="ann", reason="gone")
    assert task_after(started(), assigned("a"), away).status == "ready"


def test_an_attempt_under_way_is_abandoned_when_its_run_ends() -> None:
    abandoned = (e.Abandoned(task_id="a", attempt=1, agent="ann"),)
    row = task_after(started(), assigned("a"), e.RunCancelled(reason="", abandoned=abandoned))
    assert (row.status, row.completed_at) == ("abandoned", iso(2))


def test_a_skipped_task_is_over() -> None:
    row = task_after(started(), e.TaskSkipped(task_id="a", reason="not now"))
    assert (row.status, row.completed_at) == ("skipped", iso(1))


def test_words_and_payloads_from_outside_are_bounded() -> None:
    long = Failure(code="x", message="m\x00" * TEXT_CHARACTERS_MAX)
    event = e.TaskFailed(
        task_id="a", attempt=1, agent="ann", replica="r\x00", error=long, retryable=False,
        final=True,
    )  # fmt: skip
    row = task_after(started(), assigned("a"), event)
    assert row.error_message is not None
    assert len(row.error_message) == TEXT_CHARACTERS_MAX
    assert "\x00" not in row.error_message + (row.replica or "")
    row = task_after(started(), assigned("a"), completed("a", "x" * JSON_BYTES_MAX))
    assert (row.output, row.output_bytes) == (None, JSON_BYTES_MAX + 2)
