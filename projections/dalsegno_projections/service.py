"""The projections at work: runs the loops, stops in order.

Three loops that share nothing but the databases: views, traces, questions. The views' follower
alone writes views; the traces' follower alone sends spans.
"""

import asyncio
import logging
from typing import Final

from dalsegno_bus.bus import Bus
from dalsegno_bus.clock import utc_now
from dalsegno_bus.logs import log
from dalsegno_bus.telemetry import Tracing
from dalsegno_orchestrator.store import Store
from dalsegno_projections.answers import Answers
from dalsegno_projections.catalog import VIEWS
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
