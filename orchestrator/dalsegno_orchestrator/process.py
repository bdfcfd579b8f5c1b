"""The process around an orchestrator: what it opens before it works, and closes after."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from functools import partial

from dalsegno_bus.clock import utc_now
from dalsegno_bus.hosting import Host, host
from dalsegno_bus.logs import setup_logging
from dalsegno_bus.nats import connect
from dalsegno_orchestrator.service import Orchestrator
from dalsegno_orchestrator.settings import OrchestratorSettings
from dalsegno_orchestrator.store import Store


async def run_orchestrator(
    settings: OrchestratorSettings, *, now: Callable[[], datetime] = utc_now
) -> None:
    """Connect, work until SIGTERM or SIGINT, leave in order. Waits for servers that are away.

    Args:
        settings: What it was told.
        now: The clock (UTC).

    Raises:
        SettingsError: A setting is wrong.
    """
    setup_logging(settings.log_format, settings.log_level, "orchestrator")
    await host(partial(_serve, settings, now), health_port=settings.health_port)


async def _serve(settings: OrchestratorSettings, now: Callable[[], datetime], hosted: Host) -> None:
    store = Store(settings.store_url, namespace=settings.namespace)
    try:
        await hosted.reach("the event store", partial(asyncio.to_thread, store.ensure_schema))
        bus = await hosted.reach("nats", partial(connect, settings.nats_url, name="orchestrator"))
        try:
            orchestrator = Orchestrator(settings, bus, store, now=now)
            hosted.hand_over(
                stop=orchestrator.stop,
                problems=orchestrator.problems,
                counts=orchestrator.counts,
            )
            await orchestrator.run()
        finally:
            await bus.close()
    finally:
        store.close()
