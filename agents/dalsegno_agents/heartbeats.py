"""Signs of life of attempts that have to give some: the newest progress, stored for the next one.

The first goes out at once, then at most one in a third of the time within which one is due; what is
told meanwhile waits to the end of that time, and the newest replaces what waits. One sender serves
all attempts of a replica, so a handler may tell its progress in a tight loop, from a thread too.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from threading import Lock
from typing import Final

from dalsegno_agents.outcomes import LastProgress
from dalsegno_agents.reports import Identity, Reports
from dalsegno_bus.bus import Bus, Outgoing
from dalsegno_bus.errors import BusError, Unavailable
from dalsegno_bus.logs import log
from dalsegno_bus.messages import HeartbeatReport

BEATS_PER_HEARTBEAT: Final = 3

_logger = logging.getLogger("dalsegno.agent")


class Beat:
    """What one attempt has told of its progress, and how much of it is stored."""

    def __init__(self, heart: "Heart", identity: Identity, *, every_seconds: float) -> None:
        self.identity = identity
        self.every_seconds = every_seconds
        self.next_at = 0.0
        """Not before then (the event loop's clock)."""
        self.sent = 0
        self.over = False
        self.newest: LastProgress | None = None
        self.stored: LastProgress | None = None
        self._heart = heart

    def tell(self, told: LastProgress) -> None:
        """Store this soon, unless something newer comes. From any thread."""
        if not self.over:
            self.newest = told
            self._heart.mark(self)


class Heart:
    """Stores the progress of all attempts of one replica. `run` has to run meanwhile."""

    def __init__(self, bus: Bus, reports: Reports) -> None:
        self._bus = bus
        self._reports = reports
        self._loop: asyncio.AbstractEventLoop | None = None
        self._bell = asyncio.Event()
        self._marked: dict[Beat, None] = {}
        self._lock = Lock()  # handlers in threads mark as well

    def begin(self, identity: Identity, *, heartbeat_seconds: float) -> Beat:
        """An attempt starts that has to tell something at least so often."""
        self._loop = asyncio.get_running_loop()
        return Beat(self, identity, every_seconds=heartbeat_seconds / BEATS_PER_HEARTBEAT)

    def mark(self, beat: Beat) -> None:
        """This attempt has something to store. From any thread."""
        with self._lock:
            known = beat in self._marked
            self._marked[beat] = None
        if not known and self._loop is not None:
            with suppress(RuntimeError):  # the loop is gone: nobody is left to tell
                self._loop.call_soon_threadsafe(self._bell.set)

    async def last_words(self, beat: Beat) -> tuple[Outgoing, ...]:
        """An attempt is over: what it told last and is not known to be stored."""
        beat.over = True
        if beat.newest is None or beat.newest is beat.stored:
            return ()
        message = await self._message(beat, beat.newest)
        return () if message is None else (message,)

    async def run(self) -> None:
        """Store what is due, for ever; nothing to store, nothing done."""
        clock = asyncio.get_running_loop().time
        while True:
            self._bell.clear()
            due, next_at = self._due(clock())
            if due:
                await self._store(due, now=clock())
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout_at(next_at):
                    await self._bell.wait()

    def _due(self, now: float) -> tuple[list[Beat], float | None]:
        """Whose turn it is, and else, when the next one's is; None: nobody waits."""
        with self._lock:
            self._marked = {beat: None for beat in self._marked if not beat.over}
            due = [beat for beat in self._marked if beat.next_at <= now]
            for beat in due:
                del self._marked[beat]
            return due, min((beat.next_at for beat in self._marked), default=None)

    async def _store(self, beats: Sequence[Beat], *, now: float) -> None:
        told = [(beat, beat.newest) for beat in beats if beat.newest is not None]
        for beat, _ in told:
            beat.next_at = now + beat.every_seconds
        try:
            messages = [await self._message(beat, newest) for beat, newest in told]
            await self._bus.store([message for message in messages if message is not None])
        except (BusError, Unavailable) as error:
            log(_logger, "warning", "agent.heartbeats_not_stored", reason=str(error))
            for beat, _ in told:
                self.mark(beat)
        else:
            for beat, newest in told:
                beat.stored = newest

    async def _message(self, beat: Beat, told: LastProgress) -> Outgoing | None:
        """The report; None: its large state cannot be kept, which costs the state alone."""
        beat.sent += 1
        report = HeartbeatReport(**beat.identity, progress=told.model_dump())
        try:
            return await self._reports.fitting(report, suffix=f".beat-{beat.sent}")
        except Exception as error:  # noqa: BLE001  # an artifact store fails in its own ways
            log(_logger, "warning", "agent.progress_not_kept", reason=str(error))
            return None
