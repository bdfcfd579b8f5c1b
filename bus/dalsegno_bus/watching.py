"""How a run goes on, as it is heard: live where possible, asked for where nothing is heard."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from logging import getLogger
from typing import Annotated, Final, TypeAlias

from pydantic import Field, TypeAdapter

from dalsegno_bus.bus import Bus, Heard
from dalsegno_bus.codec import decode
from dalsegno_bus.errors import DecodeFailed
from dalsegno_bus.logs import log
from dalsegno_bus.messages import AttemptStarted, Live, Output, Progress, RunChanged

FINAL_STATUSES: Final = frozenset({"completed", "failed", "cancelled", "compensation_failed"})
ASK_EVERY_SECONDS: Final = 2.0
"""How long `wait` and `watch` trust silence before they ask how the run stands."""

Change: TypeAlias = AttemptStarted | Progress | Output | RunChanged

_LIVE: Final[TypeAdapter[Change]] = TypeAdapter(Annotated[Live, Field(discriminator="kind")])
_logger = getLogger(__name__)


async def changes(
    bus: Bus, state: Callable[[], Awaitable[RunChanged | None]], *subjects: str
) -> AsyncGenerator[Change, None]:
    """How a run stands, then what is heard on `subjects`, to its end.

    Args:
        bus: Where to listen.
        state: Asks how the run stands; None: nobody could tell. Asked again in a long silence.
        *subjects: What to listen to.
    """
    version = -1
    async with bus.listen(*subjects) as heard:
        change: Change | None = await state()
        while True:
            if isinstance(change, RunChanged):
                is_end = change.status in FINAL_STATUSES
                if is_end or change.version > version:
                    version = change.version
                    yield change
                if is_end:
                    return
            elif change is not None:
                yield change
            change = await _next_heard(heard) or await state()


async def _next_heard(heard: AsyncIterator[Heard]) -> Change | None:
    try:
        async with asyncio.timeout(ASK_EVERY_SECONDS):
            while True:
                try:
                    return decode(_LIVE, (await anext(heard)).body)
                except DecodeFailed as error:
                    log(_logger, "debug", "client.live_unreadable", reason=str(error))
    except TimeoutError:
        return None
