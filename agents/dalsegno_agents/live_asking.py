"""Live questions: asked over core subjects, answered at once by one replica, recorded nowhere.

Who can answer is read from the agents' bucket, not more often than every few seconds.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from pydantic import TypeAdapter

from dalsegno_agents.errors import QuestionFailed
from dalsegno_agents.questions import failed
from dalsegno_agents.reports import Identity, Reports
from dalsegno_bus import codec
from dalsegno_bus.bus import Bus, Entry, Outgoing
from dalsegno_bus.errors import BusError, DecodeFailed, Unavailable
from dalsegno_bus.logs import log
from dalsegno_bus.messages import AgentCard, Json, LiveAnswer, Presence, Question
from dalsegno_bus.subjects import Subjects

READ_SECONDS: Final = 3.0
"""So long one reading of the bucket serves."""
BUSY: Final = "question.busy"
NOBODY: Final = "question.nobody"
TIMEOUT: Final = "question.timeout"

_ANSWER: Final = TypeAdapter(LiveAnswer)
_CARD: Final = TypeAdapter(AgentCard)
_PRESENCE: Final = TypeAdapter(Presence)

_logger = logging.getLogger("dalsegno.agent")


@dataclass(slots=True)
class Known:
    """What the bucket says of one agent."""

    card: AgentCard | None = None
    is_drained: bool = False
    replicas: list[Presence] = field(default_factory=list[Presence])

    def can(self, capability: str) -> bool:
        """Whether a task of this kind is for this agent."""
        return self.card is not None and any(
            skill.name == capability for skill in self.card.capabilities
        )

    @property
    def rank(self) -> tuple[int, float]:
        """The lower, the sooner it is asked: live before draining, idle before busy."""
        live = [one for one in self.replicas if not one.draining and not self.is_drained]
        if not live:
            return (1 if self.replicas else 2, 0.0)
        working = sum(len(one.working) for one in live)
        return 0, working / sum(one.concurrency for one in live)


class Directory:
    """Which agents there are, as the bucket says."""

    def __init__(self, bus: Bus, subjects: Subjects) -> None:
        self._bucket = bus.bucket(subjects.agents_bucket)
        self._agents: Mapping[str, Known] = {}
        self._read_at: float | None = None
        self._reading = asyncio.Lock()

    async def able(self, capability: str) -> list[str]:
        """The agents with this capability, the best to ask first.

        Those without a living replica come last: one may have come since the bucket was read.
        """
        await self._refresh()
        ranked = sorted(
            (known.rank, agent) for agent, known in self._agents.items() if known.can(capability)
        )
        return [agent for _, agent in ranked]

    async def _refresh(self) -> None:
        clock = asyncio.get_running_loop().time
        async with self._reading:
            if self._read_at is not None and clock() < self._read_at + READ_SECONDS:
                return
            agents: dict[str, Known] = {}
            async with self._bucket.watch() as entries:
                async for entry in entries:
                    if entry is None:
                        break
                    _note(agents, entry)
            self._agents, self._read_at = agents, clock()


class LiveQuestions:
    """Asks live questions for all attempts of one replica."""

    def __init__(self, bus: Bus, subjects: Subjects, reports: Reports) -> None:
        self._bus = bus
        self._subjects = subjects
        self._reports = reports
        self._directory = Directory(bus, subjects)

    async def ask(
        self, identity: Identity, capability: str, value: Json, *, timeout_seconds: float
    ) -> Json:
        """Ask whoever can answer, one agent after another while they are away or busy.

        Raises:
            QuestionFailed: Nobody could answer, or not in time.
        """
        limit = asyncio.timeout(timeout_seconds)
        try:
            async with limit:
                answer = await self._answer(identity, capability, value, timeout_seconds)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise QuestionFailed(
                f"the live question to {capability!r} was not answered within "
                f"{timeout_seconds:g} s: give it more time (`timeout=`)",
                code=TIMEOUT,
            ) from error
        except (BusError, Unavailable) as error:
            raise QuestionFailed(f"the live question to {capability!r}: {error}") from error
        if answer.error is not None:
            raise failed(answer.error)
        return await self._reports.whole(answer.output)

    async def _answer(
        self, identity: Identity, capability: str, value: Json, timeout_seconds: float
    ) -> LiveAnswer:
        clock = asyncio.get_running_loop().time
        until = clock() + timeout_seconds
        small = await self._reports.small(value)
        busy: LiveAnswer | None = None
        for agent in await self._directory.able(capability):
            left = max(0.001, until - clock())
            question = Question(
                capability=capability,
                input=small,
                asked_by=f"{identity['run_id']}/{identity['task_id']}/{identity['attempt']}",
                timeout_seconds=left,
            )
            try:
                answer = await self._asked(agent, question)
            except Unavailable as error:  # gone since the bucket was read; or it is too late
                log(_logger, "info", "agent.nobody_answers", agent=agent, reason=str(error))
                continue
            if answer.error is None or answer.error.code != BUSY:
                return answer
            busy = answer
        if busy is not None:
            return busy
        raise QuestionFailed(
            f"no agent with the capability {capability!r} is there to answer live: "
            "start one, or ask through the saga (`context.ask`), which waits for one",
            code=NOBODY,
        )

    async def _asked(self, agent: str, question: Question) -> LiveAnswer:
        message = Outgoing(self._subjects.ask(agent), codec.encode(question))
        # Longer than the question lives, so that one clock alone says when it is too late.
        wait = question.timeout_seconds + 1.0
        return codec.decode(_ANSWER, (await self._bus.ask(message, timeout_seconds=wait)).body)


def _note(agents: dict[str, Known], entry: Entry) -> None:
    kind, _, name = entry.key.partition(".")
    agent = name.partition(".")[0]
    if entry.value is None or kind not in {"card", "live", "drained"}:
        return
    known = agents.setdefault(agent, Known())
    try:
        match kind:
            case "card":
                known.card = codec.decode(_CARD, entry.value)
            case "live":
                known.replicas.append(codec.decode(_PRESENCE, entry.value))
            case _:
                known.is_drained = True
    except DecodeFailed as error:
        log(_logger, "warning", "agent.entry_not_understood", key=entry.key, reason=str(error))
