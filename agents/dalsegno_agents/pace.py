"""How far a replica reaches ahead: as many messages as it begins within a moment.

Reaching far hides the way to the server and back, which very short tasks would wait for each time.
But a message that waits here waits for this replica alone, while another may be idle. So the reach
follows the rate at which messages are taken, and is one as soon as there is no room.
"""

from typing import Final

AHEAD_MAX: Final = 256
AHEAD_SECONDS: Final = 0.1
"""What is under way should be begun within so long."""
LOOK_SECONDS: Final = 0.5


class Pace:
    """Measures how fast messages are taken; `ahead` is how many may be under way."""

    def __init__(self) -> None:
        self.ahead = 1
        self._since = 0.0
        self._taken = 0

    def took(self, count: int, *, at: float) -> bool:
        """Count messages taken at `at` (seconds on any clock); True: `ahead` has changed."""
        self._taken += count
        seconds = at - self._since
        if seconds < LOOK_SECONDS:
            return False
        fitting = min(AHEAD_MAX, int(self._taken / seconds * AHEAD_SECONDS) or 1)
        self._since, self._taken = at, 0
        if self.ahead < 2 * fitting and fitting < 2 * self.ahead:
            return False
        self.ahead = fitting
        return True

    def full(self, *, at: float) -> None:
        """There is no room: messages have to wait, and not here."""
        self.ahead, self._since, self._taken = 1, at, 0
