"""The servers as one process of the simulation reaches them: late, away, or never again.

Everything goes through to a `MemoryBroker` and a `MemoryRecorder` that all processes share and that
outlive them. A `Fuse` ends the process, or its commit, in the middle of what it is at.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final, Protocol
from uuid import UUID

import orjson
from eventsourcing.persistence import IntegrityError, OperationalError, StoredEvent
from simulation.loop import Killed, Process, VirtualLoop
from simulation.plan import FaultKind

from dalsegno_bus.bus import Delivery, Headers, Heard, Outcome, Outgoing
from dalsegno_bus.memory import MemoryBroker, MemoryBus
from dalsegno_bus.memory.broker import Listener
from dalsegno_bus.topology import Consumer
from dalsegno_orchestrator.storage.memory import MemoryRecorder
from dalsegno_orchestrator.storage.open_runs import OpenRun
from dalsegno_orchestrator.storage.permits import PermitChange, PermitRow
from dalsegno_orchestrator.store import Store

EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)
NAMESPACE: Final = "sim"


class VirtualClock:
    """The time of the servers."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self._loop.time())

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Telling(Protocol):
    """Takes one line of the trace."""

    def __call__(self, who: str, what: str, *details: object) -> None: ...


@dataclass
class Fuse:
    """Burns once, at the `number`th occasion."""

    what: FaultKind
    number: int

    def burns(self, *kinds: FaultKind) -> FaultKind | None:
        """Which of these happens now."""
        if self.what not in kinds or self.number < 1:
            return None
        self.number -= 1
        return self.what if self.number == 0 else None


class Implied:
    """Which attempts the history implies; whatever is sent beside these is wrong."""

    def __init__(self) -> None:
        self._attempts: set[str] = set()
        self._streams: set[str] = set()
        self.wrong: list[str] = []

    def commit(self, events: Sequence[StoredEvent]) -> None:
        """These are stored now."""
        for stored in events:
            self._streams.add(str(stored.originator_id))
            if stored.topic.startswith("task-assigned"):
                event = orjson.loads(stored.state)["event"]
                run = stored.originator_id
                self._attempts.add(f"{run}.{event['task_id']}.{event['attempt']}")

    def judge_acknowledged(self, subject: str) -> None:
        """A message is acknowledged; what asks for something new has to be stored by now."""
        _, kind, *_, stream = subject.split(".")
        if kind == "run" and stream not in self._streams:
            self.wrong.append(f"{subject} is acknowledged before anything of it is stored")

    def judge(self, messages: Sequence[Outgoing]) -> None:
        """These go out now."""
        for message in messages:
            _, kind, _, *attempt = message.subject.split(".")
            if kind == "task" and ".".join(attempt) not in self._attempts:
                self.wrong.append(f"{message.subject} is sent before it is in the history")


class Life:
    """One process from its start to its end, and what is between it and the servers."""

    def __init__(
        self,
        loop: VirtualLoop,
        name: str,
        *,
        dice: Random,
        lag_seconds: float,
        tell: Telling,
        implied: Implied,
    ) -> None:
        self.implied = implied
        self.process = Process(name)
        self.name = name
        self.fuses: list[Fuse] = []
        self.store_away_until = 0.0
        self.listeners: list[tuple[MemoryBroker, Listener]] = []
        self.tell = tell
        self.on_death: Callable[[], None] = lambda: None
        self._loop = loop
        self._dice = dice
        self._lag_seconds = lag_seconds
        if lag_seconds:
            self.process.thread_seconds = lambda: dice.random() * lag_seconds

    @property
    def is_dead(self) -> bool:
        return self.process.is_dead

    @property
    def is_store_away(self) -> bool:
        return self._loop.time() < self.store_away_until

    def burns(self, *kinds: FaultKind) -> FaultKind | None:
        """Which of these goes wrong now."""
        burnt = [fuse for fuse in self.fuses if fuse.burns(*kinds)]
        for fuse in burnt:
            self.fuses.remove(fuse)
        return burnt[0].what if burnt else None

    def die(self) -> None:
        """Take no further step, and be no longer connected."""
        if self.is_dead:
            return
        self.tell(self.name, "dies")
        self._loop.kill(self.process)
        for broker, listener in self.listeners:
            if listener in broker.listeners:
                broker.listeners.remove(listener)
        self.on_death()

    def die_now(self) -> None:
        """Die in the middle of a step of this process."""
        self.die()
        raise Killed

    async def lag(self) -> None:
        """A message is on its way."""
        if self._lag_seconds:
            await asyncio.sleep(self._dice.random() * self._lag_seconds)


