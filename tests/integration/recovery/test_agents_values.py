"""What agents return that no message can say, or that is far too large: said so, or sent whole."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import BaseModel

from dalsegno_agents import Agent, TaskContext
from dalsegno_bus.artifacts import PAYLOAD_BYTES_MAX, check_out
from dalsegno_bus.ids import RunId
from dalsegno_bus.messages import Failure, Json
from dalsegno_orchestrator.store import Store
from dalsegno_orchestrator.workflow.events import RunCompleted, TaskFailed
from support.world import World

LARGE_BYTES = 50_000_000
MEMORY_BYTES_MAX = 12 * LARGE_BYTES
"""What such a value may cost a process at most, copies and encodings and all."""


class Nothing(BaseModel):
    """An input that nobody looks at."""


def teller(value: Callable[[], Any]) -> Agent[None]:
    """Returns what `value` does."""
    agent: Agent[None] = Agent("teller", deps=None)

    @agent.handles("tell")
    async def tell(nothing: Nothing, context: TaskContext[None]) -> Any:
        del nothing, context
        return value()

    return agent


async def told(world: World, agent: Agent[None], **task: Any) -> RunId:
    """A run of one task, which has ended; afterwards, another one shows that the agent lives."""
    async with world.orchestrator() as orchestrator, world.worker(agent):
        await world.until_known(agent.name)
        tasks: dict[str, Any] = {"one": {"capability": "tell", "input": {}, **task}}
        await world.register("tell", tasks, output="${ tasks.one }")
        accepted = await world.client.start("tell")
        await world.result(accepted.run_id)
        await world.result((await world.client.start("tell")).run_id)
        assert orchestrator.is_ready
    return accepted.run_id


def failure(world: World, run_id: RunId) -> Failure:
    """Why the only task failed; it was asked for once."""
    (failed,) = [r.event for r in world.history(run_id) if isinstance(r.event, TaskFailed)]
    assert failed.final
    return failed.error


def output(world: World, run_id: RunId) -> Json:
    last = world.history(run_id)[-1].event
    assert isinstance(last, RunCompleted), last
    return last.output


def circle() -> Any:
    made: list[Any] = []
    made.append(made)
    return made


def deep() -> Any:
    made: list[Any] = []
    for _ in range(100_000):
        made = [made]
    return made


@pytest.mark.parametrize(
    ("value", "words"),
    [
        pytest.param(lambda: math.nan, "nan is no number in JSON", id="NaN"),
        pytest.param(lambda: {"a": [1, -math.inf]}, "a.1: -inf is no number", id="infinity"),
        pytest.param(object, "object", id="an object"),
        pytest.param(circle, "", id="a circle"),
        pytest.param(deep, "", id="too deep"),
        pytest.param(lambda: {"a": "\ud800"}, "", id="a lone surrogate"),
        pytest.param(lambda: {"\ud800": 1}, "", id="a lone surrogate in a key"),
        pytest.param(lambda: b"\xff", "", id="bytes that are no text"),
        pytest.param(lambda: {"a": 2**64}, "a: an integer of 65 bits", id="65 bits"),
        pytest.param(lambda: -(2**63) - 1, "an integer of 64 bits", id="too far below zero"),
        pytest.param(lambda: 10**5_000, "is too large for JSON", id="five thousand digits"),
        pytest.param(lambda: (one for one in (1, math.nan)), "", id="a generator of NaN"),
    ],
)
async def test_what_json_cannot_say_fails_the_task_with_the_reason(
    world: World, value: Callable[[], Any], words: str
) -> None:
    run_id = await told(world, teller(value))

    error = failure(world, run_id)
    assert error.code == "task.output"
    assert words in error.message
    assert len(error.message) <= 2_000


FINE = {
    "NUL": "a\0b",
    "a key with NUL": {"a\0b": "\0"},
    "64 bits": [2**64 - 1, -(2**63), 2**53 + 1],
    "small and large": [5e-324, 1.7976931348623157e308, -0.0],
    "beyond the first plane": "\U0001f3b5\uffff\u2028",
}


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_what_json_can_say_comes_back_as_it_was(
    world: World, database: str, request: pytest.FixtureRequest
) -> None:
    if database == "postgresql":
        onto(world, request.getfixturevalue("postgres_url"))
    run_id = await told(world, teller(lambda: FINE))

    assert output(world, run_id) == FINE


def onto(world: World, store_url: str) -> None:
    """Have the world keep its history there."""
    world.store.close()
    world.settings = world.settings.model_copy(update={"store_url": store_url})
    world.store = Store(store_url, namespace=world.subjects.namespace)
    world.store.ensure_schema()


async def test_an_integer_that_no_expression_can_count_with_fails_visibly(world: World) -> None:
    async with world.orchestrator(), world.worker(teller(lambda: {"n": 2**64 - 1})):
        await world.until_known("teller")
        tasks: dict[str, Any] = {
            "one": {"capability": "tell", "input": {}},
            "two": {"capability": "tell", "input": {"n": "${ tasks.one.n + 1 }"}},
        }
        await world.register("count", tasks)
        accepted = await world.client.start("count")
        ended = await world.result(accepted.run_id)
    assert ended.status == "failed"
    assert ended.error is not None
    assert "two" in ended.error.message or "tasks.one.n" in ended.error.message


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_an_exception_with_a_huge_message_is_told_in_part(
    world: World, database: str, request: pytest.FixtureRequest
) -> None:
    def fail() -> None:
        raise ValueError("\0\ud800" + "x" * 20_000_000)

    if database == "postgresql":
        onto(world, request.getfixturevalue("postgres_url"))
    run_id = await told(world, teller(fail), retry={"max_attempts": 1})

    error = failure(world, run_id)
    assert error.code == "task.exception"
    assert len(error.model_dump_json()) < 20_000
    assert "\0" not in error.message


def store_bytes(world: World) -> int:
    return Path(world.settings.store_url.removeprefix("sqlite:///")).stat().st_size


@pytest.mark.slow
async def test_fifty_megabytes_travel_by_reference(world: World) -> None:
    def large() -> dict[str, Any]:
        return {"text": "x" * LARGE_BYTES, "size": LARGE_BYTES}

    before = psutil.Process().memory_info().rss
    run_id = await told(world, teller(large))
    grown = psutil.Process().memory_info().rss - before

    kept = output(world, run_id)
    assert isinstance(kept, dict)
    assert kept["size"] == LARGE_BYTES  # what is small stays readable
    assert check_out(kept, world.artifacts) == large()
    assert grown < MEMORY_BYTES_MAX
    assert store_bytes(world) < 20 * PAYLOAD_BYTES_MAX


@pytest.mark.slow
async def test_fifty_megabytes_of_small_fields_travel_by_reference(world: World) -> None:
    def large() -> dict[str, str]:
        return {f"field-{number}": "x" * 500 for number in range(LARGE_BYTES // 500)}

    run_id = await told(world, teller(large))

    assert check_out(output(world, run_id), world.artifacts) == large()


def spoil(world: World) -> None:
    """Leave no folder for artifacts."""
    Path(world.settings.artifacts_url).write_text("a file where the folder should be")


async def test_what_cannot_be_kept_by_reference_fails_the_task_with_the_reason(
    world: World,
) -> None:
    spoil(world)
    run_id = await told(
        world, teller(lambda: "x" * 10 * PAYLOAD_BYTES_MAX), retry={"max_attempts": 1}
    )

    error = failure(world, run_id)
    assert error.message
