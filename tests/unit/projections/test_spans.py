from unit.projections.story import (
    OTHER,
    RUN,
    WHY,
    abandoned,
    asked,
    assigned,
    at,
    child_ended,
    child_started,
    completed,
    ending,
    failed,
    history,
    not_compensated,
    run_failed,
    run_of,
    started,
)

from dalsegno_bus import telemetry as t
from dalsegno_bus.messages import Failure, Usage
from dalsegno_orchestrator.workflow import events as e
from dalsegno_projections.families import (
    CHILD_RUN,
    CHILD_TRACE,
    PARENT_RUN,
    PARENT_SPAN,
    PARENT_TASK,
    SCHEDULE,
)
from dalsegno_projections.spans import (
    EVENTS_MAX,
    HEDGES,
    nanoseconds,
    spans_of,
)


def ns(second: float) -> int:
    return nanoseconds(at(second))


def spans_after(*events: e.Event) -> dict[str, t.FinishedSpan]:
    return {span.name: span for span in spans_of(history(*events))}


def test_a_time_is_exact_to_the_microsecond() -> None:
    assert nanoseconds(at(0.000001)) - nanoseconds(at(0)) == 1_000


def test_a_run_is_the_root_of_its_trace() -> None:
    spans = spans_of(history(started(None, team="eu"), e.RunCompleted()))
    (root,) = spans
    assert (root.name, root.trace_id, root.parent_span_id) == ("run story", RUN.int, None)
    assert root.span_id == t.run_span_id(RUN)
    assert (root.start_ns, root.end_ns, root.error) == (ns(0), ns(1), None)
    assert root.attributes == {
        t.RUN_ID: str(RUN),
        t.WORKFLOW: "story",
        t.WORKFLOW_VERSION: 1,
        t.RUN_STATUS: "completed",
        "dalsegno.label.team": "eu",
    }


def test_a_run_that_goes_on_has_no_spans_yet() -> None:
    assert spans_of(history(started(), assigned("a"), completed("a"))) == []


def test_an_attempt_lasts_from_its_assignment_to_its_report() -> None:
    usage = Usage(usd=0.5, tokens=7)
    span = spans_after(started(), assigned("a"), completed("a", usage=usage), e.RunCompleted())[
        "task a"
    ]
    assert span.span_id == t.attempt_span_id(RUN, "a", 1)
    assert span.parent_span_id == t.run_span_id(RUN)
    assert (span.start_ns, span.end_ns, span.error, span.kind) == (ns(1), ns(2), None, "client")
    assert span.attributes == {
        t.RUN_ID: str(RUN),
        t.WORKFLOW: "story",
        t.TASK_ID: "a",
        t.ATTEMPT: 1,
        t.OPERATION: t.INVOKE_AGENT,
        t.AGENT: "ann",
        t.CAPABILITY: "do",
        t.REASON: "the only one",
        t.TASK_STATUS: "completed",
        t.REPLICA: "r1",
        t.QUEUE_SECONDS: 0.25,
        t.WORK_SECONDS: 0.5,
        t.COST_USD: 0.5,
        t.TOKENS: 7,
    }


def test_each_attempt_is_a_span_and_the_failed_one_says_why() -> None:
    retry = e.RetryScheduled(task_id="a", at=at(9), delay_seconds=7.0)
    spans = spans_of(
        history(
            started(), assigned("a"), failed("a"), retry, assigned("a", 2),
            completed("a", attempt=2), e.RunCompleted(),
        )
    )  # fmt: skip
    first, second = spans[1:]
    assert first.span_id != second.span_id
    assert (first.error, first.attributes[t.ERROR_TYPE]) == ("the books are closed", "books.closed")
    (event,) = first.events
    assert (event.name, event.at_ns) == ("retry scheduled", ns(3))
    assert event.attributes == {"dalsegno.delay_seconds": 7.0}
    assert (second.error, second.attributes[t.ATTEMPT]) == (None, 2)


def test_what_nobody_finished_ends_with_the_run() -> None:
    waiting = e.SignalAwaited(task_id="ok", signal="approval")
    spans = spans_after(started(), assigned("a"), waiting, run_failed("b", ("a", 1)))
    for name in ("task a", "wait approval"):
        assert spans[name].end_ns == ns(3)
        assert spans[name].attributes[t.TASK_STATUS] == "abandoned"
    root = spans["run story"]
    assert (root.error, root.attributes[t.RUN_STATUS]) == ("the books are closed", "failed")


