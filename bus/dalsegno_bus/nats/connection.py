"""A connection to NATS servers that heals itself: the one file that knows the client library.

Extends the library's own connection where its ways cost too much or give up too soon: messages go
straight to their sink (no queue, no task per message), whole batches go out in one write, and no
error of the server ends the connection for good.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from logging import getLogger
from random import random
from typing import Any, Final

import orjson
from nats import errors as nats_errors
from nats.aio.client import Client, Server, Srv
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from dalsegno_bus.bus import Headers, Heard, Outgoing
from dalsegno_bus.errors import SettingsError, Unavailable
from dalsegno_bus.logs import log
from dalsegno_bus.nats.core import NatsHeard, check_size
from dalsegno_bus.nats.frames import Answer, ApiFault, Patience, Sink
from dalsegno_bus.nats.reading import FrameReader
from dalsegno_bus.nats.shielding import shielded

CONNECT_SECONDS_MAX: Final = 10
"""For the first connection, to whichever server answers."""

SERVER_SECONDS_MAX: Final = 2
"""For one server to answer, when connecting."""

API_SECONDS_MAX: Final = 5.0
"""How long one answer of the JetStream API may take."""

BUFFER_BYTES_MAX: Final = 8 * 1024 * 1024
"""What waits to be sent: more makes senders wait, and is dropped while the connection is away."""

_PINGS_UNANSWERED_MAX: Final = 2
_RECONNECT_SECONDS_MIN: Final = 0.02
_RECONNECT_SECONDS_MAX: Final = 2.0

_UNAUTHORIZED: Final = "authorization violation"
_SCHEMES: Final = ("nats://", "tls://", "ws://", "wss://")

_logger = getLogger(__name__)


class _Subscribed:
    def __init__(self, subscription: Subscription, forget: Callable[[], object]) -> None:
        self._subscription = subscription
        self._forget = forget

    async def unsubscribe(self) -> None:
        with suppress(nats_errors.Error):  # closed: then there is nothing to unsubscribe
            await self._subscription.unsubscribe()

    def forget(self) -> None:
        self._forget()


class Connection(Client):
    """The library's connection, extended: see the module. Keeps the contract of `Wire`."""

    _pongs: list[asyncio.Future[bool]]
    _reading_task: asyncio.Task[None] | None
    _ping_interval_task: asyncio.Task[None] | None
    _flusher_task: asyncio.Task[None] | None

    def __init__(self, url: str, *, ping_seconds: float = Patience.ping_seconds) -> None:
        super().__init__()
        self._ps = FrameReader(  # pyright: ignore[reportAttributeAccessIssue]  # does as the library's own
            message=self._process_msg,
            error=self._process_err,
            ping=self._process_ping,
            pong=self._process_pong,
            info=self._process_info,
        )
        self._ping_seconds = ping_seconds
        self._urls = [part.strip() for part in url.split(",") if part.strip()]
        self.address = ",".join(_without_secrets(part) for part in self._urls)
        try:
            servers = [self._parse_server_uri(part) for part in self._urls]
        except nats_errors.Error:
            servers = []
        if not servers or not all(map(_is_known, self._urls)):
            raise SettingsError(
                f"DALSEGNO_NATS_URL={self.address!r}: use nats://host:port, several with commas"
            )
        self.generation = 1
        """Grows with every reconnection."""
        self._sinks: dict[int, Sink] = {}
        self._hooks_lost: list[Callable[[], None]] = []
        self._hooks_back: list[Callable[[], None]] = []
        self._up = asyncio.Event()
        self._shut = False
        self._failure = ""
        self._overflow = False
        self._kick: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._kick.set_result(None)

    @property
    def is_up(self) -> bool:
        return self.is_connected and self._up.is_set()

    @property
    def greeting(self) -> Mapping[str, Any]:
        """What the server said of itself when we connected."""
        return self._server_info

    @property
    def body_bytes_max(self) -> int:
        return self.max_payload

    async def open(self, name: str) -> None:
        """Connect for the first time; see `connect`."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS_MAX):
                await self.connect(
                    self._urls,
                    name=name,
                    error_cb=self._on_error,
                    disconnected_cb=self._on_lost,
                    reconnected_cb=self._on_back,
                    reconnect_to_server_handler=self._next_server,
                    max_reconnect_attempts=1,  # the first time it may fail
                    reconnect_time_wait=0,
                    ping_interval=self._ping_seconds,  # pyright: ignore[reportArgumentType]  # it sleeps so long
                    max_outstanding_pings=_PINGS_UNANSWERED_MAX,
                    pending_size=BUFFER_BYTES_MAX,
                    connect_timeout=SERVER_SECONDS_MAX,
                )
        except (nats_errors.Error, OSError, TimeoutError) as error:
            self._shut = True
            self._abort()
            await self.close()
            raise self._refusal(error) from error
        self.options["max_reconnect_attempts"] = -1  # from now on it tries for ever
        self._up.set()

    async def shut(self) -> None:
        """Send what is buffered, then disconnect, for good."""
        if self._shut:
            return
        try:
            await self.round_trip()
        except Unavailable:  # it was worth a try; what it did not take would keep us here for ever
            self._abort()
        self._shut = True
        with suppress(OSError):
            await self.close()
        self._tell(self._hooks_lost)

    def check_open(self) -> None:
        if self._shut:
            raise Unavailable("this bus is closed: connect again")

    async def wait_until_up(self, seconds_max: float) -> None:
        """Return when the connection is there.

        Raises:
            Unavailable: It is not, after so long.
        """
        if self.is_up:
            return
        try:
            async with asyncio.timeout(seconds_max):
                await self._up.wait()
        except TimeoutError as error:
            raise Unavailable(
                f"no connection to {self.address} for {seconds_max:g} seconds: "
                "is the NATS server running?"
            ) from error

    def send(self, frame: bytes) -> bool:
        if self._shut:
            return False
        if self._pending_data_size > BUFFER_BYTES_MAX and not self.is_up:
            if not self._overflow:
                log(_logger, "warning", "bus.buffer_full", server=self.address)
            self._overflow = True
            return False
        # As `publish` does it, minus a coroutine, two checks and a future for each message.
        self._pending.append(frame)
        self._pending_data_size += len(frame)
        flushes = self._flush_queue
        if flushes is not None and flushes.empty():
            flushes.put_nowait(self._kick)
        return True

    async def relieve(self) -> None:
        while self._pending_data_size > BUFFER_BYTES_MAX and self.is_up:
            with suppress(TimeoutError):
                await self._written()

    async def round_trip(self) -> None:
        if not self.is_up:
            return
        try:
            await self._written()  # the library's PING overtakes what waits to be written
            await shielded(self.flush(timeout=SERVER_SECONDS_MAX))
        except (nats_errors.Error, TimeoutError) as error:
            raise Unavailable(f"the NATS server at {self.address} does not answer") from error

    async def hear(self, subject: str, sink: Sink, *, queue: str = "") -> _Subscribed:
        sid = self._sid + 1  # the one that `subscribe` is about to use; messages may follow at once
        self._sinks[sid] = sink
        subscription = await self.subscribe(subject, queue=queue)  # pyright: ignore[reportUnknownMemberType]  # half typed
        return _Subscribed(subscription, lambda: self._sinks.pop(sid, None))

    async def call(self, subject: str, body: bytes = b"") -> Answer:
        self.check_open()
        await self.wait_until_up(API_SECONDS_MAX)
        try:
            message = await self._requested(subject, body, API_SECONDS_MAX)
        except nats_errors.NoRespondersError as error:
            raise Unavailable(
                f"the NATS server at {self.address} has no JetStream: start it with `-js`"
            ) from error
        except nats_errors.Error as error:
            raise Unavailable(f"the NATS server at {self.address} does not answer") from error
        answer: dict[str, Any] = orjson.loads(message.data)
        fault = answer.get("error")
        if fault is not None:
            raise ApiFault(fault.get("err_code", 0), fault.get("description", ""))
        return answer

    async def fetch(self, subject: str) -> tuple[bytes, Headers] | None:
        self.check_open()
        await self.wait_until_up(API_SECONDS_MAX)
        try:
            message = await self._requested(subject, b"", API_SECONDS_MAX)
        except nats_errors.NoRespondersError:
            return None
        except nats_errors.Error as error:
            raise Unavailable(f"the NATS server at {self.address} does not answer") from error
        return message.data, message.headers or {}

    async def ask(self, message: Outgoing, seconds_max: float) -> Heard:
        """See `bus.Bus.ask`."""
        check_size(message, self.max_payload)
        try:
            reply = await self._requested(
                message.subject, message.body, seconds_max, dict(message.headers)
            )
        except nats_errors.NoRespondersError as error:
            raise Unavailable(f"nobody answers on {message.subject!r}") from error
        except nats_errors.Error as error:
            raise Unavailable(
                f"no answer on {message.subject!r} within {seconds_max:g} seconds"
            ) from error
        return NatsHeard(self, reply.subject, "", reply.data, reply.headers or {})

    async def _requested(
        self,
        subject: str,
        body: bytes,
        seconds_max: float,
        headers: dict[str, str] | None = None,
    ) -> Msg:
        return await shielded(self.request(subject, body, timeout=seconds_max, headers=headers))

    def when_lost(self, hook: Callable[[], None]) -> Callable[[], None]:
        self._hooks_lost.append(hook)
        return lambda: self._hooks_lost.remove(hook)

    def when_back(self, hook: Callable[[], None]) -> Callable[[], None]:
        self._hooks_back.append(hook)
        return lambda: self._hooks_back.remove(hook)

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes
    ) -> None:
        # The library would parse the headers, build an object and wake a task for each message.
        sink = self._sinks.get(sid)
        try:
            if sink is None:
                await super()._process_msg(sid, subject, reply, data, headers)
            else:
                sink(subject, reply, data, headers)
        except Exception as error:  # noqa: BLE001  # it would end the reading loop without a word
            name = subject.decode("utf-8", "replace")
            log(_logger, "error", "bus.sink_failed", subject=name, reason=repr(error))

    async def _process_err(self, err_msg: str) -> None:
        # The library closes the connection for good on most errors; this one never gives up.
        reason = err_msg.strip("'")
        if reason != self._failure:
            log(_logger, "warning", "bus.server_error", server=self.address, reason=reason)
        self._failure = reason
        if "permissions violation" not in reason:
            await self._process_op_err(nats_errors.Error(reason))

    async def _process_op_err(self, e: Exception) -> None:
        self._failure = str(e) or repr(e)
        self._note_loss()
        self._abort()
        await super()._process_op_err(e)

    async def _connect_to_server(self, s: Srv) -> None:
        self._abort()  # what is left of an attempt that failed halfway
        for task in (self._reading_task, self._ping_interval_task, self._flusher_task):
            if task is not None:
                task.cancel()
        await super()._connect_to_server(s)

    async def _process_connect_init(self) -> None:
        try:
            await super()._process_connect_init()
        except (ValueError, LookupError) as error:  # or it would never try again
            raise nats_errors.Error(f"no NATS server speaks there: {error}") from error

    def _abort(self) -> None:
        """Give the socket up at once: a close waits until the other side has taken everything."""
        writer = getattr(self._transport, "_io_writer", None)
        if isinstance(writer, asyncio.StreamWriter):
            writer.transport.abort()

    def _refusal(self, error: Exception) -> Unavailable | SettingsError:
        reason = self._failure or str(error) or "no answer in time"
        if _UNAUTHORIZED in reason.lower():
            return SettingsError(
                f"the NATS server at {self.address} refuses us ({reason}): "
                "set user and password, or token, in DALSEGNO_NATS_URL"
            )
        return Unavailable(
            f"no NATS server answers at {self.address} ({reason}): "
            "start one, or set DALSEGNO_NATS_URL"
        )

    async def _process_pong(self) -> None:
        # The library fails, and its reading loop ends, if whoever sent the PING has given up.
        if self._pongs:
            waiting = self._pongs.pop(0)
            if not waiting.done():
                waiting.set_result(True)
        self._pings_outstanding = 0

    async def _written(self) -> None:
        """Return when all that waits has been written; the library's way swallows cancellation.

        Raises:
            TimeoutError: It takes too long.
        """
        assert self._flush_queue is not None
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(SERVER_SECONDS_MAX):
            await self._flush_queue.put(written)
            await written

    async def _on_error(self, error: Exception) -> None:
        self._failure = str(error) or repr(error)  # told when the connection is lost

    async def _on_lost(self) -> None:
        self._note_loss()

    def _note_loss(self) -> None:
        if not self._up.is_set():
            return
        self._up.clear()
        if not self._shut:
            reason = self._failure or "it fell silent"
            log(_logger, "warning", "bus.disconnected", server=self.address, reason=reason)
        self._tell(self._hooks_lost)

    async def _on_back(self) -> None:
        log(_logger, "info", "bus.reconnected", server=self.address)
        self.generation += 1
        self._failure = ""
        self._overflow = False
        self._up.set()
        self._tell(self._hooks_back)

    def _tell(self, hooks: Sequence[Callable[[], None]]) -> None:
        for hook in tuple(hooks):
            hook()

    def _next_server(
        self, servers: list[Server], info: dict[str, Any]
    ) -> tuple[Server | None, float]:
        del info
        server = min(servers, key=lambda one: one.reconnects)
        wait = min(_RECONNECT_SECONDS_MIN * 2 ** min(server.reconnects, 10), _RECONNECT_SECONDS_MAX)
        return server, wait * (0.5 + random() / 2)  # noqa: S311  # spreads clients, hides nothing


def _without_secrets(url: str) -> str:
    scheme, _, place = url.rpartition("://")
    return f"{scheme or 'nats'}://{place.rpartition('@')[2]}"


def _is_known(url: str) -> bool:
    """Whether the library would connect there as it says: another scheme it takes for a host."""
    return "://" not in url or url.startswith(_SCHEMES)
