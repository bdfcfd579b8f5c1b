"""When which run has to be looked at: an index over the runs' own times, not a source of truth."""

from datetime import datetime
from heapq import heapify, heappop, heappush
from typing import Final

from dalsegno_bus.ids import RunId

STALE_FACTOR: Final = 4
"""The heap may hold so many entries for each run; the stale ones among them are then thrown out."""


class Timers:
    """A heap with at most one standing entry for each run: the earliest time asked for."""

    def __init__(self) -> None:
        self._heap: list[tuple[datetime, RunId]] = []
        self._armed: dict[RunId, datetime] = {}

    def __len__(self) -> int:
        """How many entries the heap holds, stale ones and all."""
        return len(self._heap)

    def arm(self, run_id: RunId, at: datetime | None) -> bool:
        """Have the run looked at by `at`, if nothing earlier is set; True if that is news."""
        if at is None:
            return False
        armed = self._armed.get(run_id)
        if armed is not None and armed <= at:
            return False
        self._armed[run_id] = at
        heappush(self._heap, (at, run_id))
        if len(self._heap) > STALE_FACTOR * (len(self._armed) + STALE_FACTOR):
            self._heap = [(due, armed_id) for armed_id, due in self._armed.items()]
            heapify(self._heap)
        return True

    def disarm(self, run_id: RunId) -> None:
        """The run has ended, or is not ours any more."""
        self._armed.pop(run_id, None)

    def next_at(self) -> datetime | None:
        """When the next run is due; None: never."""
        while self._heap and self._armed.get(self._heap[0][1]) != self._heap[0][0]:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def due(self, now: datetime, *, limit: int) -> list[RunId]:
        """At most `limit` runs to look at now; each is handed out once, and then armed again."""
        found: list[RunId] = []
        while len(found) < limit and (at := self.next_at()) is not None and at <= now:
            _, run_id = heappop(self._heap)
            del self._armed[run_id]
            found.append(run_id)
        return found
