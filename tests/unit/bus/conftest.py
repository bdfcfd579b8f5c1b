"""A namespace in memory, and someone who answers its clients."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from dalsegno_bus.bus import Bus, Delivery, Outgoing
from dalsegno_bus.client import Client
from dalsegno_bus.clock import utc_now
from dalsegno_bus.codec import MESSAGE_ID, REPLY_TO, REQUEST_ID, encode, headers_of
from dalsegno_bus.memory import MemoryBroker, MemoryBus
from dalsegno_bus.messages import Accepted, Rejected
from dalsegno_bus.subjects import Subjects
from dalsegno_bus.topology import inbox_consumer, topology_of

SUBJECTS = Subjects(namespace="ds", partitions=2)


@dataclass
class Answerer:
    """Plays the orchestrator towards clients: acknowledges everything, replies as it is told."""

    bus: Bus
    subjects: Subjects
    reply: Callable[[dict[str, Any]], Accepted | Rejected | None]
    """What to say to a request; None: nothing."""
    seen: list[tuple[str, Mapping[str, str], dict[str, Any]]] = field(
        default_factory=list[tuple[str, Mapping[str, str], dict[str, Any]]]
    )

    async def run(self) -> None:
        partitions = range(self.subjects.partitions)
        consumers = [inbox_consumer(self.subjects, partition) for partition in partitions]
        async with self.bus.pull(consumers, ahead=100) as pull:
            while True:
                for delivery in await pull.batch(limit=100):
                    await self._answer(delivery)

    async def _answer(self, delivery: Delivery) -> None:
        request = orjson.loads(delivery.body)
        self.seen.append((delivery.subject, delivery.headers, request))
        reply = self.reply(request)
        if reply is not None:
            headers = headers_of(reply.kind, message_id="reply", source="test", at=utc_now())
            headers[REQUEST_ID] = delivery.headers[MESSAGE_ID]
            await self.bus.tell(Outgoing(delivery.headers[REPLY_TO], encode(reply), headers))
        await delivery.ack()


def accept(request: dict[str, Any]) -> Accepted:
    """Yes to everything."""
    run_id = request.get("run_id") or "01890000-0000-7000-8000-000000000000"
    return Accepted.model_validate(
        {
            "run_id": run_id,
            "workflow": request.get("workflow", "report"),
            "version": 1,
            "status": "running",
        }
    )


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker()


@pytest.fixture
async def bus(broker: MemoryBroker) -> AsyncIterator[MemoryBus]:
    bus = MemoryBus(broker)
    await bus.provision(topology_of(SUBJECTS))
    yield bus
    await bus.close()


@asynccontextmanager
async def answering(
    broker: MemoryBroker, reply: Callable[[dict[str, Any]], Accepted | Rejected | None] = accept
) -> AsyncGenerator[Answerer, None]:
    """An orchestrator that is at work while the context lasts."""
    answerer = Answerer(MemoryBus(broker), SUBJECTS, reply)
    async with asyncio.TaskGroup() as group:
        working = group.create_task(answerer.run())
        try:
            yield answerer
        finally:
            working.cancel()


@pytest.fixture
def client(bus: MemoryBus) -> Client:
    return Client(bus, SUBJECTS, source="test")
