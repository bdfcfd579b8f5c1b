"""Where the time of a run went, from its events alone."""

from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console

from dalsegno.timeline import BAR_CHARACTERS, Timeline, timeline_of
from dalsegno_bus.ids import run_id_of_key
from dalsegno_bus.telemetry import attempt_span_id
from dalsegno_projections.questions import HistoryEntry

RUN = run_id_of_key("ds", "test", "one")
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def entry(version: int, seconds: float, kind: str, **event: Any) -> HistoryEntry:
    return HistoryEntry(
        version=version,
        at=(BEGIN + timedelta(seconds=seconds)).isoformat(),
        by="test",
        cause="",
        kind=f"{kind}.v1",
        task_id=event.get("task_id"),
        digest="",
        sentence="",
        event=event,
    )


ENTRIES = (
    entry(1, 0, "run-started"),
    entry(2, 0, "task-assigned", task_id="a", attempt=1, agent="x"),
    entry(3, 2, "task-failed", task_id="a", attempt=1, queue_seconds=1.0),
    entry(4, 4, "task-assigned", task_id="a", attempt=2, agent="y"),
    entry(5, 6, "task-completed", task_id="a", attempt=2, queue_seconds=0.0),
    entry(6, 6, "signal-awaited", task_id="b", signal="go"),
    entry(7, 8, "signal-received", task_id="b", signal="go"),
    entry(8, 8, "task-assigned", task_id="c", attempt=1, agent="x"),
    entry(9, 10, "context-shared", task_id="c"),
)


def timeline() -> Timeline:
    return timeline_of(str(RUN), ENTRIES)


def test_every_attempt_is_a_span_from_its_assignment_to_its_end() -> None:
    spans = [
        (span.task_id, span.attempt, span.start, span.end, span.outcome)
        for span in timeline().spans
    ]
    assert spans == [
        ("a", 1, 0.0, 2.0, "failed"),
        ("a", 2, 4.0, 6.0, "completed"),
        ("b", 0, 6.0, 8.0, "completed"),
        ("c", 1, 8.0, 10.0, "working"),
    ]


def test_its_ids_are_those_of_the_trace() -> None:
    made = timeline().as_json()
    assert made["trace_id"] == RUN.hex
    assert made["spans"][1]["span_id"] == f"{attempt_span_id(RUN, 'a', 2):016x}"


def test_bars_stand_where_the_time_went() -> None:
    console = Console(width=80, color_system=None)
    with console.capture() as capture:
        console.print(timeline().draw())
    lines = capture.get().splitlines()
    assert "10.0 s" in lines[0]
    tenth = BAR_CHARACTERS // 10
    assert "░" * tenth + "█" * tenth in lines[1]
    assert "a (try 2)" in lines[2]
    assert lines[1].index("░") < lines[2].index("█") < lines[3].index("█") < lines[4].index("█")
    assert max(len(line.rstrip()) for line in lines) <= 80


def test_a_run_that_has_only_begun_can_be_drawn() -> None:
    made = timeline_of(str(RUN), ENTRIES[:2])
    assert [span.end for span in made.spans] == [0.0]
    Console(width=80, file=None).render_lines(made.draw())


def outcomes(*entries: HistoryEntry) -> list[tuple[str, int, str, float]]:
    spans = timeline_of(str(RUN), entries).spans
    return [(span.task_id, span.attempt, span.outcome, span.end) for span in spans]


def test_both_attempts_of_a_hedged_task_are_spans() -> None:
    assert outcomes(
        entry(1, 0, "run-started"),
        entry(2, 0, "task-assigned", task_id="a", attempt=1, agent="slow"),
        entry(3, 1, "task-assigned", task_id="a", attempt=2, agent="quick", hedges=1),
        entry(
            4, 2, "task-completed", task_id="a", attempt=2,
            abandoned=[{"task_id": "a", "attempt": 1, "agent": "slow"}],
        ),
    ) == [("a", 1, "abandoned", 2.0), ("a", 2, "completed", 2.0)]  # fmt: skip


def test_runs_of_sub_workflows_plans_and_handoffs_are_spans() -> None:
    assert outcomes(
        entry(1, 0, "run-started"),
        entry(2, 0, "child-started", task_id="pay", attempt=1),
        entry(3, 0, "task-assigned", task_id="plan", attempt=1, agent="x"),
        entry(4, 0, "task-assigned", task_id="tax", attempt=1, agent="x"),
        entry(5, 1, "plan-proposed", task_id="plan", attempt=1),
        entry(6, 2, "task-handed-off", task_id="tax", attempt=1),
        entry(7, 3, "child-ended", task_id="pay", attempt=1, status="failed"),
    ) == [("pay", 1, "failed", 3.0), ("plan", 1, "completed", 1.0), ("tax", 1, "completed", 2.0)]


def test_what_goes_back_or_ends_with_its_run_is_abandoned() -> None:
    assert outcomes(
        entry(1, 0, "run-started"),
        entry(2, 0, "task-assigned", task_id="a", attempt=1, agent="x"),
        entry(3, 0, "signal-awaited", task_id="b", signal="go"),
        entry(4, 1, "run-rewound", undone=["a"]),
        entry(5, 2, "run-cancelled"),
        entry(6, 9, "run-reopened"),
    ) == [("a", 1, "abandoned", 1.0), ("b", 0, "abandoned", 2.0)]


def test_an_attempt_whose_plan_was_rejected_has_failed() -> None:
    assert outcomes(
        entry(1, 0, "run-started"),
        entry(2, 0, "task-assigned", task_id="p", attempt=1, agent="x"),
        entry(3, 1, "plan-proposed", task_id="p", attempt=1),
        entry(4, 1, "plan-rejected", task_id="p", attempt=1),
        entry(5, 2, "task-assigned", task_id="p", attempt=2, agent="x"),
        entry(6, 3, "plan-proposed", task_id="p", attempt=2),
    ) == [("p", 1, "failed", 1.0), ("p", 2, "completed", 3.0)]
