"""Answers questions over the bus: request and reply on `subjects.query(name)`, one queue group.

Whatever comes in, something goes out: an answer, or a refusal with a code and a sentence. No
question stops the service; at most `ANSWERS_MAX` are worked on at once, the rest wait their turn.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from dalsegno_bus.bus import Bus, Heard
from dalsegno_bus.codec import encode, readable
from dalsegno_bus.errors import BusError, DalsegnoError, DecodeFailed, Unavailable
from dalsegno_bus.logs import log
from dalsegno_bus.subjects import Subjects
from dalsegno_projections.answers import Answers
from dalsegno_projections.asking import (
    AGENTS,
    AUDIT,
    HISTORY,
    LAG,
    LIMIT_USE,
    LIMITS,
    PARKED,
    REWIND_PREVIEW,
    RUN,
    RUN_DETAIL,
    RUNS,
    SCHEDULES,
    STATE,
    TRACE,
    WORKFLOWS,
    Query,
)
from dalsegno_projections.questions import Question, Refusal, Refused
from dalsegno_projections.traces import TraceSender

QUEUE: Final = "projections"
"""The queue group: one of its members answers."""
ANSWERS_MAX: Final = 4
BODY_BYTES_MAX: Final = 1_000_000
"""What fits into one message."""
LISTEN_AGAIN_SECONDS: Final = 1.0

_logger = logging.getLogger("dalsegno.projections")

Reply = Callable[[Any], BaseModel]


class QueryService:
    """Listens for questions until told to stop.

    Args:
        replies: How each kind of question is answered; a function that blocks.
    """

    def __init__(
        self, bus: Bus, subjects: Subjects, replies: Mapping[Query[Any, Any], Reply]
    ) -> None:
        self._bus = bus
        self._known = {
            subjects.query(query.name): (query, reply) for query, reply in replies.items()
        }
        self._room = asyncio.Semaphore(ANSWERS_MAX)
        self._stopping = asyncio.Event()
        self.is_listening = False

    def stop(self) -> None:
        """Finish what is being answered, then return from `run`."""
        self._stopping.set()

    async def run(self) -> None:
        """Answer until `stop` is called."""
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(self._listen(group))
            await self._stopping.wait()
            listening.cancel()

    async def _listen(self, group: asyncio.TaskGroup) -> None:
        while True:
            try:
                async with self._bus.listen(*self._known, queue=QUEUE) as questions:
                    self.is_listening = True
                    async for heard in questions:
                        await self._room.acquire()
                        group.create_task(self._answer(heard))
            except (BusError, Unavailable) as error:
                log(_logger, "warning", "questions_unheard", reason=str(error))
            finally:
                self.is_listening = False
            await asyncio.sleep(LISTEN_AGAIN_SECONDS)

    async def _answer(self, heard: Heard) -> None:
        try:
            query, reply = self._known[heard.subject]
            body = await asyncio.to_thread(_reply_to, query, reply, heard.body)
            await heard.answer(body)
        except (BusError, Unavailable) as error:
            log(_logger, "warning", "answer_unsent", subject=heard.subject, reason=str(error))
        finally:
            self._room.release()


def replies_of(answers: Answers, sender: TraceSender) -> dict[Query[Any, Any], Reply]:
    """How each kind of question is answered."""
    return {
        RUN: answers.run,
        RUN_DETAIL: answers.run_detail,
        RUNS: answers.runs,
        HISTORY: answers.history,
        STATE: answers.state,
        AUDIT: answers.audit,
        AGENTS: answers.agents,
        WORKFLOWS: answers.workflows,
        SCHEDULES: answers.schedules,
        LIMITS: answers.limits,
        LIMIT_USE: answers.limit_use,
        REWIND_PREVIEW: answers.rewind_preview,
        LAG: answers.lag,
        PARKED: answers.parked,
        TRACE: sender.send,
    }


def _reply_to(query: Query[Any, Any], reply: Reply, body: bytes) -> bytes:
    """The body of the answer; whatever goes wrong becomes a refusal."""
    try:
        question: Question = _question(query, body)
        answer = encode(reply(question))
        if len(answer) > BODY_BYTES_MAX:
            return _refusal(
                "answer.too_large",
                f"the answer has {len(answer)} bytes, more than a message holds: ask for less",
            )
    except DalsegnoError as error:
        return _refusal(error.code, str(error))
    except Exception as error:
        # the wall: a fault of ours must not stop the service, and must not be hidden
        _logger.exception("answer_failed", extra={"fields": {"query": query.name}})
        return _refusal("internal", f"the question {query.name!r} failed: {error!r}")
    return answer


def _question(query: Query[Any, Any], body: bytes) -> Any:
    try:
        return query.question.model_validate_json(body or b"{}")
    except ValidationError as error:
        raise DecodeFailed(
            f"the question {query.name!r} is not understood: {readable(error)}"
        ) from error


def _refusal(code: str, message: str) -> bytes:
    return encode(Refused(error=Refusal(code=code, message=message)))
