"""Reads the history in batches, and finds the way around an event that cannot be read."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from dalsegno_bus.errors import StoreError, Unavailable
from dalsegno_orchestrator.history import Recorded

BATCH_EVENTS_MAX: Final = 500


class History(Protocol):
    """What is followed: the event store, as far as a reader needs it."""

    def follow(self, *, after: int, limit: int) -> list[Recorded]: ...
    def newest_position(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The next event is there, and its bytes are not understood here."""

    position: int
    reason: str


class Reader:
    """Reads what comes after a position. Blocks.

    Args:
        history: What to read.
        batch_events_max: How many events one batch has at most.
    """

    def __init__(self, history: History, *, batch_events_max: int = BATCH_EVENTS_MAX) -> None:
        self._history = history
        self._batch_events_max = batch_events_max

    def read(self, after: int) -> Sequence[Recorded] | Unreadable:
        """The events after this position, oldest first; none if there are none now.

        Raises:
            Unavailable: The store cannot be reached.
        """
        limit = self._batch_events_max
        while True:
            try:
                return self._history.follow(after=after, limit=limit)
            except Unavailable:
                raise
            except StoreError as error:
                if limit == 1:
                    return Unreadable(self._position_of(after, str(error)), str(error))
                limit = max(1, limit // 8)

    def _position_of(self, after: int, reason: str) -> int:
        """Where the event after `after` lies, which cannot be read: the error does not tell.

        Reading one event after a position fails with the same words exactly while that position
        is below the event's; so the place is found by halving.
        """
        low, high = after, self._history.newest_position()
        while high - low > 1:
            middle = (low + high) // 2
            if self._fails(middle, reason):
                low = middle
            else:
                high = middle
        return high

    def _fails(self, after: int, reason: str) -> bool:
        try:
            self._history.follow(after=after, limit=1)
        except Unavailable:
            raise
        except StoreError as error:
            return str(error) == reason
        return False
