"""A stage for replicas: a broker in memory, commands in, reports out."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import BaseModel, TypeAdapter

from dalsegno_agents.agent import Agent
from dalsegno_agents.context import TaskContext
from dalsegno_agents.settings import AgentSettings
from dalsegno_agents.worker import Worker
from dalsegno_bus import codec
from dalsegno_bus.artifacts import ArtifactStore
from dalsegno_bus.bus import Heard, Outgoing
from dalsegno_bus.clock import utc_now
from dalsegno_bus.errors import PublishFailed
from dalsegno_bus.ids import RunId, new_replica_id, new_run_id
from dalsegno_bus.memory import MemoryBroker, MemoryBus
from dalsegno_bus.messages import (
    AgentCard,
    CancelAttempt,
    DeadLetter,
    DrainAgent,
    Drained,
    FailedReport,
    Inbox,
    Presence,
    QuestionAnswered,
    QuestionReport,
    TaskCommand,
)
from dalsegno_bus.subjects import Subjects
from dalsegno_bus.telemetry import Tracing
from dalsegno_bus.topology import Topology, agent_consumer, inbox_consumer, topology_of

INBOX: TypeAdapter[Any] = TypeAdapter(Inbox)
SECONDS_MAX = 10.0


async def until(holds: Callable[[], bool]) -> None:
    """Return as soon as `holds` does; fail if it never does."""
    async with asyncio.timeout(SECONDS_MAX):
        while not holds():  # noqa: ASYNC110  # what tests wait for is no event
            await asyncio.sleep(0.002)


@dataclass
class Stage:
    """What surrounds the replicas of a test."""

    artifacts: ArtifactStore
    broker: MemoryBroker = field(default_factory=MemoryBroker)
    subjects: Subjects = field(default_factory=lambda: Subjects(namespace="t", partitions=1))
    run_id: RunId = field(default_factory=new_run_id)
    bus: MemoryBus = field(init=False)

    def __post_init__(self) -> None:
        self.bus = MemoryBus(self.broker)

    @asynccontextmanager
    async def worker(
        self,
        agent: Agent[Any],
        *,
        bus: MemoryBus | None = None,
        tracing: Tracing | None = None,
        **settings: Any,
    ) -> AsyncGenerator[Worker, None]:
        """A running replica; told to stop at the end."""
        worker = self.build(agent, bus=bus, tracing=tracing, **settings)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(worker.run())
            await until(lambda: worker.is_ready or running.done())
            yield worker
            worker.stop()

    def build(
        self,
        agent: Agent[Any],
        *,
        bus: MemoryBus | None = None,
        tracing: Tracing | None = None,
        on_leave: Callable[[], None] = lambda: None,
        **settings: Any,
    ) -> Worker:
        """A replica that does not run yet."""
        return Worker(
            agent,
            bus or MemoryBus(self.broker),
            settings=AgentSettings(namespace="t", partitions=1, **settings),
            artifacts=self.artifacts,
            now=utc_now,
            replica=new_replica_id(),
            tracing=tracing,
            on_leave=on_leave,
        )

    async def command(
        self,
        capability: str,
        value: object = None,
        *,
        agent: str = "scribe",
        task_id: str = "a",
        attempt: int = 1,
        **more: Any,
    ) -> TaskCommand:
        """Ask for one attempt, as the orchestrator does."""
        command = TaskCommand(
            run_id=self.run_id,
            task_id=task_id,
            attempt=attempt,
            agent=agent,
            capability=capability,
            workflow="w",
            input=value if value is not None else {},
            **more,
        )
        await self.publish(command)
        return command

    async def publish(self, command: TaskCommand) -> None:
        """Put a command where its agent finds it."""
        subject = self.subjects.task(
            command.agent, command.run_id, command.task_id, command.attempt
        )
        message = Outgoing(subject, codec.encode(command))
        async with asyncio.timeout(SECONDS_MAX):
            while True:
                with suppress(PublishFailed):
                    await self.bus.store([message])
                    break

    def topology(self, agent: str) -> Topology:
        """What an agent needs before its first replica has started."""
        return Topology(consumers=(agent_consumer(self.subjects, agent),))

    def due(self, agent: str) -> datetime:
        """When the next delivery of an agent goes to somebody else."""
        reader = self.broker.streams[self.subjects.task_stream].readers[f"agent-{agent}"]
        due = reader.next_due()
        assert due is not None
        return due

    def waiting(self, agent: str) -> int:
        """How many commands no replica of an agent has taken."""
        stream = self.broker.streams[self.subjects.task_stream]
        return len(stream.readers[f"agent-{agent}"].waiting)

    def fill_inbox(self, *, full: bool) -> None:
        """Let the inbox refuse every report, or take them again."""
        inbox = self.broker.streams[self.subjects.inbox_stream]
        inbox.change(replace(inbox.spec, messages_max=0 if full else 1_000_000))

    async def cancel(
        self, command: TaskCommand, *, grace_seconds: float = 0.0, reason: str = ""
    ) -> None:
        """Tell all replicas to stop working on an attempt."""
        cancel = CancelAttempt(
            run_id=command.run_id,
            task_id=command.task_id,
            attempt=command.attempt,
            reason=reason,
            grace_seconds=grace_seconds,
        )
        await self.bus.tell(Outgoing(self.subjects.control(command.agent), codec.encode(cancel)))

    async def answer(self, question: QuestionReport, output: object = None, **more: Any) -> None:
        """Answer a question, as the orchestrator does."""
        answered = QuestionAnswered(
            run_id=question.run_id,
            task_id=question.task_id,
            question=question.question,
            output=output,
            **more,
        )
        subject = self.subjects.live_task(question.run_id, question.task_id)
        await self.bus.tell(Outgoing(subject, codec.encode(answered)))

    async def drain(self, agent: str = "scribe") -> None:
        """Tell all replicas to leave."""
        order = DrainAgent(agent=agent, reason="a new version", requested_by="ada")
        await self.bus.tell(Outgoing(self.subjects.control(agent), codec.encode(order)))

    async def mark_drained(self, agent: str = "scribe") -> None:
        """Put the mark beside an agent's card."""
        mark = Drained(agent=agent, reason="a new version", requested_by="ada", at=utc_now())
        bucket = self.bus.bucket(self.subjects.agents_bucket)
        await bucket.put(f"drained.{agent}", codec.encode(mark))

    async def undo_drain(self, agent: str = "scribe") -> None:
        """Take the mark away."""
        await self.bus.bucket(self.subjects.agents_bucket).delete(f"drained.{agent}")

    async def reports(self, count: int = 1) -> list[Any]:
        """The next so many reports, oldest first."""
        found: list[Any] = []
        consumer = replace(inbox_consumer(self.subjects, 0), ack_wait_seconds=0.5)
        async with (
            asyncio.timeout(SECONDS_MAX),
            self.bus.pull([consumer], ahead=1) as pull,
        ):
            while len(found) < count:
                for delivery in await pull.batch(limit=count - len(found)):
                    found.append(codec.decode(INBOX, delivery.body))
                    await delivery.ack()
        return found

    async def report(self) -> Any:
        """The next report."""
        return (await self.reports(1))[0]

    def held(self, stream: str) -> list[bytes]:
        """The bodies that a stream holds now."""
        found = self.broker.streams.get(stream)
        return [held.message.body for held in found.held.values()] if found is not None else []

    async def settled(self) -> None:
        """Return when every command is acknowledged."""
        await until(lambda: not self.held(self.subjects.task_stream))

    def live_values(self, agent: str = "scribe") -> list[Any]:
        """What the bucket holds of an agent's replicas."""
        values = self.bus.held_bucket(self.subjects.agents_bucket).values
        return [value for key, value in values.items() if key.startswith(f"live.{agent}.")]

    def presences(self, agent: str = "scribe") -> list[Presence]:
        """Who is there now."""
        found = self.live_values(agent)
        return [Presence.model_validate_json(value.entry.value) for value in found]

    def presence_now(self) -> Presence:
        """The only replica that is there."""
        (presence,) = self.presences()
        return presence

    def card(self, agent: str = "scribe") -> AgentCard | None:
        """What the agent says of itself."""
        value = self.bus.held_bucket(self.subjects.agents_bucket).values.get(f"card.{agent}")
        if value is None or value.entry.value is None:
            return None
        return AgentCard.model_validate_json(value.entry.value)

    def card_revision(self) -> int:
        """Which write of the bucket the card is."""
        values = self.bus.held_bucket(self.subjects.agents_bucket).values
        return values["card.scribe"].entry.revision

    @asynccontextmanager
    async def listening(self) -> AsyncGenerator[list[dict[str, Any]], None]:
        """What watchers of the run hear, as it comes in."""
        heard: list[dict[str, Any]] = []

        async def listen(messages: AsyncIterator[Heard]) -> None:
            async for message in messages:
                heard.append(orjson.loads(message.body))  # noqa: PERF401  # one by one, as they come

        async with (
            self.bus.listen(self.subjects.live_tasks(self.run_id)) as messages,
            asyncio.TaskGroup() as group,
        ):
            listener = group.create_task(listen(messages))
            yield heard
            listener.cancel()

    def dead(self) -> list[DeadLetter]:
        """The dead letters so far."""
        return [DeadLetter.model_validate_json(body) for body in self.held("T_DEAD")]


