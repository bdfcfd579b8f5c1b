"""The index of open runs: which have not ended, and by when each has to be looked at."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRun:
    """A run that has not ended, as the index of open runs holds it."""

    run_id: UUID
    partition: int
    due_at: datetime | None
    """Not later than when something is due; None: only a message can move it."""
    version: int = field(default=0, compare=False)
    """How many events it has, as read; nobody writes it."""


def seconds_of(at: datetime | None) -> float | None:
    """Seconds since 1970-01-01 (UTC)."""
    return None if at is None else at.timestamp()


def time_of(seconds: float | None) -> datetime | None:
    """The moment so many seconds after 1970-01-01 (UTC)."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
