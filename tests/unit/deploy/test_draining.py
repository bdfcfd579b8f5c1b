"""Draining an agent: the mark, what its replicas are told, and waiting for them to leave."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from dalsegno.draining import drain, undrain, until_left
from dalsegno.presence import Known, present
from dalsegno.session import Session
from dalsegno_bus.artifacts import ArtifactStore
from dalsegno_bus.clock import utc_now
from dalsegno_bus.codec import encode
from dalsegno_bus.errors import UsageError
from dalsegno_bus.memory import MemoryBroker, MemoryBus
from dalsegno_bus.messages import AgentCard, CapabilityCard, Presence
from dalsegno_bus.subjects import Subjects
from dalsegno_bus.topology import topology_of

SECONDS_MAX = 20.0
SUBJECTS = Subjects(namespace="ds", partitions=2)


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Session]:
    bus = MemoryBus(MemoryBroker())
    await bus.provision(topology_of(SUBJECTS))
    session = Session(bus=bus, subjects=SUBJECTS, artifacts=ArtifactStore(str(tmp_path)))
    await put(session, "card.analyst", card("analyst"))
    await put(session, "live.analyst.r1", presence("r1", "run/a/1"))
    await put(session, "live.analyst.r2", presence("r2"))
    yield session
    await bus.close()


async def put(here: Session, key: str, message: AgentCard | Presence) -> None:
    await here.bus.bucket(SUBJECTS.agents_bucket).put(key, encode(message))


def card(agent: str) -> AgentCard:
    return AgentCard(agent=agent, capabilities=(CapabilityCard(name="finance.analyze"),))


def presence(replica: str, *working: str) -> Presence:
    return Presence(
        agent="analyst", replica=replica, started_at=utc_now(), concurrency=1, working=working
    )


async def drained(here: Session) -> Known:
    async with asyncio.timeout(SECONDS_MAX):
        return await drain(here, "analyst", reason="a new version", requested_by="ada")


async def test_a_drained_agent_is_marked_and_its_replicas_are_told(here: Session) -> None:
    async with here.bus.listen(SUBJECTS.control("analyst")) as heard:
        await drained(here)
        async with asyncio.timeout(SECONDS_MAX):
            told = orjson.loads((await anext(heard)).body)
    assert told["kind"] == "drain-agent.v1"
    assert (told["agent"], told["reason"], told["requested_by"]) == (
        "analyst", "a new version", "ada",
    )  # fmt: skip
    entry = await here.bus.bucket(SUBJECTS.agents_bucket).get("drained.analyst")
    assert entry is not None
    mark = (await present(here))["analyst"].drained
    assert mark is not None
    assert (mark.reason, mark.requested_by) == ("a new version", "ada")


async def test_the_mark_can_be_taken_away(here: Session) -> None:
    assert not await undrain(here, "analyst")
    await drained(here)
    assert await undrain(here, "analyst")
    assert (await present(here))["analyst"].drained is None


async def test_an_agent_that_is_not_there_is_refused_with_the_one_that_was_meant(
    here: Session,
) -> None:
    with pytest.raises(UsageError, match=r"no agent 'analist'; did you mean 'analyst'\?"):
        await drain(here, "analist", reason="", requested_by="ada")
    with pytest.raises(UsageError, match="no agent 'writer'; there are: analyst"):
        await undrain(here, "writer")
    assert await here.bus.bucket(SUBJECTS.agents_bucket).get("drained.analist") is None


async def test_waiting_ends_when_the_last_replica_has_left(here: Session) -> None:
    agent = await drained(here)
    bucket = here.bus.bucket(SUBJECTS.agents_bucket)
    told: list[tuple[int, int]] = []
    async with asyncio.timeout(SECONDS_MAX), asyncio.TaskGroup() as group:
        waiting = group.create_task(
            until_left(here, agent, lambda now: told.append((len(now.replicas), now.working)))
        )
        await reached(told, 1)
        await bucket.delete("live.analyst.r2")
        await reached(told, 2)
        await put(here, "live.analyst.r1", presence("r1"))
        await reached(told, 3)
        assert not waiting.done()
        await bucket.delete("live.analyst.r1")
    assert told == [(2, 1), (1, 1), (1, 0)]


async def test_waiting_for_an_agent_without_replicas_ends_at_once(here: Session) -> None:
    await put(here, "card.writer", card("writer"))
    agent = await drain(here, "writer", reason="", requested_by="ada")
    async with asyncio.timeout(SECONDS_MAX):
        await until_left(here, agent, lambda _: None)


async def reached(told: list[tuple[int, int]], count: int) -> None:
    while len(told) < count:  # noqa: ASYNC110 - the callback only notes; the caller has a timeout
        await asyncio.sleep(0.001)