class LivingBus(MemoryBus):
    """The connection of one process."""

    def __init__(self, broker: MemoryBroker, life: Life) -> None:
        super().__init__(broker)
        self._life = life

    async def tell(self, message: Outgoing) -> None:
        await self._life.lag()
        await super().tell(message)

    async def store(self, messages: Sequence[Outgoing]) -> Sequence[Outcome]:
        life = self._life
        life.implied.judge(messages)
        await life.lag()
        if messages and life.burns("die_sending"):
            await super().store(messages[: len(messages) // 2])
            life.die_now()
        outcomes = await super().store(messages)
        life.tell(life.name, "stores", *zip((m.subject for m in messages), outcomes, strict=True))
        if messages and life.burns("die_after_sending"):
            life.die_now()
        await life.lag()
        return outcomes

    @asynccontextmanager
    async def pull(self, consumers: Sequence[Consumer], *, ahead: int) -> AsyncGenerator[Any, None]:
        async with super().pull(consumers, ahead=ahead) as pull:
            yield _Pull(pull, self._life)

    @asynccontextmanager
    async def listen(
        self, *subjects: str, queue: str | None = None
    ) -> AsyncGenerator[AsyncIterator[Heard], None]:
        before = len(self.broker.listeners)
        async with super().listen(*subjects, queue=queue) as heard:
            mine = [(self.broker, one) for one in self.broker.listeners[before:]]
            self._life.listeners.extend(mine)
            try:
                yield heard
            finally:
                if self._life.is_dead:  # they are gone already
                    self.broker.listeners.extend(one for _, one in mine)


class _Pull:
    def __init__(self, pull: Any, life: Life) -> None:
        self._pull = pull
        self._life = life

    async def batch(self, *, limit: int) -> Sequence[Delivery]:
        batch = await self._pull.batch(limit=limit)
        await self._life.lag()
        self._life.tell(self._life.name, "takes", *[one.subject for one in batch])
        return [_Delivery(one, self._life) for one in batch]

    async def turn_to(self, consumers: Sequence[Consumer]) -> None:
        self._life.tell(self._life.name, "turns to", *[one.name for one in consumers])
        await self._pull.turn_to(consumers)


class _Delivery:
    __slots__ = ("_life", "_one")

    def __init__(self, one: Delivery, life: Life) -> None:
        self._one = one
        self._life = life

    @property
    def subject(self) -> str:
        return self._one.subject

    @property
    def body(self) -> bytes:
        return self._one.body

    @property
    def headers(self) -> Headers:
        return self._one.headers

    @property
    def deliveries(self) -> int:
        return self._one.deliveries

    @property
    def consumer_name(self) -> str:
        return self._one.consumer_name

    @property
    def stored_at(self) -> datetime:
        return self._one.stored_at

    @property
    def sequence(self) -> int:
        return self._one.sequence

    async def ack(self) -> None:
        if self._life.burns("die_before_ack"):
            self._life.die_now()
        self._life.tell(self._life.name, "acknowledges", self.subject)
        self._life.implied.judge_acknowledged(self.subject)
        await self._one.ack()

    async def retry(self, *, delay_seconds: float) -> None:
        await self._one.retry(delay_seconds=delay_seconds)

    async def extend(self) -> None:
        await self._one.extend()

    async def drop(self) -> None:
        await self._one.drop()


class LivingRecorder:
    """The database as one process reaches it."""

    def __init__(self, recorder: MemoryRecorder, life: Life) -> None:
        self._recorder = recorder
        self._life = life

    @property
    def datastore(self) -> "LivingRecorder":
        return self

    def close(self) -> None:
        pass

    def ensure_schema(self) -> None:
        self._look()

    def keep(
        self,
        events: Sequence[StoredEvent],
        opened: Sequence[OpenRun],
        closed: Sequence[UUID],
        permits: PermitChange | None,
    ) -> None:
        self._look()
        life = self._life
        burnt = life.burns("die_before_commit", "commit_refused", "conflict") if events else None
        if burnt == "die_before_commit":
            life.die_now()
        if burnt == "commit_refused":
            raise OperationalError("the simulated database goes away before the commit")
        if burnt == "conflict":
            raise IntegrityError("a simulated conflict")
        self._recorder.keep(events, opened, closed, permits)
        life.implied.commit(events)
        life.tell(life.name, "commits", *_told(events))
        burnt = life.burns("die_after_commit", "commit_unanswered") if events else None
        if burnt == "die_after_commit":
            life.die_now()
        if burnt == "commit_unanswered":
            raise OperationalError("the simulated database goes away after the commit")

    def select_events(self, originator_id: UUID, **more: Any) -> list[StoredEvent]:
        self._look()
        return self._recorder.select_events(originator_id, **more)

    def select_notifications(self, *asked: Any, **more: Any) -> Any:
        self._look()
        return self._recorder.select_notifications(*asked, **more)

    def max_notification_id(self) -> int | None:
        self._look()
        return self._recorder.max_notification_id()

    def select_open(self, partitions: Sequence[int]) -> list[OpenRun]:
        self._look()
        return self._recorder.select_open(partitions)

    def select_permits(self, limits: Sequence[str] | None) -> list[PermitRow]:
        self._look()
        return self._recorder.select_permits(limits)

    def __getattr__(self, name: str) -> Any:
        self._look()
        return getattr(self._recorder, name)

    def _look(self) -> None:
        if self._life.is_store_away:
            raise OperationalError("the simulated database is away")


class LivingStore(Store):
    """The event store of one process; `life` None: of whoever looks on."""

    def __init__(
        self, recorder: MemoryRecorder, life: Life | None = None, *, is_local: bool = True
    ) -> None:
        super().__init__("memory:simulation", namespace=NAMESPACE)
        self._recorder = recorder if life is None else LivingRecorder(recorder, life)
        self._is_file = is_local


def _told(events: Sequence[StoredEvent]) -> list[str]:
    return [
        f"{str(e.originator_id)[:8]}#{e.originator_version} {e.topic.partition('.')[0]}"
        for e in events
    ]
