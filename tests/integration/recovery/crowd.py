"""A thousand runs in flight, and what has to hold of them whatever NATS loses meanwhile.

Handlers stop at a gate after so many works, so a fault comes when some tasks are done, some are at
work, and most wait. Works are counted where they are done, and compared with what is recorded.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, TypeAlias

from pydantic import BaseModel

from dalsegno_agents import Agent, TaskContext
from dalsegno_agents.worker import Worker
from dalsegno_bus.ids import RunId, new_run_id
from dalsegno_bus.messages import StartRun
from dalsegno_orchestrator.history import Recorded
from dalsegno_orchestrator.workflow.events import RunCompleted, TaskCompleted
from support.world import World

RUNS: Final = 1_000
STEPS: Final = 3
AT_WORK_MAX: Final = 60
"""How many attempts one replica works on at a time."""
SECONDS_MAX: Final = 60.0

Work: TypeAlias = tuple[RunId, str]


class Number(BaseModel):
    value: int


CHAIN: Final[Mapping[str, Any]] = {
    "t0": {"capability": "add", "input": "${ input }"},
    **{
        f"t{number}": {"capability": "add", "input": f"${{ tasks.t{number - 1} }}"}
        for number in range(1, STEPS)
    },
}


class Crowd:
    """The runs, their agent, and the gate that its handlers stop at."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.run_ids = [new_run_id() for _ in range(RUNS)]
        self.works: list[Work] = []
        """What was worked on, in the order in which it was begun."""
        self._gate = asyncio.Event()
        self._gate_at = 0
        self._waiting = 0
        self._full = asyncio.Event()

    def agent(self) -> Agent[None]:
        """Adds one; whoever comes to a closed gate waits there."""
        agent: Agent[None] = Agent("adder", deps=None, concurrency=AT_WORK_MAX)

        @agent.handles("add")
        async def add(number: Number, context: TaskContext[None]) -> Number:
            self.works.append((context.run_id, str(context.task_id)))
            if len(self.works) > self._gate_at:
                self._waiting += 1
                if self._waiting >= AT_WORK_MAX:
                    self._full.set()
                await self._gate.wait()
            return Number(value=number.value + 1)

        return agent

    @asynccontextmanager
    async def replicas(self, count: int) -> AsyncGenerator[list[Worker]]:
        """So many replicas of the agent, which remember nothing of those before them."""
        async with AsyncExitStack() as stack:
            yield [
                await stack.enter_async_context(self.world.worker(self.agent()))
                for _ in range(count)
            ]

    async def start(self, tasks: Mapping[str, Any] = CHAIN, **top: Any) -> None:
        """Have all runs accepted; the gate is closed."""
        await self.world.register("chain", tasks, output=f"${{ tasks.t{STEPS - 1}.value }}", **top)
        await self.world.until_known("adder")
        requests = [
            StartRun(run_id=run_id, workflow="chain", input={"value": 0}) for run_id in self.run_ids
        ]
        await self.world.client.start_many(requests, timeout_seconds=SECONDS_MAX)

    async def until_stopped(self, *, after: int) -> None:
        """Let handlers pass the gate until so many works are begun, then wait for it to fill."""
        self._full.clear()
        self._waiting = 0
        self._gate_at = after
        self._gate.set()
        self._gate = asyncio.Event()
        async with asyncio.timeout(SECONDS_MAX):
            await self._full.wait()

    def open(self) -> None:
        """Let everybody pass from now on."""
        self._gate_at = 10 * RUNS * STEPS
        self._gate.set()

    async def settled(self) -> set[Work]:
        """Which works are recorded, as soon as all are that are not at the gate."""
        at_gate = AT_WORK_MAX
        async with asyncio.timeout(SECONDS_MAX):
            while len(found := await asyncio.to_thread(self.recorded)) < (  # noqa: ASYNC110
                len(self.works) - at_gate
            ):
                await asyncio.sleep(0.05)
        return found

    def recorded(self) -> set[Work]:
        """Which works are recorded by now."""
        return {
            (run_id, str(recorded.event.task_id))
            for run_id in self.run_ids
            for recorded in self.world.history(run_id)
            if isinstance(recorded.event, TaskCompleted)
        }

    async def ended(self) -> dict[RunId, list[Recorded]]:
        """All histories, when all runs have ended."""
        found: dict[RunId, list[Recorded]] = {}
        open_ones = list(self.run_ids)
        async with asyncio.timeout(SECONDS_MAX):
            while open_ones:
                histories = await asyncio.to_thread(self._histories, open_ones)
                found |= histories
                open_ones = [one for one in open_ones if one not in histories]
                await asyncio.sleep(0.1)
        return found

    def _histories(self, run_ids: list[RunId]) -> dict[RunId, list[Recorded]]:
        read = ((run_id, self.world.history(run_id)) for run_id in run_ids)
        return {run_id: history for run_id, history in read if "run-" in history[-1].event.kind}

    async def must_end_well(self, *, recorded: set[Work], begun: int) -> None:
        """Every run ends as it would have; no work is recorded twice, none that was is redone.

        Args:
            recorded: What was recorded before the fault.
            begun: How many works were begun before it.
        """
        histories = await self.ended()
        for history in histories.values():
            last = history[-1].event
            assert isinstance(last, RunCompleted), last
            assert last.output == STEPS
            completed = Counter(
                one.event.task_id for one in history if isinstance(one.event, TaskCompleted)
            )
            assert completed == {f"t{number}": 1 for number in range(STEPS)}
        redone = recorded.intersection(self.works[begun:])
        assert not redone, f"{len(redone)} of {len(recorded)} works were done, and done again"
