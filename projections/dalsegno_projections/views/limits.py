"""The view of limits: what may be under way at the same time, and begun in a time, as it is set."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from dalsegno_orchestrator.workflow import events as e
from dalsegno_projections.views.table import AnyTable, Change, Entry, Found, Key, Table
from dalsegno_projections.views.values import text


@dataclass(frozen=True, kw_only=True)
class LimitRow:
    """One limit, as it was set last."""

    limit: str
    """`capability:<name>` or `quota:<name>`."""
    state: Literal["set", "removed"]
    concurrency: float | None = None
    rate: float | None = None
    """How much may begin within `rate_seconds`."""
    rate_seconds: float = 60.0
    set_at: str
    set_by: str


LIMITS: Final = Table("limits", LimitRow, ("limit",))


class LimitsView:
    """Writes down one row for each limit."""

    name: str = "limits"
    events_stand_alone: bool = True
    tables: Sequence[AnyTable] = (LIMITS,)

    def touches(self, entry: Entry) -> Iterable[tuple[AnyTable, Key]]:
        return ()

    def apply(self, found: Found, entry: Entry) -> Iterable[Change]:
        event, by = entry.event, entry.recorded.by
        match event:
            case e.LimitSet():
                row = LimitRow(
                    limit=text(event.limit),
                    state="set",
                    concurrency=event.concurrency,
                    rate=event.rate,
                    rate_seconds=event.rate_seconds,
                    set_at=entry.at,
                    set_by=text(by),
                )
            case e.LimitRemoved():
                row = LimitRow(
                    limit=text(event.limit), state="removed", set_at=entry.at, set_by=text(by)
                )
            case _:
                return ()
        return ((LIMITS, (row.limit,), row),)
