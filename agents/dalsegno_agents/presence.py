"""How the others know a replica: its agent's card, kept for good, and its presence, which expires.

Only writes; whoever assigns tasks reads. A replica that is gone is known by its silence.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from itertools import islice
from math import ceil
from typing import Final

from dalsegno_bus import codec
from dalsegno_bus.bus import Bus
from dalsegno_bus.errors import DalsegnoError, PublishFailed, Unavailable
from dalsegno_bus.ids import ReplicaId
from dalsegno_bus.logs import log
from dalsegno_bus.messages import AgentCard, Presence
from dalsegno_bus.topology import Topology
from dalsegno_bus.waiting import patiently

WORKING_MAX: Final = 1_000
"""How many attempts a presence names; a replica may have more in hand."""
LEAVE_SECONDS_MAX: Final = 2.0
TTL_PER_RENEWAL: Final = 10 / 3
"""Three presences in a row have to be lost before a replica seems gone."""

_logger = logging.getLogger("dalsegno.agent")


class Attendance:
    """Keeps one replica visible. `appear` first, then `run`, and `leave` at the end.

    Args:
        bus: Whose bucket to write to.
        topology: What has to exist for this agent; made again when the servers lost it.
        bucket: The name of the agents' bucket.
        card: What the agent is.
        replica: Who is here.
        started_at: Since when (UTC).
        every_seconds: How often to be seen.
        working: Names the attempts in hand (`run/task/attempt`).
    """

    def __init__(
        self,
        bus: Bus,
        *,
        topology: Topology,
        bucket: str,
        card: AgentCard,
        replica: ReplicaId,
        started_at: datetime,
        every_seconds: float,
        working: Callable[[], Iterable[str]],
    ) -> None:
        self._bus = bus
        self._topology = topology
        self._bucket = bus.bucket(bucket)
        self._card = card
        self._card_key = f"card.{card.agent}"
        self._live_key = f"live.{card.agent}.{replica}"
        self._replica = replica
        self._started_at = started_at
        self._every_seconds = every_seconds
        self._ttl_seconds = max(1, ceil(every_seconds * TTL_PER_RENEWAL))
        self._working = working
        self._draining = False
        self._epoch = bus.epoch
        self._hurry = asyncio.Event()
        self.is_seen = True
        """Whether the servers took the last presence."""

    async def appear(self, *, unless: asyncio.Event) -> bool:
        """Make what has to exist, and say who is here; wait for servers that are away.

        Returns:
            Whether that is done; False: `unless` was set before.

        Raises:
            SettingsError: The servers will not make what has to exist.
        """
        async with asyncio.TaskGroup() as group:
            appearing = group.create_task(patiently("jetstream", self._appear))
            told = group.create_task(unless.wait())
            told.add_done_callback(lambda _: appearing.cancel())
            appearing.add_done_callback(lambda _: told.cancel())
        return not appearing.cancelled()

    async def _appear(self) -> None:
        try:
            await self._bus.provision(self._topology)
            await self._bucket.put(self._card_key, codec.encode(self._card))
            await self._renew()
        except PublishFailed as error:  # they went away meanwhile, or are not ready yet
            raise Unavailable(str(error)) from error

    def drain(self, *, draining: bool = True) -> None:
        """Say at once that this replica takes no more work; or that it does again."""
        self._draining = draining
        self._hurry.set()

    async def run(self) -> None:
        """Stay visible, for ever; also after the servers lost what they held."""
        while True:
            try:
                async with asyncio.timeout(self._every_seconds):
                    await self._hurry.wait()
            except TimeoutError:
                pass
            self._hurry.clear()
            try:
                await self._restore()
                await self._renew()
            except DalsegnoError as error:
                if self.is_seen:
                    log(_logger, "warning", "agent.presence_lost", reason=str(error))
                self.is_seen = False
            else:
                if not self.is_seen:
                    log(_logger, "info", "agent.presence_back")
                self.is_seen = True

    async def leave(self) -> None:
        """Be gone at once, if the servers can be told; otherwise the presence expires."""
        try:
            async with asyncio.timeout(LEAVE_SECONDS_MAX):
                await self._bucket.delete(self._live_key)
        except (DalsegnoError, TimeoutError) as error:
            log(_logger, "info", "agent.presence_left_behind", reason=str(error))

    async def _restore(self) -> None:
        epoch = self._bus.epoch
        if epoch != self._epoch or not self.is_seen:
            await self._bus.provision(self._topology)
            self._epoch = epoch
        # Only when it is gone: replicas of another version would overwrite it in turns.
        if await self._bucket.get(self._card_key) is None:
            await self._bucket.put(self._card_key, codec.encode(self._card))
            log(_logger, "info", "agent.card_restored", agent=self._card.agent)

    async def _renew(self) -> None:
        presence = Presence(
            agent=self._card.agent,
            replica=self._replica,
            started_at=self._started_at,
            ttl_seconds=self._ttl_seconds,
            concurrency=self._card.concurrency,
            working=tuple(islice(self._working(), WORKING_MAX)),
            draining=self._draining,
        )
        await self._bucket.put(
            self._live_key, codec.encode(presence), ttl_seconds=self._ttl_seconds
        )
