"""How the others know a replica."""

import asyncio

import pytest

from dalsegno_agents import Agent, TaskContext
from dalsegno_bus.memory import MemoryBus
from tests.unit.agents.conftest import Stage, Text, until


def scribe(*, version: str = "1") -> Agent[None]:
    agent = Agent("scribe", version=version, labels={"region": "eu"}, concurrency=3)

    @agent.handles("text.echo")
    async def echo(text: Text, context: TaskContext[None]) -> Text:
        """Say it again."""
        del context
        return text

    return agent


async def test_a_replica_shows_its_card_and_itself(stage: Stage) -> None:
    async with stage.worker(scribe(), concurrency=5) as worker:
        card, presence = stage.card(), stage.presence_now()

    assert card is not None
    assert (card.agent, card.version, card.concurrency) == ("scribe", "1", 5)
    assert card.labels == {"region": "eu"}
    assert card.capabilities[0].description == "Say it again."
    assert (presence.agent, presence.replica) == ("scribe", worker.replica)
    assert presence.concurrency == 5


async def test_presence_expires_by_itself(stage: Stage) -> None:
    async with stage.worker(scribe()):
        (value,) = stage.live_values()

    assert value.expires_at is not None
    left = value.expires_at - stage.broker.clock.now()
    assert left.total_seconds() <= 10


async def test_after_the_servers_lost_everything_card_presence_and_consumer_are_back(
    stage: Stage,
) -> None:
    async with stage.worker(scribe(), presence_seconds=0.01):
        stage.broker.forget()
        assert stage.card() is None
        await until(lambda: stage.card() is not None and bool(stage.presences()))
        await stage.command("text.echo", {"text": "la"})
        report = await stage.report()

    assert report.output == {"text": "la"}


async def test_the_card_of_another_version_is_not_overwritten_in_turns(
    stage: Stage,
) -> None:
    one, two = scribe(version="1"), scribe(version="2")
    async with stage.worker(one, presence_seconds=0.01), stage.worker(two, presence_seconds=0.01):
        written = stage.card_revision()
        first = {value.entry.revision for value in stage.live_values()}
        await until(lambda: not first & {value.entry.revision for value in stage.live_values()})
        card = stage.card()
        assert stage.card_revision() == written

    assert card is not None
    assert card.version == "2"


async def test_a_replica_that_cannot_reach_the_servers_waits_until_it_is_told_to_stop(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    bus = MemoryBus(stage.broker)
    await bus.close()
    worker = stage.build(scribe(), bus=bus)

    async with asyncio.TaskGroup() as group:
        running = group.create_task(worker.run())
        await until(lambda: "start.waits" in caplog.text)
        assert worker.problems()
        assert not running.done()
        worker.stop()
