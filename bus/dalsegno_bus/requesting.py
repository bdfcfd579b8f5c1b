"""Sends requests until they are answered, always with the same id, so that a copy changes nothing.

Knows what a request and an answer are, and nothing of what any of them means.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from dalsegno_bus.bus import Bus, Outgoing
from dalsegno_bus.clock import utc_now
from dalsegno_bus.codec import REPLY_TO, encode, headers_of
from dalsegno_bus.errors import PublishFailed, RunRejected, Unavailable, UsageError
from dalsegno_bus.ids import chance, new_message_id
from dalsegno_bus.messages import Accepted, Rejected, Request
from dalsegno_bus.replies import Expected, Replies
from dalsegno_bus.subjects import Subjects

REQUEST_SECONDS_MAX: Final = 30.0
REQUESTS_OPEN_MAX: Final = 5_000
"""Requests of one client, and of one call, that wait for an answer at the same time: so much it
holds in memory, however many are begun at once."""

BODY_BYTES_MAX: Final = 1_000_000
"""What fits into one message of a NATS server, its headers included."""

_RESEND_SECONDS_MIN: Final = 0.5
_RESEND_SECONDS_MAX: Final = 8.0
_PAUSE_SECONDS_MIN: Final = 0.05
_PAUSE_SECONDS_MAX: Final = 2.0
_WINDOW_MAX: Final = 1_000
"""So many requests are handed to the bus at once."""


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
        self._room = asyncio.Semaphore(REQUESTS_OPEN_MAX)

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
            Unavailable: Nobody answered in time, or so many other requests of this client wait for
                answers that it was not its turn in time.
            UsageError: It is too large for a message.
        """
        message_id = message_id or new_message_id()
        async with self._turn(timeout_seconds):
            messages = {message_id: self._outgoing(subject, message_id, request)}
            (answer,) = await self._answers(messages, timeout_seconds)
        return accepted(answer)

    async def _answers(
        self, messages: Mapping[str, Outgoing], timeout_seconds: float
    ) -> list[Accepted | RunRejected]:
        async with self._replies.expect(messages) as expected:
            await self._until_answered(messages, expected, timeout_seconds)
            return [_answer(expected.replies[message_id]) for message_id in messages]

    @asynccontextmanager
    async def _turn(self, timeout_seconds: float) -> AsyncGenerator[None, None]:
        """A place among those that are asked for at the same time."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._room.acquire()
        except TimeoutError as error:
            raise Unavailable(
                f"{REQUESTS_OPEN_MAX} requests of this client wait for their answers, and none "
                f"came within {timeout_seconds:g} seconds: this one was not sent; try again later"
            ) from error
        try:
            yield
        finally:
            self._room.release()

    async def _until_answered(
        self, messages: Mapping[str, Outgoing], expected: Expected, timeout_seconds: float
    ) -> None:
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + timeout_seconds
        wait_seconds, pause_seconds = _RESEND_SECONDS_MIN, _PAUSE_SECONDS_MIN
        window = _Window(self._bus, messages)
        while not expected.is_complete:
            left_seconds = give_up_at - loop.time()
            if left_seconds <= 0:
                raise self._unanswered(expected, timeout_seconds, window)
            if await window.send(expected.open):
                pause_seconds = _PAUSE_SECONDS_MIN
            seconds = wait_seconds if window.failure is None else _spread(pause_seconds)
            answered = len(expected.replies)
            await self._replies.gather(expected, seconds_max=min(seconds, left_seconds))
            if len(expected.replies) > answered:
                wait_seconds, pause_seconds = _RESEND_SECONDS_MIN, _PAUSE_SECONDS_MIN
                give_up_at = loop.time() + timeout_seconds
            elif window.failure is None:
                wait_seconds = min(2 * wait_seconds, _RESEND_SECONDS_MAX)
                window.stored.clear()  # none was answered: send all again
            else:
                pause_seconds = min(2 * pause_seconds, _PAUSE_SECONDS_MAX)

    def _unanswered(
        self, expected: Expected, timeout_seconds: float, window: "_Window"
    ) -> Unavailable:
        if window.failure is not None:
            count = sum(message_id not in window.stored for message_id in expected.open)
            error = Unavailable(
                f"{count} requests could not be stored within {timeout_seconds:g} seconds: "
                f"{window.failure}. Ask again later with the same ids, begin less at once, or run "
                "more orchestrators"
            )
            error.__cause__ = window.failure
            return error
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


class _Window:
    """Sends requests a part at a time, and smaller parts while the stream has no room.

    Of a part that failed nobody knows what was stored, and copies would fill a full stream still
    more; so the part shrinks to one message, and grows again while all is well.
    """

    def __init__(self, bus: Bus, messages: Mapping[str, Outgoing]) -> None:
        self._bus = bus
        self._messages = messages
        self._size = _WINDOW_MAX
        self.stored: set[str] = set()
        """Requests that lie in the stream, or lay there: not sent again while others have to be."""
        self.failure: PublishFailed | None = None
        """Why the last part was not stored; None: it was."""

    async def send(self, wanted: Iterable[str]) -> bool:
        """Store those of these requests that are not, until one part fails; whether any was."""
        left = [message_id for message_id in wanted if message_id not in self.stored]
        self.failure, before = None, len(self.stored)
        while left and self.failure is None:
            part, left = left[: self._size], left[self._size :]
            try:
                await self._bus.store([self._messages[message_id] for message_id in part])
            except PublishFailed as error:
                self.failure = error
                self._size = max(1, len(part) // 2)
            else:
                self.stored.update(part)
                self._size = min(self._size + 1, _WINDOW_MAX)
        return len(self.stored) > before


def _spread(seconds: float) -> float:
    """About so long: many clients that were refused together do not come back together."""
    return seconds * (0.5 + chance())


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
