"""Answers from the files of a stack that rests: the whole history is in its folder all the same.

Its views are brought up to date and read in this process; nothing is started for it.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from dalsegno.layout import speak_to
from dalsegno.output import say
from dalsegno.session import run_called
from dalsegno_bus.ids import RunId
from dalsegno_bus.settings import read_settings
from dalsegno_bus.telemetry import SERVICE_PREFIX, start_tracing
from dalsegno_orchestrator.store import Store
from dalsegno_projections.answers import Answers
from dalsegno_projections.asking import Query
from dalsegno_projections.catalog import VIEWS, forget_other_history, open_rows
from dalsegno_projections.projector import Projector
from dalsegno_projections.queries import Reply, replies_of
from dalsegno_projections.questions import Question
from dalsegno_projections.settings import ProjectionSettings
from dalsegno_projections.storage.rows import Rows
from dalsegno_projections.traces import TraceSender

QuestionT = TypeVar("QuestionT", bound=Question)
AnswerT = TypeVar("AnswerT", bound=BaseModel)


@asynccontextmanager
async def rest(folder: Path) -> AsyncGenerator["Rest"]:
    """The files of the stack in this folder, which must not be running.

    Raises:
        UsageError: No stack has ever run there.
    """
    speak_to(folder)
    settings = read_settings(ProjectionSettings)
    async with AsyncExitStack() as cleanup:
        store = Store(settings.store_url, namespace=settings.namespace)
        cleanup.callback(store.close)
        rows = open_rows(settings)
        cleanup.callback(rows.close)
        await asyncio.to_thread(_catch_up, store, rows)
        tracing = start_tracing(settings.otlp_endpoint, f"{SERVICE_PREFIX}orchestrator")
        if tracing is not None:
            cleanup.push_async_callback(asyncio.to_thread, tracing.shutdown)
        answers = Answers(rows, store, followed=[view.name for view in VIEWS])
        say(f"no stack runs in {folder}: this is read from its files")
        yield Rest(replies_of(answers, TraceSender(rows, store, tracing)))


class Rest:
    """Answers from the files of a stack that rests."""

    def __init__(self, replies: Mapping[Query[Any, Any], Reply]) -> None:
        self._replies = replies

    async def ask(self, query: Query[QuestionT, AnswerT], question: QuestionT) -> AnswerT:
        """See `Session.ask`."""
        return query.answer.model_validate(
            await asyncio.to_thread(self._replies[query], question), from_attributes=True
        )

    async def run_id(self, reference: str) -> RunId:
        """See `Session.run_id`."""
        return await run_called(reference, self)


def _catch_up(store: Store, rows: Rows) -> None:
    store.ensure_schema()
    rows.ensure_schema()
    forget_other_history(store, rows)
    Projector(store, rows, VIEWS).catch_up()
