"""Reads the history in batches, and finds the way around an event that cannot be read."""

from collections.abc import Sequence
from typing import Final, Protocol

from dalsegno_orchestrator.history import Recorded, UnreadableEvent

BATCH_EVENTS_MAX: Final = 500


class History(Protocol):
    """What is followed: the event store, as far as a reader needs it."""

    def follow(self, *, after: int, limit: int) -> list[Recorded]: ...
    def newest_position(self) -> int: ...


class Reader:
    """Reads what comes after a position. Blocks.

    Args:
        history: What to read.
        batch_events_max: How many events one batch has at most.
    """

    def __init__(self, history: History, *, batch_events_max: int = BATCH_EVENTS_MAX) -> None:
        self._history = history
        self._batch_events_max = batch_events_max

    def read(self, after: int) -> Sequence[Recorded] | UnreadableEvent:
        """The events after this position, oldest first; none if there are none now.

        Raises:
            Unavailable: The store cannot be reached.
        """
        limit = self._batch_events_max
        while True:
            try:
                return self._history.follow(after=after, limit=limit)
            except UnreadableEvent as error:
                if limit == 1:
                    return error
                limit = max(1, limit // 8)
