"""What a measurement does: starts runs, waits for their ends, and counts seconds.

A run that does not end in time fails the measurement: no figure leaves out what was lost.
"""

import asyncio
import statistics
import time
from dataclasses import dataclass
from typing import Any, Final

from dalsegno.bench.agents import TASKS, chain_input, chain_workflow
from dalsegno.bench.rig import Rig, floor_programs, rig, saga_programs, settle
from dalsegno_bus.client import Client
from dalsegno_bus.errors import Unavailable
from dalsegno_bus.ids import RunId, new_run_id
from dalsegno_bus.messages import RunChanged, StartRun

RUN_SECONDS_MAX: Final = 300.0
WARM_UP_RUNS: Final = 20


@dataclass(frozen=True)
class Throughput:
    """How fast many runs went, all started at once."""

    runs: int
    tasks: int
    seconds: float

    @property
    def tasks_per_second(self) -> float:
        return self.tasks / self.seconds


@dataclass(frozen=True)
class Latency:
    """How long one run took at a time, from the start's sending to the end's arrival."""

    milliseconds: tuple[float, ...]

    @property
    def p50(self) -> float:
        return statistics.median(self.milliseconds)

    @property
    def p99(self) -> float:
        ordered = sorted(self.milliseconds)
        return ordered[min(len(ordered) - 1, round(0.99 * len(ordered)))]


async def chain(runs: int, *, agents: int, floor: bool) -> Throughput:
    """`runs` chains of five no-op tasks at once, by the saga or by the bare loop."""
    async with rig(floor_programs(agents) if floor else saga_programs(agents)) as place:
        await _prepare(place, floor=floor)
        seconds = await _run_all(place, runs)
    return Throughput(runs=runs, tasks=runs * TASKS, seconds=seconds)


async def latency(runs: int, *, floor: bool) -> Latency:
    """`runs` single chains, one after another, on an idle system."""
    async with rig(floor_programs(1) if floor else saga_programs(1)) as place:
        await _prepare(place, floor=floor)
        taken = [1000.0 * await _run_all(place, 1) for _ in range(runs)]
    return Latency(milliseconds=tuple(taken))


async def _prepare(place: Rig, *, floor: bool) -> None:
    client = Client(place.bus, place.subjects, source="bench")
    if not floor:
        await client.register(chain_workflow())
    await _run_all(place, WARM_UP_RUNS)
    await settle(place)


async def _run_all(place: Rig, runs: int) -> float:
    """Seconds from the first start to the last end."""
    client = Client(place.bus, place.subjects, source="bench")
    waiting: set[RunId] = {new_run_id() for _ in range(runs)}
    requests = [
        StartRun(run_id=run_id, workflow="bench-chain", input=chain_input()) for run_id in waiting
    ]
    async with place.bus.listen(place.subjects.live_runs) as heard, asyncio.TaskGroup() as group:
        began = time.perf_counter()
        starting = group.create_task(_start(client, requests))
        try:
            async with asyncio.timeout(RUN_SECONDS_MAX):
                while waiting:
                    message = await anext(heard)
                    changed = RunChanged.model_validate_json(message.body)
                    if changed.status != "completed":
                        raise Unavailable(f"run {changed.run_id} {changed.status}: {changed.error}")
                    waiting.discard(changed.run_id)
        except TimeoutError:
            raise Unavailable(f"{len(waiting)} of {runs} runs did not end") from None
        seconds = time.perf_counter() - began
        await starting
    return seconds


async def _start(client: Client, requests: list[StartRun]) -> None:
    for answer in await client.start_many(requests):
        if isinstance(answer, Exception):
            raise answer


def hardware() -> dict[str, Any]:
    """What the figures were taken on."""
    import os
    import platform

    return {
        "cpus": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "system": platform.system(),
    }
