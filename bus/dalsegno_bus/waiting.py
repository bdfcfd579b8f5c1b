"""Waits for a server that is away: with backoff, and saying so.

For services, at their start. Whoever is asked one thing by a person fails instead, at once.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from logging import getLogger
from typing import Final, TypeVar

from dalsegno_bus.errors import Unavailable
from dalsegno_bus.logs import log

WAIT_SECONDS_MIN: Final = 0.1
WAIT_SECONDS_MAX: Final = 2.0

SAY_AGAIN_SECONDS: Final = 30.0
"""How often the log says that we are still waiting."""

WAITS: Final = "start.waits"
"""The log's word for it."""

ResultT = TypeVar("ResultT")

_logger = getLogger(__name__)


async def patiently(
    what: str,
    attempt: Callable[[], Awaitable[ResultT]],
    *,
    on_fault: Callable[[str], object] | None = None,
) -> ResultT:
    """What `attempt` returns, as soon as the server that it needs is there; ends when cancelled.

    Only `Unavailable` is waited out: a wrong setting, or any other error, ends it at once.

    Args:
        what: Stands in the log lines: `nats`, `provision`.
        attempt: Called until it raises no `Unavailable`; each call begins from the start.
        on_fault: Told each time why it is not there; for health.
    """
    loop = asyncio.get_running_loop()
    seconds, say_at, waited = WAIT_SECONDS_MIN, loop.time(), False
    while True:
        try:
            result = await attempt()
        except Unavailable as error:
            waited = True
            if on_fault is not None:
                on_fault(str(error))
            if loop.time() >= say_at:
                say_at = loop.time() + SAY_AGAIN_SECONDS
                log(_logger, "warning", WAITS, waits_for=what, reason=str(error))
            await asyncio.sleep(seconds)
            seconds = min(2 * seconds, WAIT_SECONDS_MAX)
        else:
            if waited:
                log(_logger, "info", "start.goes_on", waits_for=what)
            return result


@asynccontextmanager
async def entered(
    what: str, enter: Callable[[], AbstractAsyncContextManager[ResultT]]
) -> AsyncGenerator[ResultT, None]:
    """What `enter` gives, as soon as it can be entered: see `patiently`. Left with the block.

    What goes wrong within the block is not waited out.
    """
    async with AsyncExitStack() as stack:
        yield await patiently(what, lambda: stack.enter_async_context(enter()))
