"""Taking attempts from the stream: as many as there is room for, and no sooner."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from dalsegno_agents.pace import Pace
from dalsegno_bus.bus import Bus, Delivery, Pull
from dalsegno_bus.errors import BusError, Unavailable
from dalsegno_bus.logs import log
from dalsegno_bus.topology import Consumer

FULL_SECONDS_MAX: Final = 0.25
"""With no room for so long, the pull is closed, and what it held goes to other replicas."""
PULL_PAUSE_SECONDS: Final = 1.0

_logger = logging.getLogger("dalsegno.agent")


class Taking:
    """Takes for one replica. Cancelled, it takes no more.

    Args:
        consumer: Where from.
        room: How many more there is room for now.
        change: Returns when that may have changed.
        take: Called with each delivery.
    """

    def __init__(
        self,
        bus: Bus,
        consumer: Consumer,
        *,
        room: Callable[[], int],
        change: Callable[[], Awaitable[None]],
        take: Callable[[Delivery], Awaitable[None]],
    ) -> None:
        self._bus = bus
        self._consumer = consumer
        self._room = room
        self._change = change
        self._take = take
        self._pace = Pace()

    async def run(self) -> None:
        """Take what comes, for ever."""
        while True:
            try:
                async with self._bus.pull([self._consumer], ahead=self._pace.ahead) as pull:
                    await self._receive_from(pull)
            except (BusError, Unavailable) as error:
                log(_logger, "warning", "agent.pull_failed", reason=str(error))
                await asyncio.sleep(PULL_PAUSE_SECONDS)
            await self._has_room(within_seconds=None)

    async def _receive_from(self, pull: Pull) -> None:
        """Take what comes, until a pull opened anew would serve better."""
        clock = asyncio.get_running_loop().time
        while await self._has_room(within_seconds=FULL_SECONDS_MAX):
            batch = await pull.batch(limit=self._room())
            for delivery in batch:
                await self._take(delivery)
            if self._pace.took(len(batch), at=clock()):
                return
        self._pace.full(at=clock())

    async def _has_room(self, *, within_seconds: float | None) -> bool:
        if self._room() < 1:
            with suppress(TimeoutError):
                async with asyncio.timeout(within_seconds):
                    while self._room() < 1:
                        await self._change()
        return self._room() >= 1
