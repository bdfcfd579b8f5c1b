"""Taking over: how long open runs stand still when their orchestrator is killed.

Many runs wait for a signal, and two orchestrators share them. One is killed, all its runs are
signalled, and what counts is the time until the other one publishes the next command of each.
"""

import asyncio
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from dalsegno.bench.agents import CAPABILITY, chain_input
from dalsegno.bench.rig import AGENT, Rig, rig
from dalsegno.processes import python
from dalsegno_bus.client import Client
from dalsegno_bus.errors import Unavailable
from dalsegno_bus.ids import RunId, new_run_id
from dalsegno_bus.messages import SignalRun, StartRun
from dalsegno_orchestrator.store import Store

SECONDS_MAX: Final = 120.0
KILLED: Final = "first"
LEFT: Final = "second"
_WORKFLOW: Final[dict[str, Any]] = {
    "workflow": "bench-recover",
    "version": 1,
    "tasks": {
        "before": {"capability": CAPABILITY, "input": "${ input }"},
        "go": {"wait": {"signal": "go"}, "after": ["before"]},
        "work": {"capability": CAPABILITY, "input": "${ tasks.before }", "after": ["go"]},
    },
}


@dataclass(frozen=True)
class Recovery:
    """Seconds from `kill -9` on."""

    runs: int
    """Open runs that were taken over."""
    open_runs: int
    """All open runs, also those of the orchestrator that lived on."""
    to_first: float
    """Until the first command of a run that was taken over."""
    to_all: float
    """Until the commands of all of them."""


async def measure(runs: int) -> Recovery:
    """Have `runs` open runs taken over, give or take those that fall to the other half."""
    programs = (
        (KILLED, python("dalsegno_orchestrator", "--name", KILLED)),
        (LEFT, python("dalsegno_orchestrator", "--name", LEFT)),
        ("agent", python("dalsegno_agents", AGENT)),
    )
    async with rig(programs) as place:
        client = Client(place.bus, place.subjects, source="bench")
        await client.register(_WORKFLOW)
        mine = await _partitions_of(place, KILLED)
        opened = await _open(client, 2 * runs)
        await _until_waiting(place, opened)
        taken_over = [one for one in opened if place.subjects.partition(one) in mine]
        first, last = await _kill_and_watch(place, client, taken_over)
    return Recovery(runs=len(taken_over), open_runs=len(opened), to_first=first, to_all=last)


async def _partitions_of(place: Rig, name: str) -> set[int]:
    """The partitions that this orchestrator owns, once both own some and all are owned."""
    owners: dict[str, str] = {}
    async with (
        asyncio.timeout(SECONDS_MAX),
        place.bus.bucket(place.subjects.leases_bucket).watch() as entries,
    ):
        async for entry in entries:
            if entry is None or entry.value is None or not entry.key.startswith("partition."):
                continue
            owners[entry.key.partition(".")[2]] = orjson.loads(entry.value)["owner"]
            counts = [list(owners.values()).count(one) for one in (KILLED, LEFT)]
            whole = len(owners) == place.subjects.partitions == sum(counts)
            if whole and abs(counts[0] - counts[1]) <= 1:
                break
    return {int(number) for number, owner in owners.items() if owner == name}


async def _open(client: Client, runs: int) -> list[RunId]:
    requests = [
        StartRun(run_id=new_run_id(), workflow="bench-recover", input=chain_input())
        for _ in range(runs)
    ]
    for answer in await client.start_many(requests):
        if isinstance(answer, Exception):
            raise answer
    return [request.run_id for request in requests]


async def _until_waiting(place: Rig, opened: Sequence[RunId]) -> None:
    """Return when every run has done its first task: the history says so."""
    store = Store(f"sqlite:///{place.folder}/store.db", namespace=place.subjects.namespace)
    done, position, wanted = 0, 0, len(opened)
    async with asyncio.timeout(SECONDS_MAX):
        while done < wanted:
            page = await asyncio.to_thread(store.follow, after=position, limit=5_000)
            done += sum(recorded.event.kind.startswith("task-completed") for recorded in page)
            position = page[-1].position if page else position
            if not page:
                await asyncio.sleep(0.1)
    store.close()


async def _kill_and_watch(place: Rig, client: Client, runs: Sequence[RunId]) -> tuple[float, float]:
    """Seconds until the first and the last command of these runs."""
    waiting, first = {str(run_id) for run_id in runs}, 0.0
    victim = next(child for child in place.processes.children if child.name == KILLED)
    pattern = place.subjects.task_pattern("bench")
    async with place.bus.listen(pattern) as heard, asyncio.TaskGroup() as group:
        victim.send(signal.SIGKILL)
        began = time.perf_counter()
        await place.processes.stop(victim)
        signalling = group.create_task(_signal(client, runs))
        try:
            async with asyncio.timeout(SECONDS_MAX):
                while waiting:
                    command = await anext(heard)
                    waiting.discard(command.subject.split(".")[3])
                    first = first or time.perf_counter() - began
        except TimeoutError:
            raise Unavailable(f"{len(waiting)} of {len(runs)} runs were not taken over") from None
        last = time.perf_counter() - began
        await signalling
    return first, last


async def _signal(client: Client, runs: Sequence[RunId]) -> None:
    requests = [SignalRun(run_id=run_id, signal="go", requested_by="bench") for run_id in runs]
    for answer in await client.request_many(requests):
        if isinstance(answer, Exception):
            raise answer