def test_a_timeout_and_a_reroute_are_errors_of_their_attempts() -> None:
    late = e.TaskTimedOut(
        task_id="a", attempt=1, agent="ann", waited_for="attempt",
        error=Failure(code="task.timeout", message="too late"), final=False,
    )  # fmt: skip
    away = e.TaskRerouted(task_id="b", attempt=1, agent="ann", reason="ann is gone")
    spans = spans_after(
        started(), assigned("a"), assigned("b"), late, away, e.RunCancelled(reason="enough")
    )
    assert spans["task a"].attributes[t.ERROR_TYPE] == "task.timeout"
    assert (spans["task b"].error, spans["task b"].end_ns) == ("ann is gone", ns(4))
    assert spans["run story"].error is None
    assert spans["run story"].attributes[t.RUN_STATUS] == "cancelled"


def test_waits_and_sleeps_are_spans_too() -> None:
    spans = spans_after(
        started(),
        e.SignalAwaited(task_id="ok", signal="approval"),
        e.TimerSet(task_id="nap", at=at(9)),
        e.SignalReceived(signal="approval", message_id="m", task_id="ok"),
        e.TimerFired(task_id="nap"),
        e.RunCompleted(),
    )
    assert (spans["wait approval"].start_ns, spans["wait approval"].end_ns) == (ns(1), ns(3))
    assert (spans["sleep nap"].start_ns, spans["sleep nap"].end_ns) == (ns(2), ns(4))
    assert spans["sleep nap"].span_id == t.attempt_span_id(RUN, "nap", 0)
    assert [event.name for event in spans["run story"].events] == ["signal received"]


def test_what_could_not_begin_is_a_span_without_length() -> None:
    span = spans_after(started(), failed("a", 0, None, final=True), run_failed("a"))["task a"]
    assert (span.start_ns, span.end_ns) == (ns(1), ns(1))
    assert span.error == "the books are closed"


def test_moments_are_events_of_the_run_or_of_the_attempt() -> None:
    spans = spans_after(
        started(),
        e.TaskParked(task_id="a", capability="do", reason="nobody can"),
        e.TasksExpanded(task_id="f", count=0),
        assigned("a"),
        e.ContextShared(task_id="a", attempt=1, agent="ann", key="k", key_version=1),
        completed("a"),
        e.TaskSkipped(task_id="s", reason="no need"),
        e.SignalReceived(signal="x", message_id="m"),
        e.SignalTaken(task_id="w", signal="x"),
        e.RunCompleted(),
    )
    assert [event.name for event in spans["run story"].events] == [
        "task parked",
        "task expanded",
        "task skipped",
        "signal received",
        "signal taken",
    ]
    assert [event.name for event in spans["task a"].events] == ["context shared"]


def test_events_of_a_span_are_bounded_and_the_rest_is_counted() -> None:
    skipped = [e.TaskSkipped(task_id=f"t{n}", reason="no") for n in range(EVENTS_MAX + 3)]
    root = spans_after(started(), *skipped, e.RunCompleted())["run story"]
    assert len(root.events) == EVENTS_MAX
    assert root.attributes["dalsegno.events.left_out"] == 3


def test_both_attempts_of_a_hedged_task_are_spans_and_one_was_abandoned() -> None:
    first, second = spans_of(
        history(
            started(),
            assigned("a"),
            assigned("a", 2, "bob", hedges=1),
            completed("a", attempt=2, agent="bob", abandoned=abandoned("a")),
            e.RunCompleted(),
        )
    )[1:]
    assert (first.attributes[t.ATTEMPT], first.attributes[t.TASK_STATUS]) == (1, "abandoned")
    assert (first.error, first.end_ns) == (None, ns(3))
    assert (second.attributes[t.TASK_STATUS], second.attributes[HEDGES]) == ("completed", 1)


def test_a_sub_workflow_names_its_run_and_the_run_names_its_parent() -> None:
    span = spans_after(
        started(), child_started("pay", run=OTHER), child_ended("pay", run=OTHER), e.RunCompleted()
    )["task pay"]
    assert (span.attributes[CHILD_RUN], span.attributes[CHILD_TRACE]) == (str(OTHER), OTHER.hex)
    assert (span.start_ns, span.end_ns) == (ns(1), ns(2))
    parent = e.Parent(run_id=RUN, task_id="pay", attempt=1)
    begun = started().model_copy(update={"parent": parent})
    root = spans_of(history(begun, e.RunCompleted(), stream=OTHER))[0]
    assert (root.attributes[PARENT_RUN], root.attributes[PARENT_TASK]) == (str(RUN), "pay")
    assert root.attributes[PARENT_SPAN] == f"{span.span_id:016x}"


