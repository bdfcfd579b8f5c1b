"""The process around an orchestrator: its servers, its health, its end. Waits for what is away."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Final

from dalsegno_bus.clock import utc_now
from dalsegno_bus.health import serve_health
from dalsegno_bus.logs import setup_logging
from dalsegno_bus.nats import NatsBus, connect
from dalsegno_bus.waiting import patiently
from dalsegno_orchestrator.service import Orchestrator
from dalsegno_orchestrator.settings import OrchestratorSettings
from dalsegno_orchestrator.store import Store

_STOPS: Final = (signal.SIGTERM, signal.SIGINT)


async def run_orchestrator(settings: OrchestratorSettings) -> None:
    """Connect, work until SIGTERM or SIGINT, leave in order. Waits for servers that are away.

    Raises:
        SettingsError: A setting is wrong.
    """
    setup_logging(settings.log_format, settings.log_level, "orchestrator")
    health = _Health()
    async with health.served(settings.health_port):
        store = Store(settings.store_url, namespace=settings.namespace)
        try:
            bus = await _until_told_to_stop(_reach(settings, store, health))
            if bus is not None:
                await _work(settings, bus, store, health)
        finally:
            store.close()


async def _reach(settings: OrchestratorSettings, store: Store, health: "_Health") -> NatsBus:
    """A connection, as soon as there are a server and a store."""

    async def prepare() -> None:
        await asyncio.to_thread(store.ensure_schema)

    await patiently("the event store", prepare, on_fault=health.waits)
    return await patiently(
        "nats", lambda: connect(settings.nats_url, name="orchestrator"), on_fault=health.waits
    )


async def _work(
    settings: OrchestratorSettings, bus: NatsBus, store: Store, health: "_Health"
) -> None:
    try:
        orchestrator = Orchestrator(settings, bus, store, now=utc_now)
        health.problems, health.counts = orchestrator.problems, orchestrator.counts
        loop = asyncio.get_running_loop()
        for number in _STOPS:
            loop.add_signal_handler(number, orchestrator.stop)
        await orchestrator.run()
    finally:
        await bus.close()


async def _until_told_to_stop(reaching: Coroutine[None, None, NatsBus]) -> NatsBus | None:
    """What comes of it; None: a signal came first."""
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(reaching)
        for number in _STOPS:
            loop.add_signal_handler(number, task.cancel)
    return None if task.cancelled() else task.result()


class _Health:
    """Answers for whoever can: the process first, the orchestrator once there is one."""

    def __init__(self) -> None:
        self._reason = "not yet connected"
        self.problems: Callable[[], list[str]] = lambda: [self._reason]
        self.counts: Callable[[], dict[str, int]] = dict

    def waits(self, reason: str) -> None:
        """This is not there yet."""
        self._reason = reason

    @contextlib.asynccontextmanager
    async def served(self, port: int | None) -> AsyncGenerator[None]:
        """Answer on this port, if there is to be one, until the block ends."""
        if port is None:
            yield
            return
        async with serve_health(port, lambda: self.problems(), counts=lambda: self.counts()):
            yield
