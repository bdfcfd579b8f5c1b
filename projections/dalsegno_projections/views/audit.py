"""The audit trail: every event that was ever recorded, who caused it, and a sentence about it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from dalsegno_projections.sentences import sentence_of
from dalsegno_projections.views.table import AnyTable, Change, Entry, Found, Key, Table
from dalsegno_projections.views.values import text


@dataclass(frozen=True, kw_only=True)
class AuditRow:
    """One event of the history, without its payload."""

    position: int
    """Grows over all streams; may skip numbers."""
    stream_id: str
    """The run, or the workflow, that it belongs to."""
    version: int
    """Counts from 1 within its stream, without gaps."""
    at: str
    by: str
    cause: str
    """Id of the message that it answers."""
    kind: str
    task_id: str | None
    digest: str
    """SHA-256 of stream, version, kind and bytes; the next event carries it."""
    sentence: str


AUDIT: Final = Table("audit", AuditRow, ("position",), (("stream_id", "version"),))


class AuditView:
    """Writes down one row for each event."""

    name: str = "audit"
    events_stand_alone: bool = True
    tables: Sequence[AnyTable] = (AUDIT,)

    def touches(self, entry: Entry) -> Iterable[tuple[AnyTable, Key]]:
        return ()

    def apply(self, found: Found, entry: Entry) -> Iterable[Change]:
        return ((AUDIT, (entry.recorded.position,), row_of(entry)),)


def row_of(entry: Entry) -> AuditRow:
    """What the audit trail says of this event."""
    recorded, event = entry.recorded, entry.event
    return AuditRow(
        position=recorded.position,
        stream_id=entry.stream,
        version=recorded.version,
        at=entry.at,
        by=text(recorded.by),
        cause=text(recorded.cause),
        kind=event.kind,
        task_id=getattr(event, "task_id", None),
        digest=recorded.digest.hex(),
        sentence=text(sentence_of(event)),
    )
