"""Handlers that never return, or end as no function should: it goes elsewhere, or fails visibly."""

import asyncio
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any

import pytest
from pydantic import BaseModel

from dalsegno_agents import Agent, TaskContext
from dalsegno_bus.ids import RunId
from dalsegno_orchestrator.workflow.events import TaskAssigned, TaskFailed, TaskTimedOut
from dalsegno_orchestrator.workflow.folding import attempts as folding
from dalsegno_orchestrator.workflow.rules import attempts as rules
from support.world import World


class Nothing(BaseModel):
    """An input that nobody looks at."""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Orchestrators that give agents less time beyond a timeout to report it themselves."""
    for module in (rules, folding):
        monkeypatch.setattr(module, "ATTEMPT_GRACE_SECONDS", 0.5)


@pytest.fixture
def gate() -> Generator[threading.Event]:
    """Threads wait here; after the test they may end."""
    made = threading.Event()
    yield made
    made.set()


def stuck(name: str, gate: threading.Event) -> Agent[None]:
    """Never returns, in one of three ways."""
    agent: Agent[None] = Agent(name, deps=None, concurrency=2)

    @agent.handles("waits")
    async def waits(nothing: Nothing, context: TaskContext[None]) -> int:
        await asyncio.Event().wait()
        return 1

    @agent.handles("blocks")
    def blocks(nothing: Nothing, context: TaskContext[None]) -> int:
        gate.wait()
        return 1

    @agent.handles("refuses")
    async def refuses(nothing: Nothing, context: TaskContext[None]) -> int:
        while not gate.is_set():
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.02)
        return 1

    return agent


def healthy(name: str) -> Agent[None]:
    """Does the same at once."""
    agent: Agent[None] = Agent(name, deps=None)

    async def answer(nothing: Nothing, context: TaskContext[None]) -> int:
        return 2

    for capability in ("waits", "blocks", "refuses"):
        agent.handles(capability)(answer)
    return agent


async def started(world: World, capability: str, **task: Any) -> RunId:
    one: dict[str, Any] = {"capability": capability, "input": {}, **task}
    await world.register("one", {"one": one}, output="${ tasks.one }")
    return (await world.client.start("one")).run_id


WAYS = ["waits", "blocks", "refuses"]
ONCE = {"retry": {"max_attempts": 1}}
AGAIN = {"retry": {"max_attempts": 2, "delay": "10ms"}}


@pytest.mark.parametrize("way", WAYS)
async def test_what_never_returns_is_timed_out_and_fails_with_the_reason(
    world: World, way: str, gate: threading.Event
) -> None:
    async with world.orchestrator(), world.worker(stuck("stuck", gate)):
        await world.until_known("stuck")
        run_id = await started(world, way, timeout="200ms", **ONCE)
        ended = await world.result(run_id)
        gate.set()
    assert ended.status == "failed"
    assert ended.error is not None
    (error,) = [
        r.event.error
        for r in world.history(run_id)
        if isinstance(r.event, TaskTimedOut | TaskFailed)
    ]
    assert error.code == "task.timeout"


@pytest.mark.parametrize("limit", [{"timeout": "300ms"}, {"heartbeat_timeout": "300ms"}])
@pytest.mark.parametrize("way", WAYS)
async def test_what_never_returns_goes_to_another_agent(
    world: World, way: str, limit: dict[str, str], gate: threading.Event
) -> None:
    async with world.orchestrator(), world.worker(stuck("a-stuck", gate)):
        await world.until_known("a-stuck")
        run_id = await started(world, way, **limit, **AGAIN)
        await world.until_recorded(run_id, "task-assigned")
        async with world.worker(healthy("b-healthy")):
            ended = await world.result(run_id)
            gate.set()
    assert (ended.status, ended.output) == ("completed", 2)
    asked = [r.event.agent for r in world.history(run_id) if isinstance(r.event, TaskAssigned)]
    assert asked == ["a-stuck", "b-healthy"]


class Odd(BaseException):
    """What no `except Exception` catches."""


def leave() -> None:
    sys.exit(3)


def odd() -> None:
    raise Odd("odd")


def interrupt() -> None:
    raise KeyboardInterrupt


def cancel() -> None:
    raise asyncio.CancelledError


def group() -> None:
    raise BaseExceptionGroup("several", [Odd("one"), ValueError("two")])


@pytest.mark.parametrize("in_thread", [False, True], ids=["async", "plain"])
@pytest.mark.parametrize("end", [leave, odd, interrupt, cancel, group])
async def test_no_way_to_end_a_handler_ends_its_replica(
    world: World, end: Callable[[], None], in_thread: bool
) -> None:
    agent: Agent[None] = Agent("odd", deps=None)

    async def odd_one(nothing: Nothing, context: TaskContext[None]) -> int:
        end()
        return 1

    def plain_one(nothing: Nothing, context: TaskContext[None]) -> int:
        end()
        return 1

    agent.handles("end")(plain_one if in_thread else odd_one)
    async with world.orchestrator(), world.worker(agent) as worker:
        await world.until_known("odd")
        run_id = await started(world, "end", **ONCE)
        ended = await world.result(run_id)
        assert worker.is_ready
    assert ended.status == "failed"
    (failed,) = [r.event for r in world.history(run_id) if isinstance(r.event, TaskFailed)]
    assert failed.error.code == "task.exception"
    assert failed.error.message
