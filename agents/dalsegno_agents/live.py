"""What watchers hear while an attempt is worked on: that it started, and how far it is.

Told over core subjects and kept by nobody; losing it costs a watcher a line, and no run anything.
All attempts share one sender: at most one message per attempt and tick, always the newest, so that
a handler may report progress in a tight loop, from a thread too. An attempt that is over before its
sender came round was too short to watch, and only its progress, if it told any, is sent.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from threading import Lock
from typing import Final, TypedDict

from dalsegno_agents.values import clean
from dalsegno_bus import codec
from dalsegno_bus.bus import Bus, Outgoing
from dalsegno_bus.errors import BusError, Unavailable
from dalsegno_bus.ids import RunId, new_message_id
from dalsegno_bus.logs import log
from dalsegno_bus.messages import AttemptStarted, Progress
from dalsegno_bus.subjects import Subjects
from dalsegno_bus.telemetry import traceparent

TICK_SECONDS: Final = 0.1
MESSAGE_CHARS_MAX: Final = 4_000

_logger = logging.getLogger("dalsegno.agent")


class Identity(TypedDict):
    """What every report names: the attempt, and who says so."""

    run_id: RunId
    task_id: str
    attempt: int
    agent: str
    replica: str


class Watched:
    """One attempt at work, as its watchers see it."""

    def __init__(self, live: "Live", identity: Identity, started_at: datetime) -> None:
        self.identity = identity
        self.started_at = started_at
        self.started_told = False
        self.progress: tuple[float | None, str] | None = None
        """The newest, not sent yet."""
        self.over = False
        self._live = live

    def tell_progress(self, fraction: float | None, message: str) -> None:
        """Send this soon, unless something newer comes. From any thread."""
        if not self.over:
            self.progress = (fraction, clean(message, chars_max=MESSAGE_CHARS_MAX))
            self._live.mark(self)


class Live:
    """Sends for all attempts of one replica. `run` has to run meanwhile.

    Args:
        bus: Where to tell it.
        subjects: The names of the wire.
        now: The time now (UTC).
    """

    def __init__(self, bus: Bus, subjects: Subjects, *, now: Callable[[], datetime]) -> None:
        self._bus = bus
        self._subjects = subjects
        self._now = now
        self._loop: asyncio.AbstractEventLoop | None = None
        self._bell = asyncio.Event()
        self._awake = False
        self._marked: set[Watched] = set()
        self._lock = Lock()  # handlers in threads mark as well

    def begin(self, identity: Identity) -> Watched:
        """An attempt starts; whoever watches hears of it with the next tick."""
        self._loop = asyncio.get_running_loop()
        watched = Watched(self, identity, self._now())
        self.mark(watched)
        return watched

    async def end(self, watched: Watched) -> None:
        """An attempt is over: what it told last goes out now, and nothing after."""
        watched.over = True
        if watched.progress is not None:
            await self._send(watched)

    def mark(self, watched: Watched) -> None:
        """Something about this attempt is to be sent. From any thread."""
        with self._lock:
            self._marked.add(watched)
            wake, self._awake = not self._awake, True
        if wake and self._loop is not None:
            self._loop.call_soon_threadsafe(self._bell.set)

    async def run(self) -> None:
        """Send what is marked, tick by tick, for ever; nothing to send, no tick."""
        while True:
            await self._bell.wait()
            self._bell.clear()
            with self._lock:
                marked, self._marked, self._awake = self._marked, set(), False
            for watched in marked:
                if not watched.over:
                    await self._send(watched)
            await asyncio.sleep(TICK_SECONDS)

    async def _send(self, watched: Watched) -> None:
        if not watched.started_told:
            watched.started_told = True
            await self._tell(AttemptStarted(**watched.identity, at=watched.started_at))
        if watched.progress is not None:
            (fraction, message), watched.progress = watched.progress, None
            await self._tell(
                Progress(**watched.identity, fraction=fraction, message=message, at=self._now())
            )

    async def _tell(self, report: AttemptStarted | Progress) -> None:
        headers = codec.headers_of(
            report.kind,
            message_id=new_message_id(),
            source=f"agent/{report.agent}/{report.replica}",
            at=report.at,
            traceparent=traceparent(report.run_id, report.task_id, report.attempt),
        )
        subject = self._subjects.live_task(report.run_id, report.task_id)
        try:
            await self._bus.tell(Outgoing(subject, codec.encode(report), headers))
        except (BusError, Unavailable) as error:
            log(_logger, "debug", "agent.live_not_told", reason=str(error))
