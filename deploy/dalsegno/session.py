"""One connection for one command: from the settings of this process, opened and closed here."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, TypeVar
from uuid import UUID

from pydantic import BaseModel

from dalsegno.layout import speak_to
from dalsegno.output import typed
from dalsegno_bus.artifacts import ArtifactStore
from dalsegno_bus.bus import Bus
from dalsegno_bus.client import Client
from dalsegno_bus.errors import Unavailable
from dalsegno_bus.ids import RunId
from dalsegno_bus.nats import connect
from dalsegno_bus.settings import BusSettings, read_settings
from dalsegno_bus.subjects import Subjects
from dalsegno_projections.asking import RUN, Query, ask
from dalsegno_projections.questions import AskRun, Question

SOURCE: Final = "cli"

QuestionT = TypeVar("QuestionT", bound=Question)
AnswerT = TypeVar("AnswerT", bound=BaseModel)


class Reading(Protocol):
    """Somebody who answers questions about what was recorded."""

    async def ask(self, query: Query[QuestionT, AnswerT], question: QuestionT) -> AnswerT: ...
    async def run_id(self, reference: str) -> RunId: ...


@dataclass(frozen=True, kw_only=True)
class Session:
    """What a command works with."""

    bus: Bus
    subjects: Subjects
    artifacts: ArtifactStore

    @property
    def client(self) -> Client:
        return Client(self.bus, self.subjects, source=SOURCE, artifacts=self.artifacts)

    async def ask(self, query: Query[QuestionT, AnswerT], question: QuestionT) -> AnswerT:
        """Ask the projections.

        Raises:
            DalsegnoError: They refuse, or do not answer.
        """
        return await ask(self.bus, self.subjects, query, question)

    async def run_id(self, reference: str) -> RunId:
        """The run that a person means: its id, or enough of its first digits.

        Raises:
            UsageError: No run, or more than one, is called so.
        """
        return await run_called(reference, self)


async def run_called(reference: str, reader: Reading) -> RunId:
    """The run that a person means: its id, or enough of its first digits."""
    try:
        return RunId(UUID(reference))
    except ValueError:
        return (await reader.ask(RUN, AskRun(run_id=reference))).run_id


@asynccontextmanager
async def session(folder: Path | None) -> AsyncGenerator[Session]:
    """Connect to the stack in `folder`, or to the one that the settings name.

    Raises:
        SettingsError: A setting does not fit.
        Unavailable: No NATS server answers; says how to start one.
    """
    if folder is not None:
        speak_to(folder)
    settings = read_settings(BusSettings)
    try:
        bus = await connect(settings.nats_url, name=SOURCE)
    except Unavailable as error:
        raise Unavailable(f"{error}; start a local stack: {typed('up', folder)}") from error
    try:
        artifacts = ArtifactStore(settings.artifacts_url)
        yield Session(bus=bus, subjects=settings.subjects, artifacts=artifacts)
    finally:
        await bus.close()
