"""One projections process: builds everything, runs the loops, stops in order.

Three loops that share nothing but the databases: views, traces, questions. The views' follower
alone writes views; the traces' follower alone sends spans.
"""

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from functools import partial
from typing import Final

from dalsegno_bus.bus import Bus
from dalsegno_bus.clock import utc_now
from dalsegno_bus.errors import SettingsError
from dalsegno_bus.health import serve_health
from dalsegno_bus.logs import log, setup_logging
from dalsegno_bus.nats import connect
from dalsegno_bus.telemetry import SERVICE_PREFIX, Tracing, start_tracing
from dalsegno_bus.waiting import patiently
from dalsegno_orchestrator.store import Store
from dalsegno_projections.answers import Answers
from dalsegno_projections.catalog import VIEWS, forget_other_history, open_rows, retry_parked
from dalsegno_projections.follower import Follower, hear_hints
from dalsegno_projections.lagging import LagGauge, lags_of
from dalsegno_projections.projector import Projector
from dalsegno_projections.queries import QueryService, replies_of
from dalsegno_projections.settings import ProjectionSettings
from dalsegno_projections.storage.rows import Rows
from dalsegno_projections.traces import TRACES, TraceProjector, TraceSender

TRIES_MAX: Final = 5
"""How often an event is tried before it is parked: some three seconds in all."""

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
        projector = Projector(store, rows, VIEWS, batch_events_max=batch_max, tries_max=TRIES_MAX)
        self._views = Follower(projector, name="views", poll_seconds=poll_seconds)
        self._followers = [self._views]
        followed = [view.name for view in VIEWS]
        if tracing is not None:
            traces = TraceProjector(store, rows, tracing, batch_events_max=batch_max)
            self._followers.append(Follower(traces, name=TRACES, poll_seconds=poll_seconds))
            followed.append(TRACES)
        answers = Answers(rows, store, followed=followed)
        sender = TraceSender(rows, store, tracing)
        self._lag_seconds_max = settings.lag_seconds_max
        self._projector = projector
        self.gauge = LagGauge(lambda: lags_of(rows, store, followed, now=utc_now()))
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
            looking = group.create_task(self.gauge.run())
            working = [group.create_task(follower.run()) for follower in self._followers]
            working.append(group.create_task(self._queries.run()))
            log(_logger, "info", "projections_ready")
            await asyncio.wait(working)
            hints.cancel()
            looking.cancel()
        log(_logger, "info", "projections_stopped")

    def problems(self) -> list[str]:
        """Why it is not ready; empty if it is."""
        found = [] if self._views.fault is None else [self._views.fault]
        if not self._views.caught_up:
            found.append("the views have not caught up with the history yet")
        found += [f"{view}: {why}" for view, why in self._projector.troubles().items()]
        found += self.gauge.problems(seconds_max=self._lag_seconds_max)
        if not self._queries.is_listening:
            found.append("no questions are heard")
        return found


async def run_projections(settings: ProjectionSettings) -> None:
    """Connect, work until SIGTERM or SIGINT, leave in order.

    A server that is away is waited for, at the start as well; `/readyz` says which one.

    Raises:
        SettingsError: A setting is wrong.
    """
    setup_logging(settings.log_format, settings.log_level, "projections")
    start = _Start()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, start.stop)
    async with _health(settings.health_port, start), contextlib.AsyncExitStack() as stack:
        try:
            async with asyncio.timeout(None) as start.patience:
                projections = await _open(settings, stack, start.waits)
        except TimeoutError:
            if not start.is_stopped:
                raise
            return
        start.projections = projections
        if not start.is_stopped:
            await projections.run()


async def _open(
    settings: ProjectionSettings, stack: contextlib.AsyncExitStack, waits: Callable[[str], None]
) -> Projections:
    """Everything that it needs, as soon as the servers are there; closed with `stack`."""
    store = await patiently("store", partial(_open_store, settings), on_fault=waits)
    stack.callback(store.close)
    rows = await patiently("views", partial(_open_rows, settings, store), on_fault=waits)
    stack.callback(rows.close)
    tracing = start_tracing(settings.otlp_endpoint, f"{SERVICE_PREFIX}orchestrator")
    if tracing is not None:
        stack.push_async_callback(asyncio.to_thread, tracing.shutdown)
    opened = partial(connect, settings.nats_url, name="projections")
    bus = await patiently("nats", opened, on_fault=waits)
    stack.push_async_callback(bus.close)
    return Projections(settings, bus, store, rows, tracing=tracing)


class _Start:
    """What there is to stop and to look at, from the first moment on."""

    def __init__(self) -> None:
        self.patience: asyncio.Timeout | None = None
        self.projections: Projections | None = None
        self.is_stopped = False
        self._fault = "it is starting"

    def waits(self, fault: str) -> None:
        self._fault = fault

    def stop(self) -> None:
        self.is_stopped = True
        if self.projections is not None:
            self.projections.stop()
        elif self.patience is not None:
            self.patience.reschedule(asyncio.get_running_loop().time())

    def problems(self) -> list[str]:
        if self.projections is None:
            return [self._fault]
        return self.projections.problems()

    def counts(self) -> Mapping[str, int]:
        return {} if self.projections is None else self.projections.gauge.counts()


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


@contextlib.asynccontextmanager
async def _health(port: int | None, start: _Start) -> AsyncGenerator[None]:
    if port is None:
        yield
        return
    try:
        async with serve_health(port, start.problems, counts=start.counts):
            yield
    except OSError as error:
        raise SettingsError(
            f"DALSEGNO_HEALTH_PORT: port {port} cannot be used ({error.strerror}); give another"
        ) from error
