"""The event loop without a clock."""

import asyncio
import time
from contextvars import copy_context
from random import Random

import pytest
from simulation.loop import PROCESS, Process, Stuck, VirtualLoop


def new_loop(seed: int = 0) -> VirtualLoop:
    return VirtualLoop(Random(seed))


def test_a_day_passes_at_once() -> None:
    loop = new_loop()

    async def wait() -> float:
        await asyncio.sleep(86_400.0)
        return loop.time()

    begun = time.monotonic()
    assert loop.run_until_complete(wait()) == 86_400.0
    assert time.monotonic() - begun < 5.0
    loop.close()


def test_waiting_for_what_never_comes_is_noticed() -> None:
    loop = new_loop()

    async def wait() -> None:
        await asyncio.Event().wait()

    waiting = loop.create_task(wait())
    with pytest.raises(Stuck, match="nothing is due"):
        loop.run_until_complete(waiting)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(waiting)
    loop.close()


def test_what_would_be_done_in_a_thread_is_done_in_place() -> None:
    loop = new_loop()

    async def work() -> int:
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(divmod, 1, 0)
        return await asyncio.to_thread(max, 3, 4)

    assert loop.run_until_complete(work()) == 4
    loop.close()


def steps_of(seed: int, *, killed_at: float | None = None) -> list[str]:
    """Two processes that count aloud, and what was heard."""
    loop, heard = new_loop(seed), list[str]()
    processes = [Process("a"), Process("b")]

    async def count(name: str) -> None:
        for number in range(6):
            heard.append(f"{name}{number}")
            await asyncio.sleep(number % 2)

    async def direct() -> None:
        tasks: list[asyncio.Task[None]] = []
        for process in processes:
            context = copy_context()
            context.run(PROCESS.set, process)
            tasks.append(loop.create_task(count(process.name), context=context))
        if killed_at is not None:
            await asyncio.sleep(killed_at)
            loop.kill(processes[0])
        await tasks[1]
        for process in processes:
            loop.resume(process)
        for task in tasks:
            task.cancel()

    loop.run_until_complete(direct())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    return heard


def test_who_takes_the_next_step_is_drawn_from_the_seed() -> None:
    assert steps_of(1) == steps_of(1)
    assert len({tuple(steps_of(seed)) for seed in range(20)}) > 1
    for seed in range(20):
        ours = [step for step in steps_of(seed) if step.startswith("b")]
        assert ours == sorted(ours)


def test_a_process_that_is_killed_takes_no_further_step() -> None:
    heard = steps_of(3, killed_at=1.5)
    assert "b5" in heard
    assert "a5" not in heard
