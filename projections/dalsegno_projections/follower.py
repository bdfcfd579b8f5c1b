"""Keeps views at the end of the history: batch after batch while there are events, then in wait.

A hint on the bus wakes it at once; without one it looks every second, so that a lost hint costs
that much and nothing else. While the store or the views' database is away it waits, longer each
time, says so once and then every half minute, and goes on where it was. So it does if a step fails
in a way that nobody foresaw. What one step does is the matter of its `Steps`.
"""

import asyncio
import logging
from typing import Final, Protocol

from dalsegno_bus.bus import Bus
from dalsegno_bus.errors import BusError, DalsegnoError, Unavailable
from dalsegno_bus.logs import log
from dalsegno_bus.subjects import Subjects

POLL_SECONDS: Final = 1.0
BACKOFF_SECONDS_MIN: Final = 0.2
BACKOFF_SECONDS_MAX: Final = 10.0
SAY_AGAIN_SECONDS: Final = 30.0
"""How often it is said that something is still away."""

_logger = logging.getLogger("dalsegno.projections")


class Steps(Protocol):
    """Something that follows the history by steps."""

    def step(self) -> bool:
        """Take what comes next, blocking; tell whether there may be more.

        Raises:
            Unavailable: What it needs cannot be reached; nothing is lost.
        """
        ...


class Follower:
    """Steps along the history until told to stop.

    Args:
        steps: What to drive; only this follower's loop calls it.
        name: Who is speaking, in the logs.
        poll_seconds: How often to look while nobody rings.
    """

    def __init__(
        self,
        steps: Steps,
        *,
        name: str,
        poll_seconds: float = POLL_SECONDS,
        backoff_seconds_min: float = BACKOFF_SECONDS_MIN,
    ) -> None:
        self._steps = steps
        self._name = name
        self._poll_seconds = poll_seconds
        self._backoff_seconds_min = backoff_seconds_min
        self._bell = asyncio.Event()
        self._stopping = asyncio.Event()
        self.fault: str | None = None
        """What it waits for, if something is away."""
        self._said_at = 0.0
        self.caught_up = False
        """Whether it has come to the end of the history once."""

    def ring(self) -> None:
        """Look at once: something was recorded."""
        self._bell.set()

    def stop(self) -> None:
        """Finish the step in hand, then return from `run`."""
        self._stopping.set()
        self._bell.set()

    async def run(self) -> None:
        """Follow until `stop` is called."""
        backoff_seconds = self._backoff_seconds_min
        while not self._stopping.is_set():
            self._bell.clear()
            try:
                more = await asyncio.to_thread(self._steps.step)
            except Exception as error:  # noqa: BLE001 - no fault of one follower ends the others
                self._say(error)
                await self._rest(backoff_seconds, bell=self._stopping)
                backoff_seconds = min(2 * backoff_seconds, BACKOFF_SECONDS_MAX)
                continue
            backoff_seconds = self._backoff_seconds_min
            self._recovered()
            if not more:
                self.caught_up = True
                await self._rest(self._poll_seconds, bell=self._bell)

    async def _rest(self, seconds: float, *, bell: asyncio.Event) -> None:
        if self._stopping.is_set():
            return
        try:
            async with asyncio.timeout(seconds):
                await bell.wait()
        except TimeoutError:
            pass

    def _say(self, error: Exception) -> None:
        known = isinstance(error, DalsegnoError)
        reason = str(error) if known else f"{self._name} failed: {error!r}"
        now = asyncio.get_running_loop().time()
        if self.fault is None or now - self._said_at >= SAY_AGAIN_SECONDS:
            self._said_at = now
            log(_logger, "warning" if known else "error", "follower_waits",
                follower=self._name, reason=reason)  # fmt: skip
        self.fault = reason

    def _recovered(self) -> None:
        if self.fault is not None:
            log(_logger, "info", "follower_goes_on", follower=self._name)
        self.fault = None


async def hear_hints(bus: Bus, subjects: Subjects, *followers: Follower) -> None:
    """Ring the followers whenever somebody says that events were recorded; until cancelled.

    A bus that fails costs the hints and nothing else: they go on by looking every second.
    """
    while True:
        try:
            async with bus.listen(subjects.recorded_hint) as heard:
                async for _ in heard:
                    for follower in followers:
                        follower.ring()
        except (BusError, Unavailable) as error:
            log(_logger, "warning", "hints_unheard", reason=str(error))
        await asyncio.sleep(POLL_SECONDS)
