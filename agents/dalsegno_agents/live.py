"""What watchers hear while an attempt is worked on: that it started, how far it is, what it says.

Told over core subjects and kept by nobody; losing it costs a watcher a line, and no run anything.
All attempts share one sender: at most one message per attempt and tick, always the newest, so that
a handler may report progress in a tight loop, from a thread too. An attempt that is over before its
sender came round was too short to watch, and only what it told, if anything, is sent.

Pieces of output wait in a queue of their attempt and are all sent, in order. The queue is bounded:
when the network cannot keep up, the oldest are dropped, and the numbers of the others tell.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from threading import Lock
from typing import Final

from pydantic_core import to_json

from dalsegno_agents.reports import Identity
from dalsegno_agents.values import clean
from dalsegno_bus import codec
from dalsegno_bus.bus import Bus, Outgoing
from dalsegno_bus.errors import BusError, Unavailable, UsageError
from dalsegno_bus.ids import new_message_id
from dalsegno_bus.logs import log
from dalsegno_bus.messages import AttemptStarted, Json, Output, Progress
from dalsegno_bus.subjects import Subjects
from dalsegno_bus.telemetry import traceparent

TICK_SECONDS: Final = 0.1
MESSAGE_CHARS_MAX: Final = 4_000
PIECE_BYTES_MAX: Final = 64 * 1024
PIECES_MAX: Final = 4_096
"""Of one attempt, not sent yet."""
PIECES_BYTES_MAX: Final = 4 * 1024 * 1024
PIECES_PER_TURN: Final = 64
END_SECONDS_MAX: Final = 1.0
"""How long the report of an attempt waits for its last pieces to be told."""

_logger = logging.getLogger("dalsegno.agent")


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
        self._lock = Lock()
        self._pieces: deque[tuple[int, Json, int]] = deque()
        self._pieces_bytes = 0
        self._pieces_told = 0

    def tell_progress(self, fraction: float | None, message: str) -> None:
        """Send this soon, unless something newer comes. From any thread."""
        if not self.over:
            self.progress = (fraction, clean(message, chars_max=MESSAGE_CHARS_MAX))
            self._live.mark(self)

    def stream(self, piece: Json) -> None:
        """Send this piece of the output in its turn. From any thread; never waits.

        Raises:
            UsageError: It is above `PIECE_BYTES_MAX`.
        """
        size = len(to_json(piece))
        if size > PIECE_BYTES_MAX:
            raise UsageError(
                f"a piece of {size} bytes is too large to be told live ({PIECE_BYTES_MAX} at most):"
                " stream smaller ones, or put an artifact and stream its reference"
            )
        if self.over:
            return
        with self._lock:
            self._pieces.append((self._pieces_told, piece, size))
            self._pieces_told += 1
            self._pieces_bytes += size
            while len(self._pieces) > PIECES_MAX or self._pieces_bytes > PIECES_BYTES_MAX:
                self._pieces_bytes -= self._pieces.popleft()[2]
        self._live.mark(self)

    def next_piece(self) -> tuple[int, Json] | None:
        """The oldest piece with its number, which the caller sends; None: there is none."""
        with self._lock:
            if not self._pieces:
                return None
            number, piece, size = self._pieces.popleft()
            self._pieces_bytes -= size
            return number, piece

    @property
    def has_words(self) -> bool:
        """Whether something is told and not sent."""
        return self.progress is not None or bool(self._pieces)


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
        self._marked: dict[Watched, None] = {}  # in order of marking
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
        if watched.has_words:
            with suppress(TimeoutError):
                async with asyncio.timeout(END_SECONDS_MAX):
                    await self._send(watched)

    def mark(self, watched: Watched) -> None:
        """Something about this attempt is to be sent. From any thread."""
        with self._lock:
            self._marked[watched] = None
            wake, self._awake = not self._awake, True
        if wake and self._loop is not None:
            with suppress(RuntimeError):  # the loop is gone: nobody is left to tell
                self._loop.call_soon_threadsafe(self._bell.set)

    async def run(self) -> None:
        """Send what is marked, tick by tick, for ever; nothing to send, no tick."""
        while True:
            await self._bell.wait()
            self._bell.clear()
            with self._lock:
                marked, self._marked, self._awake = self._marked, {}, False
            for watched in marked:
                if not watched.over:
                    await self._send(watched)
            await asyncio.sleep(TICK_SECONDS)

    async def _send(self, watched: Watched) -> None:
        if not watched.started_told:
            watched.started_told = True
            await self._tell(AttemptStarted(**watched.identity, at=watched.started_at))
        await self._send_pieces(watched)
        if watched.progress is not None:
            (fraction, message), watched.progress = watched.progress, None
            await self._tell(
                Progress(**watched.identity, fraction=fraction, message=message, at=self._now())
            )

    async def _send_pieces(self, watched: Watched) -> None:
        """Send what waits now, and let others have their turn meanwhile."""
        for turn in range(1, PIECES_MAX + 1):
            numbered = watched.next_piece()
            if numbered is None:
                return
            number, piece = numbered
            await self._tell(Output(**watched.identity, number=number, piece=piece, at=self._now()))
            if turn % PIECES_PER_TURN == 0:
                await asyncio.sleep(0)
        self.mark(watched)

    async def _tell(self, report: AttemptStarted | Progress | Output) -> None:
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
