"""One projections process: builds everything, runs the loops, stops in order.

Three loops that share nothing but the databases: views, traces, questions. The views' follower
alone writes views; the traces' follower alone sends spans.
"""

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncGenerator, Callable

from dalsegno_bus.bus import Bus
from dalsegno_bus.errors import SettingsError
from dalsegno_bus.health import serve_health
from dalsegno_bus.logs import log, setup_logging
from dalsegno_bus.nats import connect
from dalsegno_bus.telemetry import SERVICE_PREFIX, Tracing, start_tracing
from dalsegno_orchestrator.store import Store
from dalsegno_projections.answers import Answers
from dalsegno_projections.catalog import VIEWS, forget_other_history, open_rows
from dalsegno_projections.follower import Follower, hear_hints
from dalsegno_projections.projector import Projector
from dalsegno_projections.queries import QueryService, replies_of
from dalsegno_projections.settings import ProjectionSettings
from dalsegno_projections.storage.rows import Rows
from dalsegno_projections.traces import TRACES, TraceProjector, TraceSender

_logger = logging.getLogger("dalsegno.projections")


class Projections:
    """The shell around views, traces and questions. `run` works until `stop` is called.

    Args:
        settings: What it was told.
        bus: For hints and questions.
        store: The event store, with its tables made.
        rows: The views, with their tables made.
        tracing: Where traces go; None: nowhere.
    """

    def __init__(
        self,
        settings: ProjectionSettings,
        bus: Bus,
        store: Store,
        rows: Rows,
        *,
        tracing: Tracing | None = None,
    ) -> None:
        self._bus = bus
        self._subjects = settings.subjects
        batch_max, poll_seconds = settings.projection_batch_max, settings.poll_seconds
        projector = Projector(store, rows, VIEWS, batch_events_max=batch_max)
        self._views = Follower(projector, name="views", poll_seconds=poll_seconds)
        self._followers = [self._views]
        followed = [view.name for view in VIEWS]
        if tracing is not None:
            traces = TraceProjector(store, rows, tracing, batch_events_max=batch_max)
            self._followers.append(Follower(traces, name=TRACES, poll_seconds=poll_seconds))
            followed.append(TRACES)
        answers = Answers(rows, store, followed=followed)
        sender = TraceSender(rows, store, tracing)
        self._queries = QueryService(bus, self._subjects, replies_of(answers, sender))

    def stop(self) -> None:
        """Finish what is in hand, then return from `run`."""
        self._queries.stop()
        for follower in self._followers:
            follower.stop()

    async def run(self) -> None:
        """Follow and answer until told to stop."""
        async with asyncio.TaskGroup() as group:
            hints = group.create_task(hear_hints(self._bus, self._subjects, *self._followers))
            working = [group.create_task(follower.run()) for follower in self._followers]
            working.append(group.create_task(self._queries.run()))
            log(_logger, "info", "projections_ready")
            await asyncio.wait(working)
            hints.cancel()
        log(_logger, "info", "projections_stopped")

    def problems(self) -> list[str]:
        """Why it is not ready; empty if it is."""
        found = [] if self._views.fault is None else [self._views.fault]
        if not self._views.caught_up:
            found.append("the views have not caught up with the history yet")
        if not self._queries.is_listening:
            found.append("no questions are heard")
        return found


async def run_projections(settings: ProjectionSettings) -> None:
    """Connect, work until SIGTERM or SIGINT, leave in order.

    Raises:
        DalsegnoError: A setting is wrong, or a server cannot be reached.
    """
    setup_logging(settings.log_format, settings.log_level, "projections")
    async with contextlib.AsyncExitStack() as stack:
        store = Store(settings.store_url, namespace=settings.namespace)
        stack.callback(store.close)
        rows = open_rows(settings)
        stack.callback(rows.close)
        await asyncio.to_thread(_prepare, store, rows)
        tracing = start_tracing(settings.otlp_endpoint, f"{SERVICE_PREFIX}orchestrator")
        if tracing is not None:
            stack.push_async_callback(asyncio.to_thread, tracing.shutdown)
        bus = await connect(settings.nats_url, name="projections")
        stack.push_async_callback(bus.close)
        projections = Projections(settings, bus, store, rows, tracing=tracing)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, projections.stop)
        async with _health(settings.health_port, projections.problems):
            await projections.run()


def _prepare(store: Store, rows: Rows) -> None:
    store.ensure_schema()
    rows.ensure_schema()
    forget_other_history(store, rows)


@contextlib.asynccontextmanager
async def _health(port: int | None, problems: Callable[[], list[str]]) -> AsyncGenerator[None]:
    if port is None:
        yield
        return
    try:
        async with serve_health(port, problems):
            yield
    except OSError as error:
        raise SettingsError(
            f"DALSEGNO_HEALTH_PORT: port {port} cannot be used ({error.strerror}); give another"
        ) from error
