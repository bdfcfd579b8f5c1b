"""Questions of an attempt to another agent, through the saga: recorded, retried, timed out.

A question's id follows from what is asked, so that an attempt after this one gets the same answer
and nobody works twice. It is published again until it is answered; a copy changes nothing.
"""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

import orjson
from pydantic import TypeAdapter

from dalsegno_agents.errors import QuestionFailed
from dalsegno_agents.reports import Identity, Reports
from dalsegno_bus import codec
from dalsegno_bus.bus import Bus, Heard, Outgoing
from dalsegno_bus.errors import BusError, DecodeFailed, Unavailable
from dalsegno_bus.logs import log
from dalsegno_bus.messages import Failure, Json, QuestionAnswered, QuestionReport
from dalsegno_bus.subjects import Subjects

RESEND_SECONDS_MIN: Final = 1.0
RESEND_SECONDS_MAX: Final = 15.0
ID_DIGITS: Final = 16

_ANSWERED: Final = TypeAdapter(QuestionAnswered)
_KIND: Final = QuestionAnswered.model_fields["kind"].default.encode()

_logger = logging.getLogger("dalsegno.agent")


def question_of(capability: str, value: Json) -> str:
    """The id of a question: the same for the same capability and input."""
    canonical = orjson.dumps([capability, value], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(canonical).hexdigest()[:ID_DIGITS]


def failed(error: Failure) -> QuestionFailed:
    """What the one who asked gets to catch."""
    return QuestionFailed(error.message, code=error.code, detail=error.detail)


class Questions:
    """Asks for all attempts of one replica."""

    def __init__(self, bus: Bus, subjects: Subjects, reports: Reports) -> None:
        self._bus = bus
        self._subjects = subjects
        self._reports = reports

    async def ask(
        self, identity: Identity, capability: str, value: Json, *, timeout_seconds: float
    ) -> Json:
        """Ask, and wait for the answer.

        Raises:
            QuestionFailed: Nobody could answer, or not in time.
        """
        report = QuestionReport(
            **identity,
            question=question_of(capability, value),
            capability=capability,
            input=value,
            timeout_seconds=timeout_seconds,
        )
        message = await self._reports.fitting(report, suffix=f".ask-{report.question}")
        limit = asyncio.timeout(timeout_seconds)
        try:
            async with limit:
                answer = await self._answer(report, message)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise QuestionFailed(
                f"the question to {capability!r} was not answered within {timeout_seconds:g} s: "
                "see the task that answers it, or give it more time (`timeout=`)",
                code="question.timeout",
            ) from error
        if answer.error is not None:
            raise failed(answer.error)
        return await self._reports.whole(answer.output)

    async def _answer(self, report: QuestionReport, message: Outgoing) -> QuestionAnswered:
        subject = self._subjects.live_task(report.run_id, report.task_id)
        pause = RESEND_SECONDS_MIN
        while True:
            try:
                async with self._bus.listen(subject) as heard:
                    while True:
                        await self._bus.store([message])
                        answer = await _hear(heard, report.question, within_seconds=pause)
                        if answer is not None:
                            return answer
                        pause = min(RESEND_SECONDS_MAX, 2 * pause)
            except (BusError, Unavailable) as error:
                log(_logger, "warning", "agent.question_not_stored", reason=str(error))
                await asyncio.sleep(pause)


async def _hear(
    heard: AsyncIterator[Heard], question: str, *, within_seconds: float
) -> QuestionAnswered | None:
    with suppress(TimeoutError):
        async with asyncio.timeout(within_seconds):
            async for message in heard:
                answer = _read(message.body)
                if answer is not None and answer.question == question:
                    return answer
    return None


def _read(body: bytes) -> QuestionAnswered | None:
    if _KIND not in body:  # progress and pieces of output go over the same subject
        return None
    try:
        return codec.decode(_ANSWERED, body)
    except DecodeFailed as error:
        log(_logger, "debug", "agent.answer_not_understood", reason=str(error))
        return None
