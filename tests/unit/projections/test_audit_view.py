from typing import get_args

import pytest
from unit.projections.sentences import OF_PLANS, OF_RUNS, OF_STREAMS, OF_TASKS
from unit.projections.story import (
    RUN,
    assigned,
    at,
    budget_exceeded,
    completed,
    failed,
    history,
    iso,
    started,
)

from dalsegno_bus.messages import Failure
from dalsegno_orchestrator.workflow import events as e
from dalsegno_projections.sentences import sentence_of
from dalsegno_projections.sentences.words import lasting
from dalsegno_projections.views.audit import AUDIT, AuditRow, AuditView
from dalsegno_projections.views.table import fold

WHY = Failure(code="x", message="the books are closed.")

SENTENCES: list[tuple[e.Event, str]] = [
    (started(), "A run of story (version 1) was accepted."),
    (assigned("a"), "Attempt 1 of a went to ann (the only one)."),
    (completed("a"), "ann completed attempt 1 of a in 500 ms."),
    (
        e.TaskParked(task_id="a", capability="do", reason="nobody can do"),
        "a is parked: nobody can do.",
    ),
    (e.TasksExpanded(task_id="a", count=1), "a became 1 task, one for each item."),
    (e.TasksExpanded(task_id="a", count=3), "a became 3 tasks, one for each item."),
    (failed("a"), "Attempt 1 of a failed and is tried again at ann: the books are closed."),
    (failed("a", final=True), "Attempt 1 of a failed for good at ann: the books are closed."),
    (failed("a", 0, None, final=True), "a could not begin: the books are closed."),
    (
        e.TaskTimedOut(
            task_id="a", attempt=2, agent="ann", waited_for="queue", error=WHY, final=False
        ),
        "Attempt 2 of a timed out and is tried again: the books are closed.",
    ),
    (
        e.TaskTimedOut(task_id="ok", attempt=0, waited_for="signal", error=WHY, final=True),
        "ok timed out for good: the books are closed.",
    ),
    (
        e.RetryScheduled(task_id="a", at=at(9), delay_seconds=7.25),
        "a is tried again after 7.25 s.",
    ),
    (
        e.TaskRerouted(task_id="a", attempt=1, agent="ann", reason="ann is gone"),
        "Attempt 1 of a was taken from ann: ann is gone.",
    ),
    (e.TaskSkipped(task_id="a", reason="not ${ x }"), "a was skipped: not ${ x }."),
    (
        e.ContextShared(task_id="a", attempt=1, agent="ann", key="region", key_version=2),
        "ann shared 'region' (version 2) from a.",
    ),
    (
        e.SignalAwaited(task_id="ok", signal="approval"),
        "ok waits for the signal 'approval'.",
    ),
    (
        e.SignalAwaited(task_id="ok", signal="approval", until=at(60)),
        "ok waits for the signal 'approval' until 2026-01-01 00:01:00 UTC.",
    ),
    (
        e.SignalReceived(signal="approval", message_id="m", task_id="ok"),
        "The signal 'approval' came in; ok took it.",
    ),
    (
        e.SignalReceived(signal="approval", message_id="m"),
        "The signal 'approval' came in; nobody waits for it yet.",
    ),
    (
        e.SignalTaken(task_id="ok", signal="approval"),
        "ok took the signal 'approval', which had come before.",
    ),
    (e.TimerSet(task_id="nap", at=at(60)), "nap sleeps until 2026-01-01 00:01:00 UTC."),
    (e.TimerFired(task_id="nap"), "nap has slept enough."),
    (e.RunCompleted(), "The run completed."),
    (e.RunFailed(task_id="a", error=WHY), "The run failed because of a: the books are closed."),
    (e.RunFailed(error=WHY), "The run failed: the books are closed."),
    (e.RunCancelled(reason=""), "The run was cancelled."),
    (e.RunCancelled(reason="enough"), "The run was cancelled: enough."),
    (e.RunPaused(reason=""), "The run was paused."),
    (e.RunPaused(reason="a look first"), "The run was paused: a look first."),
    (e.RunResumed(), "The run goes on."),
    (
        e.WorkflowRegistered(
            workflow="w", workflow_version=3, definition_digest="d", definition={}
        ),
        "Version 3 of w was registered.",
    ),
    *OF_TASKS,
    *OF_RUNS,
    *OF_PLANS,
    *OF_STREAMS,
]


@pytest.mark.parametrize(("event", "sentence"), SENTENCES, ids=lambda value: str(value)[:40])
def test_every_event_is_one_sentence(event: e.Event, sentence: str) -> None:
    assert sentence_of(event) == sentence


def test_no_kind_of_event_is_without_a_sentence_here() -> None:
    assert {type(event) for event, _ in SENTENCES} == set(get_args(e.Event))


def test_a_sentence_quotes_others_on_one_line_and_not_for_ever() -> None:
    error = Failure(code="x", message="first\nsecond " + "x" * 10_000)
    sentence = sentence_of(e.RunFailed(error=error))
    assert sentence.startswith("The run failed: first second x")
    assert len(sentence) < 400


def test_the_trail_has_one_row_for_each_event() -> None:
    recorded = history(started(), assigned("a"), completed("a"))
    rows = fold(AuditView(), recorded).tables[AUDIT.name]
    assert list(rows) == [(1,), (2,), (3,)]
    row = rows[2,]
    assert isinstance(row, AuditRow)
    assert (row.stream_id, row.version, row.at, row.task_id) == (str(RUN), 2, iso(1), "a")
    assert (row.kind, row.by, row.cause) == ("task-assigned.v1", "client:test", "m2")
    assert row.digest == recorded[1].digest.hex() == recorded[2].previous.hex()
    assert row.sentence == "Attempt 1 of a went to ann (the only one)."


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0000814, "<1 ms"),
        (0.402, "402 ms"),
        (7.25, "7.25 s"),
        (0.0, "0 ms"),
        (60.0, "1 min 00 s"),
        (7_500.0, "2 h 05 min"),
    ],
)
def test_a_duration_is_told_as_people_say_it(seconds: float, words: str) -> None:
    assert lasting(seconds) == words


def test_the_answer_that_stops_a_run_is_told_as_one() -> None:
    told = e.SignalReceived(signal="budget", payload={"stop": True}, message_id="m")
    assert sentence_of(told) == "The signal 'budget' came in: the run shall stop."


def test_no_task_is_called_the_dearest_that_cost_no_more_than_the_others() -> None:
    told = budget_exceeded("usd", 2.5, "pause", by_task={"a": 1.0, "b": 1.0})
    assert "most of it" not in sentence_of(told)
