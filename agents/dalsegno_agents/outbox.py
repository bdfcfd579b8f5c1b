"""Reports on their way into the stream: stored first, acknowledged after.

What has finished by now goes out together in one call, and an idle agent waits for nothing. While
the stream confirms nothing, parcels wait here; whoever fills the outbox bounds it (see `Worker`).
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from dalsegno_agents.answers import Answer
from dalsegno_bus.bus import Bus
from dalsegno_bus.errors import BusError, Unavailable
from dalsegno_bus.logs import log

BATCH_MAX: Final = 256
"""Parcels in one call."""
PAUSE_SECONDS_MIN: Final = 0.05
PAUSE_SECONDS_MAX: Final = 5.0

_logger = logging.getLogger("dalsegno.agent")


@dataclass(frozen=True, slots=True)
class Parcel:
    """Messages that belong together, and what to do once they are stored."""

    answer: Answer
    stored: Callable[[], Awaitable[None]]


class Outbox:
    """Keeps parcels until the stream has them. `run` has to run meanwhile."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._parcels: deque[Parcel] = deque()
        self._filled = asyncio.Event()
        self._batch_max = BATCH_MAX
        self._pause_seconds = 0.0

    def put(self, parcel: Parcel) -> None:
        """Send this as soon as possible."""
        self._parcels.append(parcel)
        self._filled.set()

    async def run(self) -> None:
        """Send what comes, for ever; a failure is tried again after a growing pause."""
        while True:
            await self._filled.wait()
            batch = self._next_batch()
            try:
                await self._store(batch)
            except (BusError, Unavailable) as error:
                await self._after_failure(batch, error)
            else:
                await self._after_success(batch)

    def _next_batch(self) -> list[Parcel]:
        count = min(len(self._parcels), self._batch_max)
        batch = [self._parcels.popleft() for _ in range(count)]
        if not self._parcels:
            self._filled.clear()
        return batch

    async def _store(self, batch: list[Parcel]) -> None:
        shared = [message for parcel in batch for message in parcel.answer.shared]
        if shared:
            await self._bus.store(shared)
        endings = [message for parcel in batch for message in parcel.answer.ending]
        if endings:
            await self._bus.store(endings)

    async def _after_success(self, batch: list[Parcel]) -> None:
        if self._pause_seconds:
            log(_logger, "info", "agent.reports_stored_again", waiting=len(self._parcels))
        self._pause_seconds = 0.0
        self._batch_max = min(BATCH_MAX, 2 * self._batch_max)
        for parcel in batch:
            await parcel.stored()

    async def _after_failure(self, batch: list[Parcel], error: Exception) -> None:
        # Which message failed is not known: smaller batches, each behind those that have not been
        # tried, so that one which the server never takes does not hold up all others.
        self._parcels.extend(batch)
        self._filled.set()
        self._batch_max = max(1, self._batch_max // 2)
        self._pause_seconds = min(
            PAUSE_SECONDS_MAX, max(PAUSE_SECONDS_MIN, 2 * self._pause_seconds)
        )
        waiting = len(self._parcels)
        log(_logger, "warning", "agent.reports_not_stored", waiting=waiting, reason=str(error))
        await asyncio.sleep(self._pause_seconds)
