"""Plain functions in threads."""

import asyncio
import threading
from contextvars import ContextVar

import pytest

from dalsegno_agents.threads import Threads
from tests.unit.agents.conftest import until

NAME: ContextVar[str] = ContextVar("NAME")


async def test_a_thread_returns_what_the_function_does_and_knows_the_context() -> None:
    def name(suffix: str) -> str:
        return NAME.get() + suffix

    threads = Threads()
    NAME.set("segno")

    assert await threads.run(name, "!") == "segno!"
    threads.close()


@pytest.mark.parametrize(
    ("raised", "seen"), [(ValueError("no"), ValueError), (StopIteration(), RuntimeError)]
)
async def test_what_the_function_raises_arrives(raised: Exception, seen: type[Exception]) -> None:
    def fail() -> None:
        raise raised

    threads = Threads()
    with pytest.raises(seen):
        await threads.run(fail)
    threads.close()


async def test_calls_one_after_another_share_a_thread() -> None:
    threads = Threads()

    names = {await threads.run(threading.get_ident) for _ in range(20)}

    assert len(names) == 1
    threads.close()


async def test_a_cancelled_call_abandons_its_thread_until_that_ends() -> None:
    freed: list[bool] = []
    threads = Threads(on_free=lambda: freed.append(True))
    gate = threading.Event()

    async with asyncio.TaskGroup() as group:
        call = group.create_task(threads.run(gate.wait, 10.0))
        await asyncio.sleep(0)
        call.cancel()
    assert (threads.abandoned, threads.abandoned_ever, freed) == (1, 1, [])

    gate.set()
    await until(lambda: bool(freed))
    assert (threads.abandoned, threads.abandoned_ever) == (0, 1)
    threads.close()
