"""The client over both buses: what it promises must not depend on the one below."""

import asyncio

from dalsegno_bus.bus import Outgoing
from dalsegno_bus.client import Client
from dalsegno_bus.codec import encode
from dalsegno_bus.ids import new_run_id
from dalsegno_bus.messages import Accepted, RunChanged, StartRun
from dalsegno_bus.subjects import Subjects
from dalsegno_bus.topology import topology_of
from tests.contract.conftest import Connect
from tests.unit.bus.conftest import Answerer, accept

SECONDS_MAX = 30.0


async def test_many_concurrent_starts_are_each_answered_once(
    connect: Connect, subjects: Subjects
) -> None:
    bus = await connect()
    await bus.provision(topology_of(subjects))
    client = Client(bus, subjects, source="test")
    answerer = Answerer(await connect(), subjects, accept)
    async with asyncio.timeout(SECONDS_MAX), asyncio.TaskGroup() as group:
        working = group.create_task(answerer.run())
        started = [group.create_task(client.start("report")) for _ in range(100)]
        await asyncio.wait(started)
        requests = [StartRun(run_id=new_run_id(), workflow="report") for _ in range(400)]
        answers = await client.start_many(requests)
        working.cancel()
    assert len({task.result().run_id for task in started}) == 100
    assert [one.run_id for one in answers if isinstance(one, Accepted)] == [
        request.run_id for request in requests
    ]


async def test_whoever_waits_hears_of_the_end(connect: Connect, subjects: Subjects) -> None:
    waiter, teller = await connect(), await connect()
    client = Client(waiter, subjects, source="test")
    run_id = new_run_id()
    end = RunChanged(run_id=run_id, version=4, status="completed", output=[1, 2])
    async with asyncio.timeout(SECONDS_MAX), asyncio.TaskGroup() as group:
        waiting = group.create_task(client.wait(run_id))
        while not waiting.done():
            await teller.tell(Outgoing(subjects.live_run(run_id), encode(end)))
            await asyncio.sleep(0.01)
    assert waiting.result() == end
