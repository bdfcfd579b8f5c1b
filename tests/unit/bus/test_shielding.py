"""Whoever waits for the client library is cancelled at once, and leaves no forgotten error."""

import asyncio
import gc
from collections.abc import Mapping
from typing import Any

import pytest

from dalsegno_bus.nats.shielding import shielded


class Failed(Exception):
    """What the library might raise."""


async def failing(begun: asyncio.Event, go_on: asyncio.Event) -> None:
    begun.set()
    await go_on.wait()
    raise Failed


async def test_a_result_and_an_error_come_through() -> None:
    async def seven() -> int:
        return 7

    gate = asyncio.Event()
    gate.set()
    assert await shielded(seven()) == 7
    with pytest.raises(Failed):
        await shielded(failing(asyncio.Event(), gate))


async def test_an_error_after_the_cancellation_is_nobodys_concern() -> None:
    forgotten: list[Mapping[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: forgotten.append(context))
    begun, go_on = asyncio.Event(), asyncio.Event()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        waiting = group.create_task(shielded(failing(begun, go_on)))
        await begun.wait()
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        go_on.set()
        [inner] = asyncio.all_tasks() - {asyncio.current_task(), waiting}
        await asyncio.wait([inner])
    del inner, waiting
    gc.collect()
    assert forgotten == []
