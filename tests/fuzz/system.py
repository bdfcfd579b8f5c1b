"""A whole system in memory to throw bad bytes at: on every subject, then a sane run has to end.

What has to hold after each batch: the sane run completes in every partition, the streams are empty,
and what the orchestrator refused lies in the dead letters, one for each.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

import orjson
from fuzz import samples
from fuzz.decoders import Said
from fuzz.garbage import Garbage
from integration.projections.databases import Databases
from pydantic import BaseModel

from dalsegno_agents import Agent, TaskContext, worker
from dalsegno_bus.bus import Bus, Outgoing
from dalsegno_bus.codec import REQUEST_ID, encode
from dalsegno_bus.errors import DecodeFailed, PublishFailed
from dalsegno_bus.ids import RunId, new_run_id
from dalsegno_bus.memory import MemoryBroker, MemoryBus
from dalsegno_bus.messages import LiveAnswer
from dalsegno_bus.subjects import Subjects
from dalsegno_orchestrator.heard import hear
from dalsegno_orchestrator.service import Orchestrator
from dalsegno_projections.answers import Answers
from dalsegno_projections.asking import QUERIES, TRACE
from dalsegno_projections.catalog import VIEWS
from dalsegno_projections.queries import QueryService, replies_of
from dalsegno_projections.traces import TraceSender
from support.world import World, until

NAMESPACE: Final = "fuzz"
ASK_SECONDS: Final = 10.0
TOKENS: Final = ("one", "x", "0", "1", "-1", "99", "a.b", "é", "x" * 200, "Ä Ö", "echo")


class Value(BaseModel):
    value: Any = None


def echo() -> Agent[None]:
    agent: Agent[None] = Agent(samples.AGENT, deps=None, concurrency=20)

    @agent.handles("echo")
    async def answer(value: Value, context: TaskContext[None]) -> Value:
        del context
        return value

    return agent


@dataclass
class System:
    """All that is under fire, and who fires."""

    world: World
    broker: MemoryBroker
    orchestrator: Orchestrator
    bus: Bus
    garbage: Garbage
    open_run: RunId
    """A run that waits, so that messages about it are decided and not only looked up."""

    @property
    def targets(self) -> Mapping[str, Callable[[int], Awaitable[None]]]:
        """Everything that hears something, by name; each is called with a number of messages."""
        return {
            "inbox": self.inbox,
            "task commands": self.task_commands,
            "agents bucket": self.agents_bucket,
            "leases bucket": self.leases_bucket,
            "control": self.control,
            "live questions": self.live_questions,
            "wanted": self.wanted,
            "live": self.live,
            "replies": self.replies,
            "queries": self.queries,
            "hints": self.hints,
        }

    async def fire(self, name: str, count: int) -> None:
        """Throw so many bad messages at a target; afterwards all works as before."""
        refused, letters = self.orchestrator.pipeline.refused, self._letters()
        agents = self._agents_letters()
        await self.targets[name](count)
        await self.is_sane()
        refused = self.orchestrator.pipeline.refused - refused
        agents = self._agents_letters() - agents
        assert self._letters() - letters == refused + agents, "each refused message is a letter"

    async def is_sane(self) -> None:
        """A run completes in every partition, and nothing is left in the streams."""
        world = self.world
        runs = [self._run_in(partition) for partition in range(world.subjects.partitions)]
        for run_id in runs:
            await world.client.start(samples.WORKFLOW, {"value": 1}, run_id=run_id)
        for run_id in runs:
            assert (await world.result(run_id)).status == "completed"
        for stream in (world.subjects.inbox_stream, world.subjects.task_stream):
            await until(lambda stream=stream: not self.broker.streams[stream].held)

    # --- targets -------------------------------------------------------------------------------

    async def inbox(self, count: int) -> None:
        random, ns = self.garbage.random, NAMESPACE
        bodies = samples.bodies(samples.INBOX)
        right = [samples.subject_of(sample) for sample in samples.INBOX]
        faults = 0
        before = self.orchestrator.pipeline.refused
        for _ in range(count):
            body = self._about_the_open_run(self.garbage.body(bodies))
            subject = random.choice(
                (
                    self._named(random.choice(right)),
                    self.world.subjects.request(self.open_run),
                    self.world.subjects.report(samples.AGENT, self.open_run),
                    f"{ns}.run.{random.randrange(3)}.{self.open_run}",
                    f"{ns}.report.{random.randrange(3)}.{random.choice(TOKENS)}.{self.open_run}",
                    f"{ns}.run.{random.randrange(2)}.{random.choice(TOKENS)}",
                )
            )
            message = Outgoing(subject, body, self.garbage.headers())
            try:
                await self.bus.store([message])
            except PublishFailed:  # no stream takes it: whoever sent it was told
                continue
            said = Said(subject=subject, body=body, headers=message.headers)
            faults += hear(said, self.world.subjects).message is None
        await until(lambda: self.orchestrator.pipeline.refused - before >= faults)

    async def task_commands(self, count: int) -> None:
        bodies = samples.bodies(samples.TASKS)
        unreadable, before = 0, self._agents_letters()
        for number in range(count):
            body = self._about_the_open_run(self.garbage.body(bodies))
            unreadable += not _is_command(body)
            task = self.garbage.random.choice(("one", "x", "two-0"))
            subject = self.world.subjects.task(samples.AGENT, new_run_id(), task, number + 1)
            await self.bus.store([Outgoing(subject, body, self.garbage.headers())])
        await until(lambda: self._agents_letters() - before == unreadable)

    async def agents_bucket(self, count: int) -> None:
        bucket = self.bus.bucket(self.world.subjects.agents_bucket)
        card = await bucket.get(f"card.{samples.AGENT}")
        assert card is not None
        assert card.value is not None
        bodies = samples.bodies(samples.BUCKET)
        keys = ("card.echo", "live.echo.r1", "live.echo", "card.x", "drained.x", "live.x.y", "what")
        for _ in range(count):
            key = self.garbage.random.choice(keys)
            await bucket.put(key, self.garbage.body(bodies))
        await bucket.put(f"card.{samples.AGENT}", card.value)
        for key in keys[1:]:
            await bucket.delete(key)

    async def leases_bucket(self, count: int) -> None:
        bucket = self.bus.bucket(self.world.subjects.leases_bucket)
        keys = ("member.ghost", "member.x", "partition.99", "partition.x", "partition.-1", "what")
        bodies = (b'{"owner":"ghost","incarnation":"i","epoch":1}', b'{"owner":null,"epoch":2}')
        for _ in range(count):
            await bucket.put(self.garbage.random.choice(keys), self.garbage.body(bodies))
        for key in keys:  # a ghost that is understood would have its share for ever
            await bucket.delete(key)

    async def control(self, count: int) -> None:
        await self._tell(self.world.subjects.control(samples.AGENT), count, samples.CONTROL)

    async def wanted(self, count: int) -> None:
        await self._tell(self.world.subjects.wanted, count, samples.WANTED)

    async def hints(self, count: int) -> None:
        await self._tell(self.world.subjects.recorded_hint, count, samples.EVERY)

    async def live(self, count: int) -> None:
        """While somebody waits for a run's end, and somebody else watches."""
        run_id = new_run_id()
        subjects = self.world.subjects
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(self.world.client.wait(run_id))
            watching = group.create_task(self._watch(run_id))
            await asyncio.sleep(0)
            bodies = samples.bodies(samples.LIVE)
            for _ in range(count):
                body = self.garbage.body(bodies)
                if b"completed" in body or b"failed" in body or b"cancelled" in body:
                    continue  # a forged end is an end for those who only listen
                subject = self.garbage.random.choice(
                    (subjects.live_run(run_id), subjects.live_task(run_id, "one"))
                )
                await self.bus.tell(Outgoing(subject, body, self.garbage.headers()))
            await self.world.client.start(samples.WORKFLOW, {"value": 1}, run_id=run_id)
            assert (await waiting).status == "completed"
            await watching

    async def live_questions(self, count: int) -> None:
        """Whatever is asked, it is answered: by an output, or with an error in words."""
        bodies = samples.bodies(samples.ASK)
        for _ in range(count):
            message = Outgoing(
                self.world.subjects.ask(samples.AGENT),
                self.garbage.body(bodies),
                self.garbage.headers(),
            )
            heard = await self.bus.ask(message, timeout_seconds=ASK_SECONDS)
            answer = LiveAnswer.model_validate_json(heard.body)
            assert answer.error is None or answer.error.message

    async def replies(self, count: int) -> None:
        """Bad answers to a client while it waits for the good one."""
        client = self.world.client
        inbox = client._requests._replies.subject  # pyright: ignore[reportPrivateUsage] - what a liar would find out
        bodies = samples.bodies(samples.REPLIES)
        async with asyncio.TaskGroup() as group:
            starting = group.create_task(client.start(samples.WORKFLOW, {"value": 1}))
            for _ in range(count):
                headers = {**self.garbage.headers(), REQUEST_ID: self.garbage.text()}
                await self.bus.tell(Outgoing(inbox, self.garbage.body(bodies), headers))
            assert (await starting).status == "running"

    async def queries(self, count: int) -> None:
        """Every question is answered, or refused in words; none shows a fault of ours."""
        run = str(self.open_run).encode()
        bodies = (
            b'{"run_id":"%s"}' % run,
            b'{"run_id":"%s","limit":5,"offset":1}' % run,
            b'{"run_id":"%s","after":1,"limit":3}' % run,
            b'{"run_id":"%s","at":2}' % run,
            b'{"run_id":"%s","task_id":"one"}' % run,
            b'{"limit":5,"offset":1,"workflow":"sane","status":"running","labels":{"a":"b"}}',
            b'{"limit":"quota:x"}',
        )
        names = [query.name for query in QUERIES if query is not TRACE]
        for _ in range(count):
            subject = self.world.subjects.query(self.garbage.random.choice(names))
            message = Outgoing(subject, self.garbage.body(bodies), self.garbage.headers())
            heard = await self.bus.ask(message, timeout_seconds=ASK_SECONDS)
            answer = orjson.loads(heard.body)
            if answer.keys() == {"error"}:
                assert answer["error"]["code"] != "internal", (subject, message.body, answer)
                assert answer["error"]["message"]

    # --- aids ----------------------------------------------------------------------------------

    async def _tell(self, subject: str, count: int, messages: Sequence[BaseModel]) -> None:
        bodies = tuple(encode(message) for message in messages)
        for number in range(count):
            body = self._about_the_open_run(self.garbage.body(bodies))
            await self.bus.tell(Outgoing(subject, body, self.garbage.headers()))
            if number % 50 == 0:
                await asyncio.sleep(0)  # who listens gets a turn

    async def _watch(self, run_id: RunId) -> None:
        async for change in self.world.client.watch(run_id):
            assert change

    def _about_the_open_run(self, body: bytes) -> bytes:
        return body.replace(str(samples.RUN).encode(), str(self.open_run).encode())

    def _named(self, subject: str) -> str:
        return subject.replace(str(samples.RUN), str(self.open_run))

    def _run_in(self, partition: int) -> RunId:
        while True:
            run_id = new_run_id()
            if self.world.subjects.partition(run_id) == partition:
                return run_id

    def _letters(self) -> int:
        return len(self.broker.streams[self.world.subjects.dead_stream].held)

    def _agents_letters(self) -> int:
        subject = self.world.subjects.dead(f"agent-{samples.AGENT}")
        held = self.broker.streams[self.world.subjects.dead_stream].held.values()
        return sum(one.message.subject == subject for one in held)


