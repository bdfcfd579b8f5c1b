"""A replica at work: takes attempts, has them performed, reports, and only then acknowledges.

A crash anywhere repeats something and loses nothing: what was not reported is delivered again, to
another replica or to this one, which remembers what it has answered. Everything here lives in one
event loop and needs no lock. Connects to nothing and closes nothing that it did not open.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, Final

from pydantic import TypeAdapter

from dalsegno_agents.agent import Agent
from dalsegno_agents.answers import Answer, Answers
from dalsegno_agents.attempt import Attempt
from dalsegno_agents.control import Control
from dalsegno_agents.dead import dead_letter
from dalsegno_agents.ending import Ending
from dalsegno_agents.hand import Hand, InHand, Tally
from dalsegno_agents.heartbeats import Heart
from dalsegno_agents.line import Outside
from dalsegno_agents.live import Live
from dalsegno_agents.live_answering import LiveAnswers
from dalsegno_agents.live_asking import LiveQuestions
from dalsegno_agents.outbox import Outbox
from dalsegno_agents.performer import Performer
from dalsegno_agents.portal import Portal
from dalsegno_agents.presence import Attendance
from dalsegno_agents.questions import Questions
from dalsegno_agents.replanning import Replanning
from dalsegno_agents.reports import Reports
from dalsegno_agents.returned import Returned
from dalsegno_agents.settings import AgentSettings
from dalsegno_agents.taking import Taking
from dalsegno_agents.threads import Threads
from dalsegno_bus import codec
from dalsegno_bus.artifacts import ArtifactStore
from dalsegno_bus.bus import Bus, Delivery
from dalsegno_bus.errors import BusError, DecodeFailed, Unavailable
from dalsegno_bus.ids import ReplicaId, is_token
from dalsegno_bus.logs import log
from dalsegno_bus.messages import TaskCommand
from dalsegno_bus.telemetry import Tracing
from dalsegno_bus.topology import Topology, agent_consumer, dead_letters, inbox

UNSENT_MAX: Final = 256
"""So many finished attempts may wait for the stream to take their reports; then we pull no more."""
FLUSH_SECONDS_MAX: Final = 3.0
"""How long a stopping replica tries to send what is finished, after its drain."""
LIVE_QUESTIONS_MORE: Final = 16
"""So many live questions may be answered beyond the concurrency."""

_COMMAND: Final = TypeAdapter(TaskCommand)

_logger = logging.getLogger("dalsegno.agent")


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
        on_leave: Called when this replica was drained, has nothing more in hand, and leaves.
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
        on_leave: Callable[[], None] = lambda: None,
    ) -> None:
        subjects = settings.subjects
        self.replica = replica
        self.is_ready = False
        self._freed = asyncio.Event()
        self.threads = Threads(on_free=self._freed.set)
        self._agent = agent
        self._bus = bus
        self._subjects = subjects
        self._settings = settings
        self._now = now
        self._on_leave = on_leave
        self._concurrency = settings.concurrency or agent.concurrency
        self._consumer = replace(
            agent_consumer(subjects, agent.name), ack_wait_seconds=settings.ack_wait_seconds
        )
        self._outbox = Outbox(bus)
        self._answers = Answers(count_max=settings.answers_max)
        self._hand = Hand(self._outbox, self._answers, on_change=self._freed.set)
        self._attendance = self._new_attendance()
        reports = Reports(
            agent.name,
            replica,
            subjects=subjects,
            artifacts=artifacts,
            now=now,
            threads=self.threads,
        )
        self._source = reports.source
        self._outside = Outside(
            live=Live(bus, subjects, now=now),
            heart=Heart(bus, reports),
            questions=Questions(bus, subjects, reports),
            live_questions=LiveQuestions(bus, subjects, reports),
            replanning=Replanning(bus, subjects, source=reports.source),
            portal=Portal(),
        )
        self._performer = Performer(
            agent,
            replica=replica,
            reports=reports,
            artifacts=artifacts,
            now=now,
            outside=self._outside,
            threads=self.threads,
            tracing=tracing,
        )
        self._ending = Ending(self._hand, self._answers, self._performer)
        self._control = Control(
            bus,
            subjects,
            agent.name,
            on_cancel=self._ending.on_cancel,
            on_drain=self.drain,
            every_seconds=settings.presence_seconds,
        )
        self._asked = LiveAnswers(
            bus,
            subjects.ask(agent.name),
            queue=f"ask-{agent.name}",
            answer=self._performer.answer,
            has_room=self._has_room_to_answer,
            on_end=self._freed.set,
        )
        self._returned = Returned(bus, subjects, replica=replica, now=now)
        self._working = 0
        self._leaving = asyncio.Event()
        self._is_stopped = False
        self._is_waiting = False

    @property
    def tally(self) -> Tally:
        """What this replica has done."""
        return self._hand.tally

    def stop(self) -> None:
        """Take no more, finish what is in hand within `drain_seconds`, then return from `run`."""
        self._is_stopped = True
        self._leaving.set()
        self._freed.set()

    def drain(self, reason: str, requested_by: str) -> None:
        """Take no more, finish what is in hand however long it takes, then return from `run`."""
        if self._is_waiting or self._leaving.is_set():
            return
        log(
            _logger,
            "info",
            "agent.told_to_drain",
            agent=self._agent.name,
            replica=self.replica,
            reason=reason,
            requested_by=requested_by,
        )
        self._leaving.set()

    def problems(self) -> list[str]:
        """Why this replica takes no work; empty if it does."""
        found = [] if self.is_ready else ["not yet working, or stopping"]
        if self._is_waiting:
            found = [f"drained: {self._control.hint}"]
        if not self._attendance.is_seen:
            found.append("the servers cannot be reached: is NATS running?")
        return found

    async def run(self) -> None:
        """Work until `stop` is called, or the agent is drained.

        Raises:
            SettingsError: It cannot begin, whatever it waits for.
        """
        if not await self._attendance.appear(unless=self._leaving):
            return
        outside = self._outside
        try:
            async with asyncio.TaskGroup() as services:
                loops = [
                    services.create_task(self._outbox.run()),
                    services.create_task(outside.live.run()),
                    services.create_task(outside.heart.run()),
                    services.create_task(outside.portal.run()),
                    services.create_task(self._attendance.run()),
                    services.create_task(
                        self._hand.keep(every_seconds=self._consumer.ack_wait_seconds / 3)
                    ),
                    services.create_task(self._control.hear()),
                ]
                if await self._is_welcome():
                    loops.append(services.create_task(self._control.watch()))
                    loops.append(services.create_task(self._asked.run()))
                    await self._work()
                for loop in loops:
                    loop.cancel()
        finally:
            self.threads.close()
        await self._attendance.leave()
        log(_logger, "info", "agent.stopped", agent=self._agent.name, replica=self.replica)

    async def _is_welcome(self) -> bool:
        """Wait until the agent is not drained; False: told to stop before that."""
        mark = None
        with suppress(BusError, Unavailable):  # else it is looked for again soon
            mark = await self._control.mark()
        if mark is not None:
            self._is_waiting = True
            self._attendance.drain()
            await self._control.until_undone(*mark, unless=self._leaving)
            self._is_waiting = False
            self._attendance.drain(draining=False)
        return not self._is_stopped

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as attempts:
            taking = Taking(
                self._bus,
                self._consumer,
                room=self._room,
                change=self._change,
                take=partial(self._take, attempts),
            )
            receiver = attempts.create_task(taking.run())
            self.is_ready = True
            log(
                _logger,
                "info",
                "agent.ready",
                agent=self._agent.name,
                replica=self.replica,
                concurrency=self._concurrency,
            )
            await self._leaving.wait()
            self.is_ready = False
            receiver.cancel()
            self._asked.close()
            self._attendance.drain()
            log(_logger, "info", "agent.draining", in_hand=len(self._hand))
            await self._finish()
        if len(self._hand):
            log(_logger, "warning", "agent.left_in_hand", in_hand=len(self._hand))

    async def _finish(self) -> None:
        """Let what is in hand end: of a drained replica at leisure, else within its time."""
        await self._until_empty(within_seconds=None, unless_stopped=True)
        if not self._is_stopped:
            self._on_leave()
            return
        await self._until_empty(within_seconds=self._settings.drain_seconds)
        for held in self._hand:
            if held.fate == "grace":
                self._ending.end_grace(held)
            else:
                self._ending.cancel(held, fate="return")
        await self._until_empty(within_seconds=FLUSH_SECONDS_MAX)

    # taking

    async def _take(self, attempts: asyncio.TaskGroup, delivery: Delivery) -> None:
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
        held = self._hand.take(key, delivery)
        answer = self._answers.get(key)
        if answer is not None:
            self.tally.answered_again += 1
            self._hand.send(held, answer)
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
        held.attempt = self._performer.attempt(command, stored_at=delivery.stored_at)
        held.task = attempts.create_task(self._perform(held, held.attempt, delivery))
        # A callback, for a task that is cancelled before its first step runs no `finally`.
        held.task.add_done_callback(partial(self._over, held))

    async def _perform(self, held: InHand, attempt: Attempt, delivery: Delivery) -> Answer:
        command, deliveries = attempt.command, delivery.deliveries
        verdict = await self._returned.judge(
            command, deliveries=deliveries, stored_at=delivery.stored_at
        )
        if verdict == "poison":
            return self._performer.poisoned(command, deliveries=deliveries)
        if verdict == "unwanted":
            held.fate = "unwanted"
            return Answer()
        parent = delivery.headers.get(codec.TRACEPARENT)
        return await self._performer.perform(attempt, parent=parent)

    def _bury(self, delivery: Delivery, reason: str) -> None:
        log(_logger, "warning", "agent.dead_letter", subject=delivery.subject, reason=reason)
        self._hand.bury(
            delivery,
            lambda: dead_letter(
                delivery,
                reason,
                agent=self._agent.name,
                source=self._source,
                subjects=self._subjects,
                now=self._now(),
            ),
        )

    def _over(self, held: InHand, task: "asyncio.Task[Answer]") -> None:
        self._working -= 1
        self._freed.set()
        self._ending.over(held, task)

    # waiting

    def _room(self) -> int:
        idle = self._concurrency - self._working - self.threads.abandoned
        return min(idle, self._concurrency + UNSENT_MAX - len(self._hand))

    async def _until_empty(
        self, *, within_seconds: float | None, unless_stopped: bool = False
    ) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(within_seconds):
                while len(self._hand) or self._asked.open:
                    if unless_stopped and self._is_stopped:
                        return
                    await self._change()

    async def _change(self) -> None:
        self._freed.clear()
        await self._freed.wait()

    def _has_room_to_answer(self) -> bool:
        busy = self._working + self._asked.open + self.threads.abandoned
        return busy < self._concurrency + LIVE_QUESTIONS_MORE

    def _new_attendance(self) -> Attendance:
        subjects, agent = self._subjects, self._agent
        return Attendance(
            self._bus,
            topology=Topology(
                streams=(self._consumer.stream, inbox(subjects), dead_letters(subjects)),
                consumers=(self._consumer,),
                buckets=(subjects.agents_bucket,),
            ),
            bucket=subjects.agents_bucket,
            card=agent.card.model_copy(update={"concurrency": self._concurrency}),
            replica=self.replica,
            started_at=self._now(),
            every_seconds=self._settings.presence_seconds,
            working=self._hand.at_work,
        )


def _read(body: bytes) -> TaskCommand:
    command = codec.decode(_COMMAND, body)
    if not is_token(command.task_id):
        raise DecodeFailed(f"task_id: {command.task_id!r} must match [a-z0-9][a-z0-9_-]*")
    return command
