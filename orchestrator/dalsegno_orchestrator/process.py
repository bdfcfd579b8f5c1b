"""The process around an orchestrator: its servers, its health, its end. Waits for what is away."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final, TypeVar

from dalsegno_bus.clock import utc_now
from dalsegno_bus.errors import Unavailable
from dalsegno_bus.health import serve_health
from dalsegno_bus.logs import log, setup_logging
from dalsegno_bus.nats import connect
from dalsegno_orchestrator.service import Orchestrator
from dalsegno_orchestrator.settings import OrchestratorSettings
from dalsegno_orchestrator.store import Store

_logger = logging.getLogger("dalsegno.orchestrator")

PAUSE_SECONDS_MIN: Final = 0.1
PAUSE_SECONDS_MAX: Final = 5.0
SAY_AGAIN_SECONDS: Final = 30.0

ResultT = TypeVar("ResultT")


async def run_orchestrator(settings: OrchestratorSettings) -> None:
    """Connect, work until SIGTERM or SIGINT, leave in order. Waits for servers that are away.

    Raises:
        SettingsError: A setting is wrong.
    """
    setup_logging(settings.log_format, settings.log_level, "orchestrator")
    told_to_stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told_to_stop.set)
    async with contextlib.AsyncExitStack() as stack:
        problems: list[str] = ["not yet connected"]
        counts: dict[str, int] = {}
        health = _Health(problems=lambda: problems, counts=lambda: counts)
        await stack.enter_async_context(_served(settings.health_port, health))
        store = Store(settings.store_url, namespace=settings.namespace)
        stack.callback(store.close)

        async def prepare() -> None:
            await asyncio.to_thread(store.ensure_schema)

        if not await _patiently(prepare, told_to_stop, problems):
            return
        buses = await _patiently(
            lambda: connect(settings.nats_url, name="orchestrator"), told_to_stop, problems
        )
        if not buses:
            return
        stack.push_async_callback(buses[0].close)
        orchestrator = Orchestrator(settings, buses[0], store, now=utc_now)
        health.problems, health.counts = orchestrator.problems, orchestrator.counts
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, orchestrator.stop)
        if not told_to_stop.is_set():
            await orchestrator.run()


async def _patiently(
    attempt: Callable[[], Awaitable[ResultT]], stop: asyncio.Event, problems: list[str]
) -> list[ResultT]:
    """What `attempt` gives, once it does; nothing if we are told to stop before."""
    pause, said_at = PAUSE_SECONDS_MIN, float("-inf")
    loop = asyncio.get_running_loop()
    while not stop.is_set():
        try:
            return [await attempt()]
        except Unavailable as error:
            problems[:] = [str(error)]
            if loop.time() - said_at >= SAY_AGAIN_SECONDS:
                said_at = loop.time()
                log(_logger, "warning", "waits_to_begin", reason=str(error))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await stop.wait()
        pause = min(2 * pause, PAUSE_SECONDS_MAX)
    return []


class _Health:
    """Answers for whoever can: the process first, the orchestrator once there is one."""

    def __init__(
        self, *, problems: Callable[[], list[str]], counts: Callable[[], dict[str, int]]
    ) -> None:
        self.problems = problems
        self.counts = counts


@contextlib.asynccontextmanager
async def _served(port: int | None, health: _Health) -> AsyncGenerator[None]:
    if port is None:
        yield
        return
    async with serve_health(port, lambda: health.problems(), counts=lambda: health.counts()):
        yield
