"""A replica at work: takes attempts, has them performed, reports, and only then acknowledges.

A crash anywhere repeats something and loses nothing: what was not reported is delivered again, to
another replica or to this one, which remembers what it has answered. Everything here lives in one
event loop and needs no lock. Connects to nothing and closes nothing that it did not open.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, Final, Literal

from pydantic import TypeAdapter

from dalsegno_agents.agent import Agent
from dalsegno_agents.answers import Answer, Answers, AttemptKey
from dalsegno_agents.attempt import Performer
from dalsegno_agents.dead import dead_letter
from dalsegno_agents.live import Live
from dalsegno_agents.outbox import Outbox, Parcel
from dalsegno_agents.pace import Pace
from dalsegno_agents.presence import Attendance
from dalsegno_agents.returned import Returned
from dalsegno_agents.settings import AgentSettings
from dalsegno_agents.threads import Threads
from dalsegno_bus import codec
from dalsegno_bus.artifacts import ArtifactStore
from dalsegno_bus.bus import Bus, Delivery, Pull
from dalsegno_bus.errors import BusError, DecodeFailed, Unavailable
from dalsegno_bus.ids import ReplicaId, is_token
from dalsegno_bus.logs import log
from dalsegno_bus.messages import CancelAttempt, TaskCommand
from dalsegno_bus.telemetry import Tracing
from dalsegno_bus.topology import Topology, agent_consumer, dead_letters, inbox

UNSENT_MAX: Final = 256
"""So many finished attempts may wait for the stream to take their reports; then we pull no more."""
FULL_SECONDS_MAX: Final = 0.25
"""With no room for so long, the pull is closed, and what it held goes to other replicas."""
PULL_PAUSE_SECONDS: Final = 1.0
RETURN_DELAY_SECONDS: Final = 0.1
FLUSH_SECONDS_MAX: Final = 3.0
"""How long a stopping replica tries to send what is finished, after its drain."""

_COMMAND: Final = TypeAdapter(TaskCommand)
_CANCEL: Final = TypeAdapter(CancelAttempt)

_logger = logging.getLogger("dalsegno.agent")


@dataclass(slots=True, eq=False)
class InHand:
    """Something delivered and not settled yet; `deliveries` by their sequence, copies and all."""

    key: AttemptKey | int
    """The attempt; of what could not be read, its sequence."""
    deliveries: dict[int, Delivery]
    task: "asyncio.Task[Answer] | None" = None
    fate: Literal["answer", "forget", "return", "unwanted"] = "answer"
    """What becomes of it when its task is over."""


@dataclass(slots=True)
class Tally:
    """What a replica has done since it started."""

    answered: int = 0
    answered_again: int = 0
    cancelled: int = 0
    """Cancellations heard, also of attempts that are not here."""
    dead: int = 0
    returned: int = 0


class Worker:
    """One replica of an agent.

    Args:
        agent: What to do.
        bus: The connection; whoever opened it closes it, after `run` has returned.
        settings: How to work.
        artifacts: Where values lie that are too large for a message.
        now: The time now (UTC).
        replica: The name of this process.
        tracing: Where spans go; None: nowhere.
    """

    def __init__(
        self,
        agent: Agent[Any],
        bus: Bus,
        *,
        settings: AgentSettings,
        artifacts: ArtifactStore,
        now: Callable[[], datetime],
        replica: ReplicaId,
        tracing: Tracing | None = None,
    ) -> None:
        subjects = settings.subjects
        self.replica = replica
        self.tally = Tally()
        self._freed = asyncio.Event()
        self.threads = Threads(on_free=self._freed.set)
        self._agent = agent
        self._bus = bus
        self._subjects = subjects
        self._settings = settings
        self._now = now
        self._concurrency = settings.concurrency or agent.concurrency
        self._consumer = replace(
            agent_consumer(subjects, agent.name), ack_wait_seconds=settings.ack_wait_seconds
        )
        self._attendance = Attendance(
            bus,
            topology=Topology(
                streams=(self._consumer.stream, inbox(subjects), dead_letters(subjects)),
                consumers=(self._consumer,),
                buckets=(subjects.agents_bucket,),
            ),
            bucket=subjects.agents_bucket,
            card=agent.card.model_copy(update={"concurrency": self._concurrency}),
            replica=replica,
            started_at=now(),
            every_seconds=settings.presence_seconds,
            working=self._working_names,
        )
        self._live = Live(bus, subjects, now=now)
        self._outbox = Outbox(bus)
        self._answers = Answers(count_max=settings.answers_max)
        self._performer = Performer(
            agent,
            replica=replica,
            subjects=subjects,
            artifacts=artifacts,
            now=now,
            live=self._live,
            threads=self.threads,
            tracing=tracing,
        )
        self._returned = Returned(bus, subjects, replica=replica)
        self._pace = Pace()
        self._hand: dict[AttemptKey | int, InHand] = {}
        self._working = 0
        self._stopping = asyncio.Event()
        self.is_ready = False

    def stop(self) -> None:
        """Take no more, finish what is in hand within `drain_seconds`, then return from `run`."""
        self._stopping.set()

    def problems(self) -> list[str]:
        """Why this replica takes no work; empty if it does."""
        found = [] if self.is_ready else ["not yet working, or stopping"]
        if not self._attendance.is_seen:
            found.append("the servers cannot be reached: is NATS running?")
        return found

    async def run(self) -> None:
        """Work until `stop` is called.

        Raises:
            BusError, Unavailable: It could not begin.
        """
        await self._attendance.appear()
        log(
            _logger,
            "info",
            "agent.ready",
            agent=self._agent.name,
            replica=self.replica,
            concurrency=self._concurrency,
        )
        try:
            async with asyncio.TaskGroup() as services:
                loops = [
                    services.create_task(self._outbox.run()),
                    services.create_task(self._live.run()),
                    services.create_task(self._attendance.run()),
                    services.create_task(self._extend()),
                    services.create_task(self._hear_cancellations()),
                ]
                await self._work()
                for loop in loops:
                    loop.cancel()
        finally:
            self.threads.close()
        await self._attendance.leave()
        log(_logger, "info", "agent.stopped", agent=self._agent.name, replica=self.replica)

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as attempts:
            receiver = attempts.create_task(self._receive(attempts))
            self.is_ready = True
            await self._stopping.wait()
            self.is_ready = False
            receiver.cancel()
            self._attendance.drain()
            log(_logger, "info", "agent.draining", in_hand=len(self._hand))
            await self._until_empty(within_seconds=self._settings.drain_seconds)
            for held in self._hand.values():
                self._cancel(held, fate="return")
            await self._until_empty(within_seconds=FLUSH_SECONDS_MAX)
        if self._hand:
            log(_logger, "warning", "agent.left_in_hand", in_hand=len(self._hand))

    # taking

    async def _receive(self, attempts: asyncio.TaskGroup) -> None:
        while True:
            try:
                async with self._bus.pull([self._consumer], ahead=self._pace.ahead) as pull:
                    await self._receive_from(pull, attempts)
            except (BusError, Unavailable) as error:
                log(_logger, "warning", "agent.pull_failed", reason=str(error))
                await asyncio.sleep(PULL_PAUSE_SECONDS)
            await self._has_room(within_seconds=None)

    async def _receive_from(self, pull: Pull, attempts: asyncio.TaskGroup) -> None:
        """Take what comes, until a pull opened anew would serve better."""
        clock = asyncio.get_running_loop().time
        while await self._has_room(within_seconds=FULL_SECONDS_MAX):
            batch = await pull.batch(limit=self._room)
            for delivery in batch:
                await self._take(delivery, attempts)
            if self._pace.took(len(batch), at=clock()):
                return
        self._pace.full(at=clock())

    @property
    def _room(self) -> int:
        idle = self._concurrency - self._working - self.threads.abandoned
        return min(idle, self._concurrency + UNSENT_MAX - len(self._hand))

    async def _has_room(self, *, within_seconds: float | None) -> bool:
        if self._room < 1:
            with suppress(TimeoutError):
                async with asyncio.timeout(within_seconds):
                    while self._room < 1:
                        await self._change()
        return self._room >= 1

    async def _take(self, delivery: Delivery, attempts: asyncio.TaskGroup) -> None:
        try:
            command = _read(delivery.body)
        except DecodeFailed as error:
            self._bury(delivery, str(error))
            return
        key = (command.run_id, command.task_id, command.attempt)
        held = self._hand.get(key)
        if held is not None:
            held.deliveries[delivery.sequence] = delivery
            await delivery.extend()
            return
        held = self._hand[key] = InHand(key, {delivery.sequence: delivery})
        answer = self._answers.get(key)
        if answer is not None:
            self.tally.answered_again += 1
            self._send(held, answer)
        else:
            self._begin(held, command, delivery, attempts)

    def _begin(
        self,
        held: InHand,
        command: TaskCommand,
        delivery: Delivery,
        attempts: asyncio.TaskGroup,
    ) -> None:
        self._working += 1
        held.task = attempts.create_task(self._perform(held, command, delivery))
        # A callback, for a task that is cancelled before its first step runs no `finally`.
        held.task.add_done_callback(partial(self._over, held))

    async def _perform(self, held: InHand, command: TaskCommand, delivery: Delivery) -> Answer:
        deliveries = delivery.deliveries
        verdict = await self._returned.judge(command, deliveries=deliveries)
        if verdict == "poison":
            return self._performer.poisoned(command, deliveries=deliveries)
        if verdict == "unwanted":
            held.fate = "unwanted"
            return Answer()
        parent = delivery.headers.get(codec.TRACEPARENT)
        return await self._performer.perform(command, stored_at=delivery.stored_at, parent=parent)

    # settling

    def _over(self, held: InHand, task: "asyncio.Task[Answer]") -> None:
        self._working -= 1
        self._freed.set()
        if held.fate == "forget":  # even if its handler would not hear of it
            self._send(held, Answer())
        elif task.cancelled():
            if held.fate == "return":
                self._outbox.put(Parcel(Answer(), partial(self._return, held)))
        elif task.exception() is None:  # else the group ends the replica with it
            self._send(held, task.result())

    def _send(self, held: InHand, answer: Answer) -> None:
        self._outbox.put(Parcel(answer, partial(self._settle, held, answer)))

    async def _settle(self, held: InHand, answer: Answer) -> None:
        if isinstance(held.key, tuple) and held.fate != "unwanted":
            self._answers.remember(held.key, answer)
        self._let_go(held)
        self.tally.answered += 1
        for delivery in held.deliveries.values():
            await delivery.ack()

    async def _return(self, held: InHand) -> None:
        self._let_go(held)
        self.tally.returned += 1
        for delivery in held.deliveries.values():
            await delivery.retry(delay_seconds=RETURN_DELAY_SECONDS)

    def _bury(self, delivery: Delivery, reason: str) -> None:
        held = InHand(delivery.sequence, {delivery.sequence: delivery})
        if delivery.sequence in self._hand:  # its letter is still on the way
            return
        self._hand[held.key] = held
        message = dead_letter(
            delivery,
            reason,
            agent=self._agent.name,
            source=f"agent/{self._agent.name}/{self.replica}",
            subjects=self._subjects,
            now=self._now(),
        )
        log(_logger, "warning", "agent.dead_letter", subject=delivery.subject, reason=reason)
        self._outbox.put(Parcel(Answer(ending=(message,)), partial(self._drop, held)))

    async def _drop(self, held: InHand) -> None:
        self._let_go(held)
        self.tally.dead += 1
        for delivery in held.deliveries.values():
            await delivery.drop()

    def _let_go(self, held: InHand) -> None:
        self._hand.pop(held.key, None)
        self._freed.set()

    # beside the work

    async def _extend(self) -> None:
        """Keep what is in hand from going to others: one round for all of it."""
        while True:
            await asyncio.sleep(self._consumer.ack_wait_seconds / 3)
            for held in list(self._hand.values()):
                for delivery in list(held.deliveries.values()):
                    await delivery.extend()

    async def _hear_cancellations(self) -> None:
        async with self._bus.listen(self._subjects.control(self._agent.name)) as heard:
            async for message in heard:
                try:
                    cancel = codec.decode(_CANCEL, message.body)
                except DecodeFailed as error:
                    log(_logger, "warning", "agent.control_not_understood", reason=str(error))
                else:
                    self._on_cancel((cancel.run_id, cancel.task_id, cancel.attempt))

    def _on_cancel(self, key: AttemptKey) -> None:
        self.tally.cancelled += 1
        held = self._hand.get(key)
        if held is not None:
            self._cancel(held, fate="forget")
        else:  # perhaps it is on its way to us: then it is acknowledged, and not begun
            self._answers.remember(key, Answer())

    def _cancel(self, held: InHand, *, fate: Literal["forget", "return"]) -> None:
        if held.task is not None and not held.task.done() and held.fate == "answer":
            held.fate = fate
            held.task.cancel()

    async def _until_empty(self, *, within_seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(within_seconds):
                while self._hand:
                    await self._change()

    async def _change(self) -> None:
        self._freed.clear()
        await self._freed.wait()

    def _working_names(self) -> Iterator[str]:
        for held in list(self._hand.values()):
            if isinstance(held.key, tuple) and held.task is not None and not held.task.done():
                run_id, task_id, attempt = held.key
                yield f"{run_id}/{task_id}/{attempt}"


def _read(body: bytes) -> TaskCommand:
    command = codec.decode(_COMMAND, body)
    if not is_token(command.task_id):
        raise DecodeFailed(f"task_id: {command.task_id!r} must match [a-z0-9][a-z0-9_-]*")
    return command
