"""Where the time of a run went: its attempts, one after another, drawn from its history alone.

The ids are those of the trace that is sent to a collector (`telemetry`): same run, same ids.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Final, cast
from uuid import UUID

from rich.table import Table
from rich.text import Text

from dalsegno.output import cell, seconds, status, table
from dalsegno_bus.ids import RunId
from dalsegno_bus.telemetry import attempt_span_id, run_span_id, trace_id
from dalsegno_projections.questions import HistoryEntry

BAR_CHARACTERS: Final = 30


@dataclass(frozen=True, kw_only=True)
class Span:
    """One attempt, run of a sub-workflow, wait or sleep, in seconds since the run began."""

    task_id: str
    attempt: int
    agent: str | None
    outcome: str
    start: float
    end: float
    queue_seconds: float
    span_id: str


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """A run and its attempts, in order of start."""

    run_id: str
    trace_id: str
    span_id: str
    seconds: float
    spans: tuple[Span, ...]

    def as_json(self) -> dict[str, Any]:
        """For programs; times count seconds since the run began."""
        return {
            "run_id": self.run_id,
            "trace_id": self.trace_id,
            "span_id": self.span_id,
            "seconds": self.seconds,
            "spans": [asdict(span) for span in self.spans],
        }

    def draw(self) -> Table:
        """One bar for each attempt, on the scale of the run: light while it waits in a queue."""
        rows = [
            (
                cell(span.task_id if span.attempt < 2 else f"{span.task_id} (try {span.attempt})"),
                status(span.outcome),
                _bar(span, self.seconds),
                seconds(span.end - span.start),
                cell(span.agent or ""),
            )
            for span in self.spans
        ]
        end = seconds(self.seconds)
        scale = f"0 {'-' * (BAR_CHARACTERS - 3 - len(end))} {end}"
        return table("Task", "State", scale, ">Took", "*Agent", rows=rows)


def timeline_of(run_id: str, entries: Sequence[HistoryEntry]) -> Timeline:
    """The timeline of a run, from all of its events so far."""
    began = datetime.fromisoformat(entries[0].at)

    def since(iso: str) -> float:
        return (datetime.fromisoformat(iso) - began).total_seconds()

    now = since(entries[-1].at)
    run = RunId(UUID(run_id))
    open_spans: dict[tuple[str, int], Span] = {}
    """By task and attempt: a hedged task has two that are open."""
    ended: list[Span] = []
    for entry in entries:
        task_id, at = entry.task_id, since(entry.at)
        fields = entry.event or {}
        word = entry.kind.partition(".")[0]
        place = (task_id or "", int(fields.get("attempt", 0)))
        if task_id is not None and word in _BEGINS:
            open_spans[place] = Span(
                task_id=task_id,
                attempt=place[1],
                agent=fields.get("agent"),
                outcome=_BEGINS[word],
                start=at,
                end=now,
                queue_seconds=0.0,
                span_id=f"{attempt_span_id(run, *place):016x}",
            )
        elif place in open_spans and word in _ENDS:
            ended.append(_ended(open_spans.pop(place), word, fields, at))
        elif word == "plan-rejected":  # the attempt that proposed it was no success
            ended = [
                replace(span, outcome="failed") if (span.task_id, span.attempt) == place else span
                for span in ended
            ]
        ended += [
            replace(open_spans.pop(other), outcome="abandoned", end=at)
            for other in _given_up(word, fields, open_spans)
        ]
    spans = sorted(
        (*ended, *open_spans.values()), key=lambda span: (span.start, span.task_id, span.attempt)
    )
    return Timeline(
        run_id=run_id,
        trace_id=f"{trace_id(run):032x}",
        span_id=f"{run_span_id(run):016x}",
        seconds=now,
        spans=tuple(spans),
    )


_ENDS: Final = {
    "task-completed": "completed",
    "task-failed": "failed",
    "task-timed-out": "failed",
    "task-rerouted": "abandoned",
    "task-handed-off": "completed",
    "plan-proposed": "completed",
    "child-ended": "completed",
    "signal-received": "completed",
    "timer-fired": "completed",
}
_BEGINS: Final = {
    "task-assigned": "working",
    "child-started": "delegated",
    "signal-awaited": "waiting",
    "timer-set": "sleeping",
}
_RUN_ENDS: Final = {"run-completed", "run-failed", "run-cancelled", "run-compensation-failed"}


def _given_up(
    word: str, fields: dict[str, Any], open_spans: Iterable[tuple[str, int]]
) -> list[tuple[str, int]]:
    """What an event ends beside what it is about: the loser of a hedge, all when the run ends."""
    if word in _RUN_ENDS:
        return list(open_spans)
    undone = set(cast("list[str]", fields.get("undone") or []))
    listed = cast("list[dict[str, Any]]", fields.get("abandoned") or [])
    lost = {(one["task_id"], one["attempt"]) for one in listed}
    return [place for place in open_spans if place in lost or place[0] in undone]


def _ended(span: Span, word: str, fields: dict[str, Any], at: float) -> Span:
    queued = float(fields.get("queue_seconds", 0.0))
    outcome = str(fields.get("status") or _ENDS[word])
    return replace(span, outcome=outcome, end=at, queue_seconds=queued)


def _bar(span: Span, whole: float) -> Text:
    scale = BAR_CHARACTERS / whole if whole > 0 else 0.0
    start = min(BAR_CHARACTERS - 1, int(span.start * scale))
    end = max(start + 1, min(BAR_CHARACTERS, round(span.end * scale)))
    queued = min(end - start - 1, round(span.queue_seconds * scale))
    bar = Text(" " * start + "░" * queued)
    return bar.append("█" * (end - start - queued), style="cyan")
