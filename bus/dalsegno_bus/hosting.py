"""The process around a service: its health, its patience with servers that are away, its end.

Health is answered and signals are heeded from the first moment, before anything is reached; then
the service takes both over. Knows nothing of what a service does.
"""

import asyncio
import signal
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from logging import getLogger
from typing import Final, TypeVar

from dalsegno_bus.errors import DalsegnoError
from dalsegno_bus.health import Counts, Ready, serve_health
from dalsegno_bus.logs import log
from dalsegno_bus.waiting import patiently

STOPS: Final = (signal.SIGTERM, signal.SIGINT)
"""What tells a process to stop."""

ResultT = TypeVar("ResultT")

_logger = getLogger(__name__)


class Host:
    """What a service that begins is given, to reach its servers and to be looked at and stopped.

    Args:
        patience: Ends what begins when we are told to stop.
    """

    def __init__(self, patience: asyncio.Timeout) -> None:
        self._patience = patience
        self._reason = "it is starting"
        self._stop: Callable[[], object] | None = None
        self._ready: Ready = lambda: [self._reason]
        self._counts: Counts = dict

    async def reach(self, what: str, attempt: Callable[[], Awaitable[ResultT]]) -> ResultT:
        """What `attempt` returns, as soon as its server is there; health says what is missing.

        Args:
            what: Stands in the log lines: `nats`.
            attempt: Called until it raises no `Unavailable`.
        """
        return await patiently(what, attempt, on_fault=self._is_missing)

    def hand_over(
        self, *, stop: Callable[[], object], problems: Ready, counts: Counts = dict
    ) -> None:
        """From now on the service answers for itself, and ends itself when `stop` is called."""
        self._stop, self._ready, self._counts = stop, problems, counts

    def problems(self) -> Sequence[str]:
        """What keeps the service from working."""
        return self._ready()

    def counts(self) -> Mapping[str, int]:
        """What the service has counted."""
        return self._counts()

    def on_signal(self, number: signal.Signals) -> None:
        """Have the service stop; one that has not begun to work is cancelled."""
        log(_logger, "info", "told_to_stop", signal=number.name)
        if self._stop is not None:
            self._stop()
        else:
            self._patience.reschedule(asyncio.get_running_loop().time())

    def _is_missing(self, reason: str) -> None:
        self._reason = reason


async def host(serve: Callable[[Host], Awaitable[None]], *, health_port: int | None) -> None:
    """Serve until done, or until SIGTERM or SIGINT; both are heeded while servers are awaited, too.

    Args:
        serve: Reaches what it needs, hands itself over, and works.
        health_port: Where health is answered while it lasts; None: nowhere.

    Raises:
        SettingsError: The port cannot be used, or `serve` says so.
    """
    patience = asyncio.timeout(None)
    try:
        async with patience:
            hosted = Host(patience)
            async with _signals(hosted.on_signal), _health(health_port, hosted):
                await serve(hosted)
    except TimeoutError:
        if not patience.expired():
            raise


def heed_no_more_signals() -> None:
    """Let the next signal do what it does to any process: end it at once."""
    loop = asyncio.get_running_loop()
    for number in STOPS:
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_DFL)  # SIGINT, too, which would raise an exception


def run(service: str, begin: Callable[[], Coroutine[None, None, None]]) -> int:
    """Run a service as this process; say in one sentence what keeps it from beginning.

    Args:
        service: Its name, for people.
        begin: Reads the settings and makes what is to run.

    Returns:
        The exit code: 0 after an orderly end, 2 if it could not begin.
    """
    try:
        asyncio.run(begin())
    except* DalsegnoError as errors:
        sys.stderr.write(f"dalsegno {service}: {_first(errors)}\n")
        exit_code = 2
    else:
        exit_code = 0
    return exit_code


@asynccontextmanager
async def _signals(on_signal: Callable[[signal.Signals], None]) -> AsyncGenerator[None]:
    loop = asyncio.get_running_loop()
    for number in STOPS:
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield
    finally:
        for number in STOPS:
            loop.remove_signal_handler(number)


@asynccontextmanager
async def _health(port: int | None, hosted: Host) -> AsyncGenerator[None]:
    if port is None:
        yield
        return
    async with serve_health(port, hosted.problems, counts=hosted.counts):
        yield


def _first(errors: BaseExceptionGroup[DalsegnoError]) -> BaseException:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
