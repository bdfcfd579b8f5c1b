"""What connects one handler's context with the rest of the world while it works."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from dalsegno_agents.errors import QuestionFailed
from dalsegno_agents.heartbeats import Beat, Heart
from dalsegno_agents.live import Live, Watched
from dalsegno_agents.live_asking import LiveQuestions
from dalsegno_agents.outcomes import LastProgress
from dalsegno_agents.portal import Calls, Portal
from dalsegno_agents.questions import Questions
from dalsegno_agents.replanning import Replan, Replanning
from dalsegno_agents.reports import Identity
from dalsegno_bus.messages import Json


@dataclass(frozen=True, kw_only=True)
class Outside:
    """What the attempts of one replica share: who tells, stores and asks for them."""

    live: Live
    heart: Heart
    questions: Questions
    live_questions: LiveQuestions
    replanning: Replanning
    portal: Portal


class AttemptLine:
    """The line of one attempt; without `watched`, that of an answer to a live question.

    Args:
        beat: Where its heartbeats go; None: it need not give any.
        calls: What its threads wait for.
        is_cancelled: Whether somebody still waits for it.
    """

    def __init__(
        self,
        outside: Outside,
        identity: Identity,
        *,
        watched: Watched | None,
        beat: Beat | None,
        calls: Calls,
        is_cancelled: Callable[[], bool],
    ) -> None:
        self._outside = outside
        self._identity = identity
        self._watched = watched
        self._beat = beat
        self._calls = calls
        self._is_cancelled = is_cancelled

    @property
    def cancelled(self) -> bool:
        return self._is_cancelled()

    @property
    def is_recorded(self) -> bool:
        return self._watched is not None

    def tell(self, told: LastProgress) -> None:
        if self._watched is not None:
            self._watched.tell_progress(told.fraction, told.message)
        if self._beat is not None:
            self._beat.tell(told)

    def stream(self, piece: Json) -> None:
        if self._watched is not None:
            self._watched.stream(piece)

    async def ask(self, capability: str, value: Json, timeout_seconds: float) -> Json:
        if not self.is_recorded:
            raise QuestionFailed(
                "whoever answers a live question cannot ask through the saga: use `ask_live`",
                code="question.live",
            )
        return await self._outside.questions.ask(
            self._identity, capability, value, timeout_seconds=timeout_seconds
        )

    async def ask_live(self, capability: str, value: Json, timeout_seconds: float) -> Json:
        return await self._outside.live_questions.ask(
            self._identity, capability, value, timeout_seconds=timeout_seconds
        )

    async def replan(self, wanted: Replan) -> None:
        await self._outside.replanning.replan(self._identity, wanted)

    def wait_for(self, make: Callable[[], Coroutine[Any, Any, Json]]) -> Json:
        return self._calls.wait_for(make)
