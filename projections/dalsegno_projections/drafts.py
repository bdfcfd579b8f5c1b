"""Spans in the making: what is known of each until its run has ended."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from dalsegno_bus import telemetry as t
from dalsegno_bus.messages import Failure, Usage
from dalsegno_projections.views.values import text

EVENTS_MAX: Final = 500
"""How many events one span tells of; what comes beyond is counted."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def nanoseconds(at: datetime) -> int:
    """A time as traces count it: nanoseconds since 1970 (UTC)."""
    return (at - _EPOCH) // _MICROSECOND * 1_000


@dataclass(slots=True, kw_only=True)
class Draft:
    """A span in the making."""

    name: str
    span_id: int
    start_ns: int
    end_ns: int | None = None
    attributes: dict[str, t.Attribute]
    error: str | None = None
    events: list[t.SpanEvent] = field(default_factory=list[t.SpanEvent])
    events_left_out: int = 0
    links: list[t.SpanLink] = field(default_factory=list[t.SpanLink])
    kind: t.Kind = "internal"
    parent_span_id: int | None = None
    """None: the run itself."""

    def tell(self, name: str, at_ns: int, **attributes: t.Attribute) -> None:
        """Add an event."""
        if len(self.events) >= EVENTS_MAX:
            self.events_left_out += 1
            return
        named = {f"dalsegno.{key}": value for key, value in attributes.items()}
        self.events.append(t.SpanEvent(name=name, at_ns=at_ns, attributes=named))

    def fail(self, error: Failure) -> None:
        """Say why it failed."""
        self.error = text(error.message)
        self.attributes[t.ERROR_TYPE] = text(error.code)

    def unfail(self) -> None:
        """It goes on after all."""
        self.error = None
        self.attributes.pop(t.ERROR_TYPE, None)

    def end(self, at_ns: int, status: str) -> None:
        """End it; the first end counts."""
        if self.end_ns is None:
            self.end_ns = at_ns
        self.attributes[t.TASK_STATUS] = status

    def spend(self, usage: Usage | None) -> None:
        """Say what it cost."""
        if usage is not None:
            self.attributes[t.COST_USD] = usage.usd
            self.attributes[t.TOKENS] = usage.tokens

    def finished(self, trace_id: int, parent_span_id: int | None, end_ns: int) -> t.FinishedSpan:
        """The span; still open, it ends with its run."""
        if self.events_left_out:
            self.attributes["dalsegno.events.left_out"] = self.events_left_out
        return t.FinishedSpan(
            name=self.name,
            trace_id=trace_id,
            span_id=self.span_id,
            parent_span_id=parent_span_id if self.parent_span_id is None else self.parent_span_id,
            start_ns=self.start_ns,
            end_ns=end_ns if self.end_ns is None else self.end_ns,
            attributes=self.attributes,
            error=self.error,
            events=self.events,
            links=self.links,
            kind=self.kind,
        )