def test_a_sub_workflow_and_its_run_link_to_each_other() -> None:
    again = child_ended("pay", run=OTHER, status="failed", final=False)
    third = run_of("three")
    first, second = spans_of(
        history(
            started(),
            child_started("pay", run=OTHER),
            again,
            child_started("pay", 2, run=third),
            child_ended("pay", 2, run=third),
            e.RunCompleted(),
        )
    )[1:]
    parent = e.Parent(run_id=RUN, task_id="pay", attempt=1)
    begun = started().model_copy(update={"parent": parent})
    root = spans_of(history(begun, e.RunCompleted(), stream=OTHER))[0]
    (down,), (up,), (other,) = first.links, root.links, second.links
    assert (down.trace_id, down.span_id) == (root.trace_id, root.span_id)
    assert (up.trace_id, up.span_id) == (first.trace_id, first.span_id)
    assert down.attributes == {t.LINK: "child", CHILD_RUN: str(OTHER)}
    assert up.attributes == {t.LINK: "parent", PARENT_RUN: str(RUN), PARENT_TASK: "pay"}
    assert (other.trace_id, other.span_id) == (third.int, t.run_span_id(third))


def test_a_run_that_a_client_or_a_schedule_started_links_to_nothing() -> None:
    of_schedule = started().model_copy(update={"parent": e.Parent(run_id=OTHER)})
    for begun in (started(), of_schedule):
        spans = spans_of(history(begun, assigned("a"), completed("a"), e.RunCompleted()))
        assert [span.links for span in spans] == [[], []]
    assert spans_of(history(of_schedule, e.RunCompleted()))[0].attributes[SCHEDULE] == str(OTHER)


def test_the_attempts_that_answer_a_question_lie_below_the_one_that_asked() -> None:
    spans = spans_after(
        started(),
        assigned("a"),
        asked("a"),
        assigned("a-ask-q1"),
        completed("a-ask-q1"),
        completed("a"),
        e.RunCompleted(),
    )
    assert spans["task a-ask-q1"].parent_span_id == spans["task a"].span_id
    assert [event.name for event in spans["task a"].events] == ["question asked"]


def test_undoing_is_told_by_spans_of_its_own() -> None:
    spans = spans_after(
        started(),
        assigned("a"),
        completed("a"),
        ending("b"),
        e.CompensationStarted(tasks=("a",)),
        assigned("a-undo"),
        failed("a-undo", final=True),
        e.CompensationFailed(task_id="a", error=WHY),
        not_compensated("a"),
    )
    root = spans["run story"]
    assert root.attributes[t.RUN_STATUS] == "compensation_failed"
    assert (root.error, spans["task a-undo"].error) == (WHY.message, WHY.message)
    assert [event.name for event in root.events] == [
        "ending",
        "compensation started",
        "compensation failed",
    ]


def test_a_run_that_is_taken_up_again_ends_again() -> None:
    wait = e.SignalAwaited(task_id="ok", signal="approval")
    over = (started(), wait, assigned("a"), failed("a", final=True), run_failed("a"))
    again = e.RunReopened(tasks=("a",), reason="mended")
    assert spans_of(history(*over, again)) == []
    signal = e.SignalReceived(signal="approval", message_id="m", task_id="ok")
    spans = spans_of(
        history(*over, again, wait, assigned("a", 2), completed("a", attempt=2), signal,
                e.RunCompleted())
    )  # fmt: skip
    assert (spans[0].end_ns, spans[0].error) == (ns(10), None)
    assert spans[0].attributes[t.RUN_STATUS] == "completed"
    waits = [span for span in spans if span.name == "wait approval"]
    assert [span.attributes[t.TASK_STATUS] for span in waits] == ["abandoned", "completed"]
    assert len({span.span_id for span in spans}) == len(spans)


def test_what_the_run_went_back_before_is_undone() -> None:
    wait = e.SignalAwaited(task_id="ok", signal="approval")
    back = e.RunRewound(task_id="a", undone=("a", "ok"))
    spans = spans_of(history(started(), assigned("a"), wait, back, e.RunCancelled(reason="")))
    assert [span.attributes.get(t.TASK_STATUS) for span in spans[1:]] == ["undone", "undone"]
    assert {span.end_ns for span in spans[1:]} == {ns(3)}
