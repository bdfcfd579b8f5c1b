"""Live questions to this agent: one replica hears each, answers it at once, and keeps nothing."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from pydantic import TypeAdapter

from dalsegno_agents.live_asking import BUSY
from dalsegno_bus import codec
from dalsegno_bus.bus import Bus, Heard
from dalsegno_bus.errors import BusError, DecodeFailed, Unavailable
from dalsegno_bus.logs import log
from dalsegno_bus.messages import Failure, LiveAnswer, Question

LISTEN_PAUSE_SECONDS: Final = 1.0

_QUESTION: Final = TypeAdapter(Question)
_logger = logging.getLogger("dalsegno.agent")


class LiveAnswers:
    """Hears live questions and has them answered. `run` has to run meanwhile.

    Args:
        subject: Where this agent is asked.
        queue: The same for all its replicas, so that one of them answers.
        answer: Answers one question; never raises, unless it is cancelled.
        has_room: Whether one more may be answered now.
        on_end: Called whenever one is over.
    """

    def __init__(
        self,
        bus: Bus,
        subject: str,
        *,
        queue: str,
        answer: Callable[[Question], Awaitable[LiveAnswer]],
        has_room: Callable[[], bool],
        on_end: Callable[[], None],
    ) -> None:
        self._bus = bus
        self._subject = subject
        self._queue = queue
        self._answer = answer
        self._has_room = has_room
        self._on_end = on_end
        self._closing = asyncio.Event()
        self.open = 0
        """Questions that are answered now."""

    def close(self) -> None:
        """Hear no more; what is being answered goes on."""
        self._closing.set()

    async def run(self) -> None:
        """Answer what is asked until `close`, and what was asked before to its end."""
        async with asyncio.TaskGroup() as group:
            listener = group.create_task(self._listen(group))
            await self._closing.wait()
            listener.cancel()

    async def _listen(self, group: asyncio.TaskGroup) -> None:
        while True:
            try:
                async with self._bus.listen(self._subject, queue=self._queue) as heard:
                    await self._hear(heard, group)
            except (BusError, Unavailable) as error:
                log(_logger, "warning", "agent.questions_not_heard", reason=str(error))
                await asyncio.sleep(LISTEN_PAUSE_SECONDS)

    async def _hear(self, heard: AsyncIterator[Heard], group: asyncio.TaskGroup) -> None:
        async for message in heard:
            try:
                question = codec.decode(_QUESTION, message.body)
            except DecodeFailed as error:
                await _reply(message, _refusal("question.malformed", str(error)))
                continue
            if not self._has_room():
                await _reply(message, _refusal(BUSY, "every replica that was asked is busy"))
                continue
            self.open += 1
            task = group.create_task(self._answered(message, question))
            # A callback, for a task that is cancelled before its first step runs no `finally`.
            task.add_done_callback(self._over)

    async def _answered(self, message: Heard, question: Question) -> None:
        await _reply(message, await self._answer(question))

    def _over(self, task: "asyncio.Task[None]") -> None:
        del task
        self.open -= 1
        self._on_end()


def _refusal(code: str, reason: str) -> LiveAnswer:
    return LiveAnswer(error=Failure(code=code, message=reason))


async def _reply(message: Heard, answer: LiveAnswer) -> None:
    try:
        await message.answer(codec.encode(answer))
    except (BusError, Unavailable) as error:
        log(_logger, "warning", "agent.answer_not_sent", reason=str(error))
