"""Who is served within one batch, through the real pipeline over the memory bus."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dalsegno_bus.bus import Delivery, Entry, Outgoing, Pull
from dalsegno_bus.codec import encode
from dalsegno_bus.ids import LIMITS, RunId, run_id_of_key, workflow_id
from dalsegno_bus.memory import MemoryBroker, MemoryBus
from dalsegno_bus.messages import (
    AgentCard,
    CapabilityCard,
    CompletedReport,
    Message,
    Presence,
    RegisterWorkflow,
    SetLimit,
    StartRun,
)
from dalsegno_bus.subjects import Subjects
from dalsegno_bus.topology import inbox_consumer, topology_of
from dalsegno_orchestrator.directory.agents import queue_max
from dalsegno_orchestrator.service import Orchestrator
from dalsegno_orchestrator.settings import OrchestratorSettings
from dalsegno_orchestrator.store import Store
from dalsegno_orchestrator.workflow.events import TaskAssigned, TaskParked

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ONE: dict[str, Any] = {"one": {"capability": "work"}}
TWO: dict[str, Any] = {**ONE, "two": {"capability": "work", "after": ["one"]}}


class Desk:
    """An orchestrator whose batches are put together by hand, with one agent that has one slot."""

    def __init__(
        self,
        bus: MemoryBus,
        pull: Pull,
        store: Store,
        orchestrator: Orchestrator,
        subjects: Subjects,
    ) -> None:
        self._bus = bus
        self._pull = pull
        self._store = store
        self._subjects = subjects
        self.pipeline = orchestrator.pipeline
        card = AgentCard(agent="a", capabilities=(CapabilityCard(name="work"),))
        live = Presence(agent="a", replica="r", started_at=NOW, concurrency=1)
        for key, message in (("card.a", card), ("live.a.r", live)):
            orchestrator.directory.hear(Entry(key, encode(message), 1), NOW)

    async def turn(self, *messages: Message) -> None:
        """One batch with these messages."""
        for message in messages:
            outgoing = Outgoing(self._subject(message), encode(message))
            assert await self._bus.store([outgoing]) == ["stored"]
        deliveries: Sequence[Delivery] = ()
        while len(deliveries) < len(messages):
            deliveries = [*deliveries, *await self._pull.batch(limit=len(messages))]
        await self.pipeline.turn(deliveries)

    def _subject(self, message: Message) -> str:
        match message:
            case RegisterWorkflow():
                return self._subjects.request(workflow_id(str(message.definition["workflow"])))
            case SetLimit():
                return self._subjects.request(LIMITS)
            case CompletedReport():
                return self._subjects.report(message.agent, message.run_id)
            case StartRun():
                return self._subjects.request(message.run_id)
            case _:
                raise AssertionError(message)

    async def register(self, tasks: dict[str, Any], **top: Any) -> None:
        await self.turn(RegisterWorkflow(definition={"workflow": "w", "tasks": tasks, **top}))

    def state(self, name: str) -> tuple[int, bool]:
        """How often a task of the run was assigned, and whether one is parked now."""
        history = [recorded.event for recorded in self._store.read(run(name))]
        last = [event for event in history if isinstance(event, TaskAssigned | TaskParked)]
        assigned = sum(isinstance(event, TaskAssigned) for event in last)
        return assigned, bool(last) and isinstance(last[-1], TaskParked)


def run(name: str) -> RunId:
    return run_id_of_key("ds", "w", name)


def starts(*names: str) -> list[StartRun]:
    return [StartRun(run_id=run(name), workflow="w") for name in names]


def done(name: str, task: str = "one") -> CompletedReport:
    return CompletedReport(run_id=run(name), task_id=task, attempt=1, agent="a", replica="r")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    settings = OrchestratorSettings(
        namespace="ds",
        partitions=1,
        store_url=f"sqlite:///{tmp_path}/store.db",
        artifacts_url=str(tmp_path / "artifacts"),
    )
    bus = MemoryBus(MemoryBroker())
    store = Store(settings.store_url, namespace="ds")
    store.ensure_schema()
    await bus.provision(topology_of(settings.subjects))
    orchestrator = Orchestrator(settings, bus, store, now=lambda: NOW)
    async with (
        bus.pull([inbox_consumer(settings.subjects, 0)], ahead=100) as pull,
        asyncio.TaskGroup() as group,
    ):
        keeping = group.create_task(orchestrator.leases.keep())
        await orchestrator.leases.known.wait()
        await orchestrator.leases.claim([0])
        yield Desk(bus, pull, store, orchestrator, settings.subjects)
        keeping.cancel()
    await bus.close()
    store.close()


async def test_a_newcomer_of_the_same_batch_does_not_take_the_place_that_somebody_left(
    desk: Desk,
) -> None:
    await desk.register(ONE)
    full = [f"full{number}" for number in range(queue_max(1, 0.0))]
    await desk.turn(*starts(*full, "waits"))
    assert desk.state("waits") == (0, True)
    await desk.turn(done("full0"), *starts("new"))
    assert desk.state("waits") == (1, False)
    assert desk.state("new") == (0, True)


async def test_a_run_does_not_hand_its_permit_from_one_task_to_its_next_while_others_wait(
    desk: Desk,
) -> None:
    await desk.register(TWO, limits={"concurrency": 1})
    await desk.turn(*starts("first", "waits"))
    assert (desk.state("first"), desk.state("waits")) == ((1, False), (0, True))
    await desk.turn(done("first"))
    assert (desk.state("first"), desk.state("waits")) == ((1, True), (1, False))
    await desk.turn(done("waits"))
    assert (desk.state("first"), desk.state("waits")) == ((2, False), (1, True))


async def test_a_limit_that_is_raised_lets_those_go_that_wait_for_it(desk: Desk) -> None:
    await desk.turn(SetLimit(limit="capability:work", concurrency=1))
    await desk.register(ONE)
    await desk.turn(*starts("a", "b", "c"))
    assert [desk.state(name)[0] for name in "abc"] == [1, 0, 0]
    await desk.turn(SetLimit(limit="capability:work", concurrency=2))
    assert [desk.state(name)[0] for name in "abc"] == [1, 1, 0]
    await desk.turn(SetLimit(limit="capability:work"))
    assert [desk.state(name)[0] for name in "abc"] == [1, 1, 1]
