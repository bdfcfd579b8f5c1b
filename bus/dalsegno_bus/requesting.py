"""Sends requests until they are answered, always with the same id, so that a copy changes nothing.

Knows what a request and an answer are, and nothing of what any of them means.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from dalsegno_bus.bus import Bus, Outgoing
from dalsegno_bus.clock import utc_now
from dalsegno_bus.codec import REPLY_TO, encode, headers_of
from dalsegno_bus.errors import PublishFailed, RunRejected, Unavailable, UsageError
from dalsegno_bus.ids import new_message_id
from dalsegno_bus.messages import Accepted, Rejected, Request
from dalsegno_bus.replies import Expected, Replies
from dalsegno_bus.subjects import Subjects

REQUEST_SECONDS_MAX: Final = 30.0
REQUESTS_OPEN_MAX: Final = 5_000
"""Requests of one call that wait for an answer at the same time."""

BODY_BYTES_MAX: Final = 1_000_000
"""What fits into one message of a NATS server, its headers included."""

_RESEND_SECONDS_MIN: Final = 0.5
_RESEND_SECONDS_MAX: Final = 8.0
_REPUBLISH_SECONDS: Final = 0.2


class Requests:
    """The requests of one client.

    Args:
        source: Who is asking; stands in every request's headers.
    """

    def __init__(self, bus: Bus, subjects: Subjects, *, source: str) -> None:
        self._bus = bus
        self._subjects = subjects
        self._source = source
        self._replies = Replies(bus)

    async def send(
        self, requests: Sequence[tuple[str, Request]], *, timeout_seconds: float
    ) -> list[Accepted | RunRejected]:
        """Answers in the order of `requests` (subject and message), refusals among them.

        `timeout_seconds` is for the next answer: it starts anew as long as some come.

        Raises:
            Unavailable: No further answer came in time.
            UsageError: One is too large for a message.
        """
        answers: list[Accepted | RunRejected] = []
        for begin in range(0, len(requests), REQUESTS_OPEN_MAX):
            messages: dict[str, Outgoing] = {}
            for subject, request in requests[begin : begin + REQUESTS_OPEN_MAX]:
                message_id = new_message_id()
                messages[message_id] = self._outgoing(subject, message_id, request)
            answers += await self._answers(messages, timeout_seconds)
        return answers

    async def send_one(
        self,
        subject: str,
        request: Request,
        *,
        timeout_seconds: float,
        message_id: str | None = None,
    ) -> Accepted:
        """The answer to one request.

        Args:
            subject: Where it goes.
            request: What is asked for.
            timeout_seconds: How long to wait for the answer.
            message_id: The id that this request had before, perhaps in another process: what was
                done under it is not done again. No two requests that wait for answers here at the
                same time may have the same. None: a new one.

        Raises:
            RunRejected: It is refused, with every reason.
            Unavailable: Nobody answered in time.
            UsageError: It is too large for a message.
        """
        message_id = message_id or new_message_id()
        messages = {message_id: self._outgoing(subject, message_id, request)}
        (answer,) = await self._answers(messages, timeout_seconds)
        return accepted(answer)

    async def _answers(
        self, messages: Mapping[str, Outgoing], timeout_seconds: float
    ) -> list[Accepted | RunRejected]:
        async with self._replies.expect(messages) as expected:
            await self._until_answered(messages, expected, timeout_seconds)
            return [_answer(expected.replies[message_id]) for message_id in messages]

    async def _until_answered(
        self, messages: Mapping[str, Outgoing], expected: Expected, timeout_seconds: float
    ) -> None:
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + timeout_seconds
        wait_seconds = _RESEND_SECONDS_MIN
        failure: Exception | None = None
        while not expected.is_complete:
            left_seconds = give_up_at - loop.time()
            if left_seconds <= 0:
                raise self._unanswered(expected, timeout_seconds, failure) from failure
            failure = await self._publish([messages[open_id] for open_id in expected.open])
            if failure is not None:
                await asyncio.sleep(min(_REPUBLISH_SECONDS, left_seconds))
                continue
            answered = len(expected.replies)
            await self._replies.gather(expected, seconds_max=min(wait_seconds, left_seconds))
            if len(expected.replies) > answered:
                wait_seconds = _RESEND_SECONDS_MIN
                give_up_at = loop.time() + timeout_seconds
            else:
                wait_seconds = min(2 * wait_seconds, _RESEND_SECONDS_MAX)

    async def _publish(self, messages: Sequence[Outgoing]) -> PublishFailed | None:
        try:
            await self._bus.store(messages)
        except PublishFailed as error:
            return error
        return None

    def _unanswered(
        self, expected: Expected, timeout_seconds: float, failure: Exception | None
    ) -> Unavailable:
        if failure is not None:
            return Unavailable(
                f"{len(expected.open)} requests could not be stored within "
                f"{timeout_seconds:g} seconds: {failure}"
            )
        return Unavailable(
            f"no orchestrator answered {len(expected.open)} requests within "
            f"{timeout_seconds:g} seconds: is one running in namespace "
            f"{self._subjects.namespace!r}? They are stored; ask again with the same ids"
        )

    def _outgoing(self, subject: str, message_id: str, request: Request) -> Outgoing:
        body = encode(request)
        if len(body) > BODY_BYTES_MAX:
            raise UsageError(
                f"a request of {len(body)} bytes is above the limit of {BODY_BYTES_MAX}: "
                "give the client an artifact store, or hand on less"
            )
        headers = headers_of(request.kind, message_id=message_id, source=self._source, at=utc_now())
        headers[REPLY_TO] = self._replies.subject
        return Outgoing(subject, body, headers)


def accepted(answer: Accepted | RunRejected) -> Accepted:
    """The answer if it is a yes.

    Raises:
        RunRejected: It is a no.
    """
    if isinstance(answer, RunRejected):
        raise answer
    return answer


def _answer(reply: Accepted | Rejected) -> Accepted | RunRejected:
    if isinstance(reply, Rejected):
        return RunRejected([str(reason) for reason in reply.reasons])
    return reply
