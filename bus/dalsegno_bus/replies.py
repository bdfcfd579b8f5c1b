"""One inbox for the replies to all requests of a client, however many are under way.

Nothing runs in the background: of those who wait, one reads for all, and hands over when it is
done. The inbox is open while anybody waits.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from logging import getLogger
from typing import Annotated, Final

from pydantic import Field, TypeAdapter

from dalsegno_bus.bus import Bus, Heard
from dalsegno_bus.codec import REQUEST_ID, decode
from dalsegno_bus.errors import DecodeFailed, Unavailable
from dalsegno_bus.ids import new_message_id
from dalsegno_bus.logs import log
from dalsegno_bus.messages import Accepted, Rejected, Reply

_REPLY: Final[TypeAdapter[Accepted | Rejected]] = TypeAdapter(
    Annotated[Reply, Field(discriminator="kind")]
)

_logger = getLogger(__name__)


class Expected:
    """The requests of one caller, and the replies so far."""

    def __init__(self, message_ids: Collection[str]) -> None:
        self.open = dict.fromkeys(message_ids)
        self.replies: dict[str, Accepted | Rejected] = {}
        self.bell = asyncio.Event()

    @property
    def is_complete(self) -> bool:
        """Whether every request was answered."""
        return not self.open


class Replies:
    """The inbox. `subject` is where replies have to go."""

    def __init__(self, bus: Bus) -> None:
        self.subject = f"_INBOX.{new_message_id()}"
        self._bus = bus
        self._expected: dict[str, Expected] = {}
        self._waiting: dict[Expected, None] = {}
        self._leader: Expected | None = None
        self._users = 0
        self._opening = asyncio.Lock()
        self._listening: AbstractAsyncContextManager[AsyncIterator[Heard]] | None = None
        self._heard: AsyncIterator[Heard] | None = None

    @asynccontextmanager
    async def expect(self, message_ids: Collection[str]) -> AsyncGenerator[Expected, None]:
        """Take replies to these requests while the context lasts."""
        expected = Expected(message_ids)
        self._users += 1
        try:
            await self._open()
            self._expected.update(dict.fromkeys(message_ids, expected))
            yield expected
        finally:
            for message_id in expected.open:
                self._expected.pop(message_id, None)
            self._users -= 1
            await self._close_if_unused()

    async def gather(self, expected: Expected, *, seconds_max: float) -> None:
        """Return when `expected` is complete, or after `seconds_max` without a further reply.

        Raises:
            Unavailable: The bus was closed.
        """
        self._waiting[expected] = None
        try:
            answered = -1
            while not expected.is_complete and len(expected.replies) > answered:
                answered = len(expected.replies)
                await self._gather_for(expected, seconds_max)
        finally:
            del self._waiting[expected]
            self._hand_over()

    async def _gather_for(self, expected: Expected, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not expected.is_complete:
                    if self._leader is None:
                        await self._lead(expected)
                    else:
                        expected.bell.clear()
                        await expected.bell.wait()
        except TimeoutError:
            pass

    async def _lead(self, leader: Expected) -> None:
        assert self._heard is not None
        self._leader = leader
        try:
            while not leader.is_complete:
                self._dispatch(await anext(self._heard))
        finally:
            self._leader = None

    def _hand_over(self) -> None:
        if self._leader is None and self._waiting:
            next(iter(self._waiting)).bell.set()

    def _dispatch(self, heard: Heard) -> None:
        message_id = heard.headers.get(REQUEST_ID, "")
        expected = self._expected.get(message_id)
        if expected is None:
            return  # a second reply to a request that was sent twice
        try:
            expected.replies[message_id] = decode(_REPLY, heard.body)
        except DecodeFailed as error:
            log(_logger, "warning", "client.reply_unreadable", reason=str(error))
            return
        del self._expected[message_id]
        del expected.open[message_id]
        if expected.is_complete:
            expected.bell.set()

    async def _open(self) -> None:
        async with self._opening:
            if self._heard is None:
                self._listening = self._bus.listen(self.subject)
                try:
                    self._heard = await self._listening.__aenter__()
                except Unavailable:  # the connection may have broken just now, and be back
                    self._listening = self._bus.listen(self.subject)
                    self._heard = await self._listening.__aenter__()

    async def _close_if_unused(self) -> None:
        async with self._opening:
            if self._users == 0 and self._listening is not None:
                listening, self._listening, self._heard = self._listening, None, None
                await listening.__aexit__(None, None, None)
