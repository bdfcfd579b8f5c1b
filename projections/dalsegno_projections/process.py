"""The process around the projections: what it opens before they work, and closes after."""

import asyncio
import contextlib
from collections.abc import Generator
from functools import partial

from dalsegno_bus.hosting import Host, host
from dalsegno_bus.logs import setup_logging
from dalsegno_bus.nats import connect
from dalsegno_bus.telemetry import SERVICE_PREFIX, start_tracing
from dalsegno_orchestrator.store import Store
from dalsegno_projections.catalog import forget_other_history, open_rows, retry_parked
from dalsegno_projections.service import Projections
from dalsegno_projections.settings import ProjectionSettings
from dalsegno_projections.storage.rows import Rows


async def run_projections(settings: ProjectionSettings) -> None:
    """Connect, work until SIGTERM or SIGINT, leave in order. Waits for servers that are away.

    Raises:
        SettingsError: A setting is wrong.
    """
    setup_logging(settings.log_format, settings.log_level, "projections")
    await host(partial(_serve, settings), health_port=settings.health_port)


async def _serve(settings: ProjectionSettings, hosted: Host) -> None:
    async with contextlib.AsyncExitStack() as stack:
        projections = await _open(settings, stack, hosted)
        hosted.hand_over(
            stop=projections.stop,
            problems=projections.problems,
            counts=projections.gauge.counts,
        )
        await projections.run()


async def _open(
    settings: ProjectionSettings, stack: contextlib.AsyncExitStack, hosted: Host
) -> Projections:
    """Everything that it needs, as soon as the servers are there; closed with `stack`."""
    store = await hosted.reach("store", partial(_open_store, settings))
    stack.callback(store.close)
    rows = await hosted.reach("views", partial(_open_rows, settings, store))
    stack.callback(rows.close)
    tracing = start_tracing(settings.otlp_endpoint, f"{SERVICE_PREFIX}orchestrator")
    if tracing is not None:
        stack.push_async_callback(asyncio.to_thread, tracing.shutdown)
    bus = await hosted.reach("nats", partial(connect, settings.nats_url, name="projections"))
    stack.push_async_callback(bus.close)
    return Projections(settings, bus, store, rows, tracing=tracing)


async def _open_store(settings: ProjectionSettings) -> Store:
    store = await asyncio.to_thread(Store, settings.store_url, namespace=settings.namespace)
    with _closed_on_error(store):
        await asyncio.to_thread(store.ensure_schema)
    return store


async def _open_rows(settings: ProjectionSettings, store: Store) -> Rows:
    rows = await asyncio.to_thread(open_rows, settings)

    def prepare() -> None:
        rows.ensure_schema()
        if not forget_other_history(store, rows):
            retry_parked(rows, by_other_code=True)

    with _closed_on_error(rows):
        await asyncio.to_thread(prepare)
    return rows


@contextlib.contextmanager
def _closed_on_error(opened: Store | Rows) -> Generator[None]:
    try:
        yield
    except BaseException:
        opened.close()
        raise
