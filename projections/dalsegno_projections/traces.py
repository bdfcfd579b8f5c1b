"""Sends the trace of each run when it has ended, and of any old run when somebody asks.

A projection like the others: it follows the history and keeps its position beside the views'. Spans
go out before the position moves, so that a crash sends a trace twice (with the same ids) and loses
none. Two services that follow with tracing both send; run one, or let one have no endpoint.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Protocol
from uuid import UUID

from dalsegno_bus.errors import SettingsError, Unavailable, UsageError
from dalsegno_bus.ids import RunId
from dalsegno_bus.telemetry import FinishedSpan, trace_id
from dalsegno_orchestrator.history import Recorded, UnreadableEvent
from dalsegno_orchestrator.workflow.events import (
    RunCancelled,
    RunCompensationFailed,
    RunCompleted,
    RunFailed,
)
from dalsegno_projections import questions as q
from dalsegno_projections.answers import Store
from dalsegno_projections.finding import find_run
from dalsegno_projections.parking import parked_row, tried, unreadable_row
from dalsegno_projections.reading import BATCH_EVENTS_MAX, Reader
from dalsegno_projections.spans import spans_of
from dalsegno_projections.storage.rows import Advance, ParkedRow, PositionMoved, Rows

TRACES: Final = "traces"
"""The name that the position is kept under."""
SPANS_MAX: Final = 5_000
"""How many spans are collected before they are sent."""


_ENDS: Final = (RunCompleted, RunFailed, RunCancelled, RunCompensationFailed)
"""Also of a run that ended before and was taken up again: its trace goes out once more, whole."""


class Exporter(Protocol):
    """Where spans go: `telemetry.Tracing`."""

    def export(self, spans: Sequence[FinishedSpan]) -> None:
        """Send spans, blocking.

        Raises:
            Unavailable: Not all were taken.
        """
        ...


class TraceProjector:
    """Follows the history and sends what has ended. Belongs to one thread at a time."""

    def __init__(
        self,
        store: Store,
        rows: Rows,
        exporter: Exporter,
        *,
        batch_events_max: int = BATCH_EVENTS_MAX,
    ) -> None:
        self._store = store
        self._rows = rows
        self._exporter = exporter
        self._reader = Reader(store, batch_events_max=batch_events_max)

    def step(self) -> bool:
        """Send the runs that ended in the next batch of events; tell whether there may be more.

        Raises:
            Unavailable: The store, the views' database or the trace endpoint cannot be reached;
                the batch is sent again later.
        """
        after = self._rows.position(TRACES)
        batch = self._reader.read(after)
        parked: list[ParkedRow] = []
        if isinstance(batch, UnreadableEvent):
            parked.append(unreadable_row(TRACES, batch))
            newest = batch.position
        elif not batch:
            return False
        else:
            self._send_ended(batch, parked)
            newest = batch[-1].position
        with suppress(PositionMoved):  # by another process: the next step looks where it is
            self._rows.write([Advance(view=TRACES, before=after, after=newest)], parked)
        return True

    def _send_ended(self, batch: Sequence[Recorded], parked: list[ParkedRow]) -> None:
        spans: list[FinishedSpan] = []
        for recorded in batch:
            if not isinstance(recorded.event, _ENDS):
                continue
            made = tried(self._spans_of, recorded)
            if isinstance(made, Unavailable):
                raise made
            if isinstance(made, Exception):
                parked.append(parked_row(TRACES, recorded, made))
                continue
            spans += made
            if len(spans) >= SPANS_MAX:
                self._exporter.export(spans)
                spans = []
        if spans:
            self._exporter.export(spans)

    def _spans_of(self, end: Recorded) -> list[FinishedSpan]:
        return spans_of(self._store.read(end.stream_id, until=end.version))


class TraceSender:
    """Sends one run's trace again, when asked.

    Args:
        rows: Where the view of runs lies.
        store: The event store.
        exporter: Where spans go; None: no endpoint is set.
    """

    def __init__(self, rows: Rows, store: Store, exporter: Exporter | None) -> None:
        self._rows = rows
        self._store = store
        self._exporter = exporter

    def send(self, question: q.AskTrace) -> q.TraceSent:
        """Send the trace of a run.

        Raises:
            SettingsError: There is no endpoint to send it to.
            UsageError: There is no such run, or it has not ended.
            Unavailable: The endpoint did not take it.
        """
        if self._exporter is None:
            raise SettingsError(
                "the projections service has nowhere to send traces: set "
                "OTEL_EXPORTER_OTLP_ENDPOINT for it, such as http://127.0.0.1:4317, and start it "
                "again"
            )
        row = find_run(self._rows, self._store, question.run_id)
        run_id = RunId(UUID(row.run_id))
        spans = spans_of(self._store.read(run_id))
        if not spans:
            raise UsageError(f"run {run_id} has not ended; its trace is sent when it does")
        self._exporter.export(spans)
        return q.TraceSent(
            run_id=str(run_id), trace_id=f"{trace_id(run_id):032x}", spans=len(spans)
        )
