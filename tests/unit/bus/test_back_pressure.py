"""What a client does when the inbox is full, or when more is begun at once than it holds."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from dalsegno_bus import requesting
from dalsegno_bus.bus import Outcome, Outgoing
from dalsegno_bus.client import Client
from dalsegno_bus.errors import PublishFailed, Unavailable
from dalsegno_bus.ids import new_run_id
from dalsegno_bus.memory import MemoryBroker, MemoryBus
from dalsegno_bus.messages import Accepted, StartRun
from dalsegno_bus.topology import Topology, inbox
from tests.unit.bus.conftest import SUBJECTS, Answerer, accept

INBOX_MAX = 10
OPEN_MAX = 50
SECONDS_MAX = 20.0


class CountingBus(MemoryBus):
    """Knows how many messages were handed to it, and how many at the same time."""

    def __init__(self, broker: MemoryBroker) -> None:
        super().__init__(broker)
        self.sent = 0
        self.refusals = 0
        self.under_way = 0
        self.most = 0

    async def store(self, messages: Sequence[Outgoing]) -> Sequence[Outcome]:
        self.sent += len(messages)
        self.under_way += len(messages)
        self.most = max(self.most, self.under_way)
        try:
            return await super().store(messages)
        except PublishFailed:
            self.refusals += 1
            raise
        finally:
            self.under_way -= len(messages)


@pytest.fixture
async def tight(broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch) -> CountingBus:
    """A connection to an inbox that holds little."""
    monkeypatch.setattr("dalsegno_bus.topology.INBOX_MESSAGES_MAX", INBOX_MAX)
    bus = CountingBus(broker)
    await bus.provision(Topology(streams=(inbox(SUBJECTS),)))
    return bus


def starts(count: int) -> list[StartRun]:
    return [StartRun(run_id=new_run_id(), workflow="report") for _ in range(count)]


async def test_many_starts_get_through_a_small_inbox_without_filling_it_with_copies(
    broker: MemoryBroker, tight: CountingBus
) -> None:
    answerer = Answerer(MemoryBus(broker), SUBJECTS, accept)
    client = Client(tight, SUBJECTS, source="test")
    async with asyncio.timeout(SECONDS_MAX), asyncio.TaskGroup() as group:
        working = group.create_task(answerer.run())
        answers = await client.start_many(starts(40 * INBOX_MAX), timeout_seconds=SECONDS_MAX)
        working.cancel()
    assert all(isinstance(answer, Accepted) for answer in answers)
    assert tight.refusals, "the inbox was never full"
    assert len(answerer.seen) <= 2 * len(answers)


async def test_what_was_answered_is_not_sent_again_though_the_rest_has_no_room(
    broker: MemoryBroker, tight: CountingBus
) -> None:
    """Those who have room hear their answers at once, however long the others are refused."""
    client = Client(tight, SUBJECTS, source="test")
    requests = starts(2 * INBOX_MAX)
    answerer = Answerer(MemoryBus(broker), SUBJECTS, accept)
    with pytest.raises(Unavailable, match=r"could not be stored.*full.*run more orchestrators"):
        await client.start_many(requests, timeout_seconds=0.1)
    async with asyncio.timeout(SECONDS_MAX), asyncio.TaskGroup() as group:
        working = group.create_task(answerer.run())
        answers = await client.start_many(requests, timeout_seconds=SECONDS_MAX)
        working.cancel()
    assert {one.run_id for one in answers if isinstance(one, Accepted)} == {
        request.run_id for request in requests
    }


async def test_a_full_inbox_is_knocked_at_softly(tight: CountingBus) -> None:
    client = Client(tight, SUBJECTS, source="test")
    with pytest.raises(Unavailable):
        await client.start_many(starts(20 * INBOX_MAX), timeout_seconds=1.0)
    assert tight.sent <= 3 * 20 * INBOX_MAX, "smaller parts, and longer pauses"


class FlickeringBus(CountingBus):
    """Every second part that it is given has no room."""

    calls = 0

    async def store(self, messages: Sequence[Outgoing]) -> Sequence[Outcome]:
        self.calls += 1
        if self.calls % 2:
            raise PublishFailed("the stream is full")
        return await super().store(messages)


async def test_what_is_stored_leaves_its_room_to_what_is_not(broker: MemoryBroker) -> None:
    """While nobody is answered, each request is stored before any is sent a second time."""
    bus = FlickeringBus(broker)
    await bus.provision(Topology(streams=(inbox(SUBJECTS),)))
    requests = starts(2 * INBOX_MAX)
    seen: list[str] = []

    def reply(request: dict[str, Any]) -> Accepted | None:
        is_whole = len(set(seen)) == len(requests)
        seen.append(request["run_id"])
        return accept(request) if is_whole else None

    answerer = Answerer(MemoryBus(broker), SUBJECTS, reply)
    async with asyncio.timeout(SECONDS_MAX), asyncio.TaskGroup() as group:
        working = group.create_task(answerer.run())
        client = Client(bus, SUBJECTS, source="test")
        await client.start_many(requests, timeout_seconds=SECONDS_MAX)
        working.cancel()
    assert len(set(seen[: len(requests)])) == len(requests)


async def test_however_many_are_begun_at_once_the_bus_holds_few(
    broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requesting, "REQUESTS_OPEN_MAX", OPEN_MAX)
    bus = CountingBus(broker)
    answerer = Answerer(MemoryBus(broker), SUBJECTS, accept)
    client = Client(bus, SUBJECTS, source="test")
    await bus.provision(Topology(streams=(inbox(SUBJECTS),)))
    async with asyncio.timeout(SECONDS_MAX), asyncio.TaskGroup() as group:
        working = group.create_task(answerer.run())
        started = [group.create_task(client.start("report")) for _ in range(20 * OPEN_MAX)]
        await asyncio.wait(started)
        working.cancel()
    assert len({task.result().run_id for task in started}) == 20 * OPEN_MAX
    assert bus.most <= OPEN_MAX


async def test_who_does_not_get_a_turn_in_time_is_told_that_nothing_was_sent(
    broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requesting, "REQUESTS_OPEN_MAX", 1)
    bus = CountingBus(broker)
    await bus.provision(Topology(streams=(inbox(SUBJECTS),)))
    client = Client(bus, SUBJECTS, source="test")
    async with asyncio.TaskGroup() as group:
        first = group.create_task(client.start("report", timeout_seconds=SECONDS_MAX))
        while not bus.sent:  # noqa: ASYNC110 - it has its turn once it has sent
            await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="this one was not sent"):
            await client.start("report", timeout_seconds=0.01)
        assert bus.sent == 1
        first.cancel()
