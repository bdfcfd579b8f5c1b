"""Waiting for what rings no bell: threads and processes."""

import asyncio
from collections.abc import Awaitable, Callable

SECONDS_MAX = 40.0
"""How long anything may take before it counts as never."""


async def until(holds: Callable[[], bool]) -> None:
    """Return as soon as `holds` does; fail if it never does."""
    async with asyncio.timeout(SECONDS_MAX):
        while not holds():  # noqa: ASYNC110 - there is no bell
            await asyncio.sleep(0.005)


async def until_so(holds: Callable[[], Awaitable[bool]]) -> None:
    """The same, for what has to be asked."""
    async with asyncio.timeout(SECONDS_MAX):
        while not await holds():  # noqa: ASYNC110 - there is no bell
            await asyncio.sleep(0.02)
