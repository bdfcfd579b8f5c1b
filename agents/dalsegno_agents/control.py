"""What all replicas of an agent are told at once: stop working on an attempt, or leave.

Core messages may be lost, so the mark of a drain is also looked for, again and again.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Annotated, Final, TypeAlias

from pydantic import Field, TypeAdapter

from dalsegno_bus import codec
from dalsegno_bus.bus import Bus
from dalsegno_bus.errors import BusError, DecodeFailed, Unavailable
from dalsegno_bus.logs import log
from dalsegno_bus.messages import CancelAttempt, DrainAgent, Drained
from dalsegno_bus.subjects import Subjects
from dalsegno_bus.waiting import entered

Order: TypeAlias = CancelAttempt | DrainAgent

_ORDER: Final[TypeAdapter[Order]] = TypeAdapter(Annotated[Order, Field(discriminator="kind")])
_DRAINED: Final = TypeAdapter(Drained)
_logger = logging.getLogger("dalsegno.agent")


class Control:
    """Hears orders for one agent.

    Args:
        on_cancel: Called with each cancellation.
        on_drain: Called with why, and who wants it.
        every_seconds: How often to look for the mark of a drain.
    """

    def __init__(
        self,
        bus: Bus,
        subjects: Subjects,
        agent: str,
        *,
        on_cancel: Callable[[CancelAttempt], None],
        on_drain: Callable[[str, str], None],
        every_seconds: float,
    ) -> None:
        self._bus = bus
        self._agent = agent
        self._subject = subjects.control(agent)
        self._bucket = bus.bucket(subjects.agents_bucket)
        self._on_cancel = on_cancel
        self._on_drain = on_drain
        self._every_seconds = every_seconds

    async def hear(self) -> None:
        """Pass on what is told, for ever."""
        async with entered("orders", partial(self._bus.listen, self._subject)) as heard:
            async for message in heard:
                try:
                    order = codec.decode(_ORDER, message.body)
                except DecodeFailed as error:
                    log(_logger, "warning", "agent.control_not_understood", reason=str(error))
                    continue
                match order:
                    case CancelAttempt():
                        self._on_cancel(order)
                    case DrainAgent():
                        self._on_drain(order.reason, order.requested_by)

    async def watch(self) -> None:
        """Look for the mark of a drain, for ever: whoever missed the order leaves all the same."""
        while True:
            await asyncio.sleep(self._every_seconds)
            try:
                mark = await self.mark()
            except (BusError, Unavailable) as error:
                log(_logger, "debug", "agent.mark_not_read", reason=str(error))
                continue
            if mark is not None:
                self._on_drain(*mark)

    async def until_undone(self, reason: str, requested_by: str, *, unless: asyncio.Event) -> None:
        """Say that the agent is drained, and what to do; return when it is not, or at `unless`."""
        log(
            _logger,
            "warning",
            "agent.is_drained",
            agent=self._agent,
            reason=reason,
            requested_by=requested_by,
            hint=self.hint,
        )
        while not unless.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every_seconds):
                    await unless.wait()
            try:
                if await self.mark() is None:
                    return
            except (BusError, Unavailable) as error:
                log(_logger, "debug", "agent.mark_not_read", reason=str(error))

    @property
    def hint(self) -> str:
        """What a person does about a drained agent."""
        return f"`dalsegno agents drain {self._agent} --undo` lets it work again"

    async def mark(self) -> tuple[str, str] | None:
        """Why the agent is drained, and who wants it, as the mark beside its card says; or None.

        Raises:
            BusError, Unavailable: The servers do not say.
        """
        entry = await self._bucket.get(f"drained.{self._agent}")
        if entry is None or entry.value is None:
            return None
        try:
            mark = codec.decode(_DRAINED, entry.value)
        except DecodeFailed as error:  # it is there, whatever it says
            return f"its mark cannot be read: {error}", "unknown"
        return mark.reason, mark.requested_by
