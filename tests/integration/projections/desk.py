"""A desk at which questions are asked, over any bus, and what is recorded before."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
from integration.projections.databases import Databases
from unit.projections.story import chain, registered

from dalsegno_bus.bus import Bus, Outgoing
from dalsegno_bus.subjects import Subjects
from dalsegno_bus.telemetry import FinishedSpan
from dalsegno_orchestrator.history import Sealed
from dalsegno_projections import asking
from dalsegno_projections import questions as q
from dalsegno_projections.answers import Answers
from dalsegno_projections.asking import ask
from dalsegno_projections.catalog import VIEWS
from dalsegno_projections.queries import QueryService, replies_of
from dalsegno_projections.traces import TraceSender
from support.scenario import RUN, Scenario, scenario, shared

TASKS: dict[str, Any] = {
    "gather": {"capability": "do", "foreach": [1, 2]},
    "analyze": {"capability": "other", "input": "${ tasks.gather }"},
}
DOCUMENT: dict[str, Any] = {"workflow": "test", "version": 1, "tasks": TASKS}
SECONDS_MAX = 20.0


class Kept:
    """An exporter that keeps what it is given."""

    def __init__(self) -> None:
        self.spans: list[FinishedSpan] = []

    def export(self, spans: Sequence[FinishedSpan]) -> None:
        self.spans += spans


class Desk:
    """A service that answers, and somebody who asks."""

    def __init__(self, databases: Databases, bus: Bus, exporter: Kept | None) -> None:
        self.databases = databases
        self.bus = bus
        self.exporter = exporter
        self.subjects = Subjects(namespace=databases.namespace)

    def record(self, *sealed: Sealed) -> None:
        """Put events into the store, and into the views."""
        self.databases.store.append(list(sealed))
        self.databases.projector().catch_up()

    async def ask(self, query: asking.Query[Any, Any], question: q.Question) -> Any:
        return await ask(self.bus, self.subjects, query, question, timeout_seconds=SECONDS_MAX)

    async def say(self, query: asking.Query[Any, Any], body: bytes) -> Any:
        """Ask without the help of `ask`."""
        message = Outgoing(self.subjects.query(query.name), body)
        heard = await self.bus.ask(message, timeout_seconds=SECONDS_MAX)
        return orjson.loads(heard.body)


@asynccontextmanager
async def service(
    databases: Databases, answering: Bus, asked: Bus, exporter: Kept | None
) -> AsyncGenerator[Desk]:
    answers = Answers(databases.rows, databases.store, followed=[view.name for view in VIEWS])
    sender = TraceSender(databases.rows, databases.store, exporter)
    desk = Desk(databases, asked, exporter)
    async with working(QueryService(answering, desk.subjects, replies_of(answers, sender))):
        yield desk


@asynccontextmanager
async def working(queries: QueryService) -> AsyncGenerator[None]:
    """The service at work until the block ends."""
    async with asyncio.TaskGroup() as group:
        group.create_task(queries.run())
        async with asyncio.timeout(SECONDS_MAX):
            while not queries.is_listening:  # noqa: ASYNC110 - told by a flag alone
                await asyncio.sleep(0.001)
        try:
            yield
        finally:
            queries.stop()


def played() -> Scenario:
    """A run with a `foreach`, a failure and a retry, that has completed."""
    run = scenario(TASKS)
    run.start({"year": 2025})
    run.when(shared("gather-0", "region", "eu"))
    run.now = run.now.replace(second=1)
    run.done("gather-0", {"rows": 1})
    run.now = run.now.replace(second=2)
    run.fail("gather-1")
    run.after(60.0)
    run.done("gather-1", {"rows": 2}, attempt=2)
    run.done("analyze", "fine")
    return run


def record_played(desk: Desk) -> Scenario:
    run = played()
    desk.record(*registered(DOCUMENT), *chain(run.history, stream=RUN))
    return run
