"""How far the views are behind the history: asked for once, or kept in sight."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

from dalsegno_bus.errors import DalsegnoError
from dalsegno_orchestrator.history import UnreadableEvent
from dalsegno_projections import questions as q
from dalsegno_projections.reading import History
from dalsegno_projections.storage.rows import PARKED, Rows, Select

LOOK_SECONDS: Final = 1.0
"""How often the lag is looked at."""


def lags_of(
    rows: Rows, history: History, followed: Sequence[str], *, now: datetime
) -> list[q.ViewLag]:
    """How far each of these is behind. Blocks.

    Raises:
        Unavailable: The store or the views' database cannot be reached.
    """
    newest = history.newest_position()
    seconds_at: dict[int, float | None] = {newest: 0.0}
    lags: list[q.ViewLag] = []
    for view in followed:
        position = rows.position(view)
        if position not in seconds_at:
            seconds_at[position] = _seconds(history, position, now)
        lags.append(
            q.ViewLag(
                view=view,
                position=position,
                events_max=max(0, newest - position),
                seconds=seconds_at[position],
                parked=rows.count(PARKED, Select(equal={"view": view})),
            )
        )
    return lags


class LagGauge:
    """The lag as it was at the last look. `run` looks until cancelled.

    Args:
        lags: How to look; blocks.
    """

    def __init__(self, lags: Callable[[], Sequence[q.ViewLag]]) -> None:
        self._lags = lags
        self._seen: Sequence[q.ViewLag] = ()
        self._fault: str | None = "it was not looked at yet"

    async def run(self) -> None:
        """Look every `LOOK_SECONDS`; what is away meanwhile is a problem, and no error."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Look once."""
        try:
            self._seen = await asyncio.to_thread(self._lags)
            self._fault = None
        except DalsegnoError as error:
            self._fault = str(error)

    def problems(self, *, seconds_max: float) -> list[str]:
        """A sentence for each view that is further behind than that, or if that is not known."""
        if self._fault is not None:
            return [f"how far the views are behind is not known: {self._fault}"]
        return [
            f"{lag.view} is {lag.seconds:.0f} seconds behind the history "
            f"({lag.events_max} events at most)"
            for lag in self._seen
            if lag.seconds is not None and lag.seconds > seconds_max
        ]

    def counts(self) -> Mapping[str, int]:
        """The largest lag of any view, and all that they parked."""
        return {
            "lag_events_max": max((lag.events_max for lag in self._seen), default=0),
            "lag_seconds": int(max((lag.seconds or 0.0 for lag in self._seen), default=0.0)),
            "events_parked": sum(lag.parked for lag in self._seen),
        }


def _seconds(history: History, after: int, now: datetime) -> float | None:
    try:
        oldest = history.follow(after=after, limit=1)
    except UnreadableEvent:
        return None
    return max(0.0, (now - oldest[0].at).total_seconds()) if oldest else 0.0