@pytest.fixture
async def stage(tmp_path: Path) -> Stage:
    stage = Stage(artifacts=ArtifactStore(str(tmp_path / "artifacts")))
    await stage.bus.provision(topology_of(stage.subjects))
    return stage


class Text(BaseModel):
    """What most handlers here take and return."""

    text: str = ""


class Scribe:
    """An agent that counts its work; `text.wait` ends when `gate` opens."""

    def __init__(self, *, concurrency: int = 1) -> None:
        self.agent = Agent("scribe", concurrency=concurrency)
        self.worked: list[str] = []
        self.at_work = 0
        self.most_at_work = 0
        self.gate = asyncio.Event()
        self.agent.handles("text.echo")(self.echo)
        self.agent.handles("text.wait")(self.wait)

    async def echo(self, text: Text, context: TaskContext[None]) -> Text:
        self.worked.append(context.task_id)
        return text

    async def wait(self, text: Text, context: TaskContext[None]) -> Text:
        self.worked.append(context.task_id)
        self.at_work += 1
        self.most_at_work = max(self.most_at_work, self.at_work)
        try:
            await self.gate.wait()
        finally:
            self.at_work -= 1
        return text


async def only(stage: Stage, function: Any, value: object = None, **command: Any) -> Any:
    """The one report of an agent that does nothing else."""
    agent = Agent("scribe")
    agent.handles("text.do")(function)
    async with stage.worker(agent):
        await stage.command("text.do", value, **command)
        report = await stage.report()
        await stage.settled()
    return report


def failure(report: Any) -> tuple[str, bool]:
    """The code of a failure, and whether it is to be retried."""
    assert isinstance(report, FailedReport), report
    return report.error.code, report.retryable


@pytest.fixture(autouse=True)
def nobody_waits_for_orchestrators(monkeypatch: pytest.MonkeyPatch) -> None:
    """None is here, so a question that reaches nobody is not asked again."""
    monkeypatch.setattr("dalsegno_agents.returned.REACH_SECONDS_MAX", 0.0)