def _is_command(body: bytes) -> bool:
    try:
        worker._read(body)  # pyright: ignore[reportPrivateUsage] - the decoder itself
    except DecodeFailed:
        return False
    return True


@asynccontextmanager
async def system(folder: Path, seed: int) -> AsyncGenerator[System]:
    """Orchestrator, agent and projections at work over the memory bus, until the block ends."""
    broker = MemoryBroker()

    async def open_one() -> Bus:
        return MemoryBus(broker)

    world = World(open_one, NAMESPACE, folder, await open_one())
    databases = Databases(
        world.settings.store_url, f"sqlite:///{folder}/views.db", world.settings.namespace
    )
    async with AsyncExitStack() as stack:
        stack.callback(world.store.close)
        stack.enter_context(databases.opened)
        orchestrator = await stack.enter_async_context(world.orchestrator())
        await stack.enter_async_context(world.worker(echo()))
        await stack.enter_async_context(_answering(databases, MemoryBus(broker)))
        await world.client.register(samples.DOCUMENT)
        await world.register("waits", {"one": {"wait": {"signal": "never"}}})
        await world.until_known(samples.AGENT)
        accepted = await world.client.start("waits")
        databases.projector().catch_up()
        bus = await open_one()
        await bus.provision(orchestrator._streams)  # pyright: ignore[reportPrivateUsage] - as any client's
        yield System(world, broker, orchestrator, bus, Garbage(Random(seed)), accepted.run_id)


@asynccontextmanager
async def _answering(databases: Databases, bus: Bus) -> AsyncGenerator[None]:
    answers = Answers(databases.rows, databases.store, followed=[view.name for view in VIEWS])
    sender = TraceSender(databases.rows, databases.store, None)
    queries = QueryService(
        bus, Subjects(namespace=databases.namespace), replies_of(answers, sender)
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(queries.run())
        await until(lambda: queries.is_listening)
        try:
            yield
        finally:
            queries.stop()
