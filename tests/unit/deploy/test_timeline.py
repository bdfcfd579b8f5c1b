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
