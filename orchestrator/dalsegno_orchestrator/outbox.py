"""What goes out after a commit: commands, cancellations, answers, dead letters, news.

Everything here follows from committed events, so sending it again is always safe: the server
refuses the copy of an attempt that is queued or under way, and everybody ignores old news.
"""

import asyncio
import base64
import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import islice
from typing import Final, TypeAlias

import orjson
from pydantic_core import to_json

from dalsegno_bus.artifacts import PAYLOAD_BYTES_MAX, ArtifactStore, check_in
from dalsegno_bus.bus import Bus, Delivery, Outgoing
from dalsegno_bus.codec import REQUEST_ID, encode, headers_of
from dalsegno_bus.errors import BusError, PublishFailed, Unavailable, UsageError
from dalsegno_bus.ids import new_message_id
from dalsegno_bus.logs import log
from dalsegno_bus.messages import (
    CancelRun,
    ChildOver,
    DeadLetter,
    Json,
    Message,
    QuestionAnswered,
    RunChanged,
    StartRun,
    TaskCommand,
)
from dalsegno_bus.subjects import Subjects
from dalsegno_bus.telemetry import traceparent
from dalsegno_bus.topology import tasks
from dalsegno_orchestrator.batch import Answer, Batch, cancel_of, over_of
from dalsegno_orchestrator.workflow.decider import child_start_of, command_of
from dalsegno_orchestrator.workflow.run import Run, Task

_logger = logging.getLogger("dalsegno.orchestrator")

SOURCE: Final = "orchestrator"
BACKOFF_SECONDS_MAX: Final = 5.0
SEND_CHUNK_MAX: Final = 1_000
POSTPONED_MAX: Final = 10_000
"""So many messages between runs wait here for room; more of them are made anew by the sweep."""
DEAD_BODY_BYTES_MAX: Final = 32 * 1024

RunToRun: TypeAlias = StartRun | CancelRun | ChildOver


class Outbox:
    """Turns what was committed into messages and sees them off."""

    def __init__(
        self,
        bus: Bus,
        subjects: Subjects,
        artifacts: ArtifactStore,
        *,
        now: Callable[[], datetime],
    ) -> None:
        self._bus = bus
        self._subjects = subjects
        self._artifacts = artifacts
        self._now = now
        self._tasks = tasks(subjects)
        self._postponed: list[Outgoing] = []
        """What runs tell each other, and the inbox has not taken yet."""
        self._chunk_max = SEND_CHUNK_MAX

    async def send(self, batch: Batch) -> None:
        """Publish what follows from a committed batch; returns when the streams have it all.

        While they do not, tries again with backoff: nothing was acknowledged yet.
        """
        if batch.withdrawn:  # first: what takes back all of a run must not take what comes next
            await self._withdraw(batch)
        outgoing = await self._commands(batch.commands())
        outgoing.extend(self._dead_letter(delivery, why) for delivery, why in batch.refused)
        await self._store(outgoing)
        await self.tell_children(batch.starts())
        await self.tell_runs(batch.told_runs)
        await self.tell_runs(over for over in map(over_of, batch.over()) if over is not None)
        await self.start_ticks(batch.schedules.starts)
        for answer in batch.answers:
            await self._tell(self._answer(answer))
        for run in batch.touched.values():
            if not run.is_open:
                await self._tell_end(run)
        for answered in batch.answered:
            await self._tell_answer(answered)
        if batch.sealed or batch.schedules.sealed:
            await self._tell(Outgoing(self._subjects.recorded_hint, b""))

    async def start_ticks(self, requests: Iterable[StartRun]) -> None:
        """Ask for the runs of ticks; what cannot be asked now is asked by the next sweep.

        Nobody waits for room in the inbox: it may be full because we wait.
        """
        try:
            outgoing = [await self._to_run(request) for request in requests]
            if outgoing:
                await self._bus.store(outgoing)
        except Exception as error:  # noqa: BLE001 - an artifact store has errors of its own
            log(_logger, "warning", "ticks_not_started", reason=str(error) or repr(error))

    async def send_again(self, attempts: Iterable[tuple[Run, Task, int]]) -> None:
        """Publish attempts that are under way once more; the server refuses those it still has."""
        rest = iter(attempts)
        while chunk := list(islice(rest, SEND_CHUNK_MAX)):
            await self._store(await self._commands(chunk))

    async def tell_children(self, tasks: Iterable[tuple[Run, Task]]) -> None:
        """Start, or cancel, the runs of sub-workflows: those that know it already say so."""
        await self.tell_runs(
            child_start_of(run, task)
            if run.ending is None or task.child is None
            else cancel_of(run, task.child, task, run.ending.error.message)
            for run, task in tasks
        )

    async def tell_runs(self, messages: Iterable[RunToRun]) -> None:
        """Have runs tell each other something, through the inbox.

        Nobody waits for room in the inbox: it may be full because we wait. What cannot be stored
        now is tried again by `tell_postponed`, and what cannot be made now with the next sweep.
        """
        rest = iter(messages)
        while chunk := list(islice(rest, SEND_CHUNK_MAX)):
            outgoing = [one for message in chunk if (one := await self._made(message)) is not None]
            room = POSTPONED_MAX - len(self._postponed)
            self._postponed.extend(outgoing[:room])
            await self.tell_postponed()

    async def tell_postponed(self) -> None:
        """Send what there was no room for. Call it every second."""
        while self._postponed:
            chunk = self._postponed[: self._chunk_max]
            try:
                await self._bus.store(chunk)
            except PublishFailed as error:
                # Which of them found room is not known: one by one, until there is room again.
                self._chunk_max = 1
                log(_logger, "warning", "runs_not_told", waiting=len(self._postponed),
                    reason=str(error))  # fmt: skip
                return
            del self._postponed[: len(chunk)]
            self._chunk_max = min(SEND_CHUNK_MAX, 2 * self._chunk_max)

    async def _store(self, outgoing: Sequence[Outgoing]) -> None:
        attempts = 0
        while outgoing:
            try:
                await self._bus.store(outgoing)
                break
            except PublishFailed as error:
                attempts += 1
                if attempts == 1:
                    log(_logger, "warning", "publish_failed", reason=str(error))
                await asyncio.sleep(min(0.05 * 2**attempts, BACKOFF_SECONDS_MAX))
        if attempts:
            log(_logger, "info", "publish_recovered", attempts=attempts)

    async def _tell(self, message: Outgoing) -> None:
        """Tell whoever listens. Nobody relies on it, so what cannot be told stops nothing."""
        try:
            await self._bus.tell(message)
        except (BusError, UsageError) as error:
            log(_logger, "warning", "not_told", subject=message.subject, reason=str(error))

    async def _commands(self, attempts: Iterable[tuple[Run, Task, int]]) -> list[Outgoing]:
        """The commands of these attempts, but for those that cannot be made now.

        They are tried again with the next sweep; meanwhile the others go out.
        """
        outgoing: list[Outgoing] = []
        for run, task, attempt in attempts:
            try:
                outgoing.append(await self._command(run, task, attempt))
            except Exception as error:  # noqa: BLE001 - an artifact store has errors of its own
                log(_logger, "error", "command_not_sent", run_id=str(run.id), task_id=task.id,
                    attempt=attempt, reason=str(error) or repr(error))  # fmt: skip
        return outgoing

    async def _made(self, message: RunToRun) -> Outgoing | None:
        """The message on its way; None: it cannot be made now."""
        try:
            return await self._to_run(message)
        except Exception as error:  # noqa: BLE001 - an artifact store has errors of its own
            log(_logger, "error", "run_not_told", run_id=str(message.run_id), kind=message.kind,
                reason=str(error) or repr(error))  # fmt: skip
            return None

    async def _to_run(self, message: RunToRun) -> Outgoing:
        """A message from one run to another, through the inbox."""
        body = encode(message)
        if len(body) > PAYLOAD_BYTES_MAX and not isinstance(message, CancelRun):
            field = "input" if isinstance(message, StartRun) else "output"
            small = await asyncio.to_thread(self._check_in, getattr(message, field))
            body = encode(message.model_copy(update={field: small}))
        subject = self._subjects.request(message.run_id)
        return Outgoing(subject, body, self._headers(message, new_message_id(), None))

    async def _command(self, run: Run, task: Task, number: int) -> Outgoing:
        command = command_of(run, task, number)
        body = encode(command)
        if len(body) > PAYLOAD_BYTES_MAX:
            body = await asyncio.to_thread(self._smaller, command)
        attempt = f"{run.id}/{task.id}/{number}"
        return Outgoing(
            self._subjects.task(command.agent, run.id, task.id, number),
            body,
            self._headers(command, attempt, traceparent(run.id, task.id, number)),
        )

    def _smaller(self, command: TaskCommand) -> bytes:
        checked = self._check_in(command.input)
        return encode(command.model_copy(update={"input": checked}))

    def _answer(self, answer: Answer) -> Outgoing:
        headers = self._headers(answer.reply, new_message_id(), None)
        headers[REQUEST_ID] = answer.request_id
        return Outgoing(answer.reply_to, encode(answer.reply), headers)

    async def _tell_end(self, run: Run) -> None:
        changed = RunChanged(
            run_id=run.id,
            version=run.version,
            status=run.status,
            output=run.output,
            error=run.error,
        )
        body = encode(changed)
        if len(body) > PAYLOAD_BYTES_MAX:
            try:
                output = await asyncio.to_thread(self._check_in, run.output)
            except Exception as error:  # noqa: BLE001 - an artifact store has errors of its own
                log(_logger, "warning", "end_not_told", run_id=str(run.id), reason=str(error))
                return
            body = encode(changed.model_copy(update={"output": output}))
        await self._tell(Outgoing(self._subjects.live_run(run.id), body))

    async def _tell_answer(self, answered: QuestionAnswered) -> None:
        body = encode(answered)
        if len(body) > PAYLOAD_BYTES_MAX:
            try:
                output = await asyncio.to_thread(self._check_in, answered.output)
            except Exception as error:  # noqa: BLE001 - an artifact store has errors of its own
                log(_logger, "warning", "answer_not_told", run_id=str(answered.run_id),
                    task_id=answered.task_id, reason=str(error))  # fmt: skip
                return  # who asked asks again
            body = encode(answered.model_copy(update={"output": output}))
        subject = self._subjects.live_task(answered.run_id, answered.task_id)
        await self._tell(Outgoing(subject, body))

    def _check_in(self, value: Json) -> Json:
        """A large value made small, read as the history reads it: with numbers that JSON holds."""
        return check_in(orjson.loads(to_json(value, inf_nan_mode="null")), self._artifacts)

    async def _withdraw(self, batch: Batch) -> None:
        """Tell the agents, and take back what is still queued. A lost one is worked in vain."""
        queued: dict[str, None] = {}
        for withdrawn in batch.withdrawn:
            agent, message = withdrawn.agent, withdrawn.message
            await self._tell(Outgoing(self._subjects.control(agent), encode(message)))
            if not withdrawn.of_all:
                key = (agent, message.run_id, message.task_id, message.attempt)
                queued[self._subjects.task(*key)] = None
            else:  # all of it at once: ten thousand single ones would take minutes
                queued[self._subjects.task_pattern_of_run(agent, message.run_id)] = None
        try:
            for subject in queued:
                await self._bus.purge(self._tasks, subject)
        except (BusError, Unavailable) as error:
            log(_logger, "warning", "attempts_not_taken_back", reason=str(error))

    def _dead_letter(self, delivery: Delivery, reason: str) -> Outgoing:
        letter = DeadLetter(
            subject=delivery.subject,
            reason=reason,
            body_base64=base64.b64encode(delivery.body[:DEAD_BODY_BYTES_MAX]).decode(),
            body_bytes=len(delivery.body),
            headers=dict(delivery.headers),
            at=self._now(),
        )
        log(_logger, "warning", "message_refused", subject=delivery.subject, reason=reason)
        subject = self._subjects.dead(SOURCE)
        return Outgoing(subject, encode(letter), self._headers(letter, new_message_id(), None))

    def _headers(self, message: Message, message_id: str, trace: str | None) -> dict[str, str]:
        kind: str = getattr(message, "kind")  # noqa: B009 - every message that travels has one
        return headers_of(
            kind, message_id=message_id, source=SOURCE, at=self._now(), traceparent=trace
        )
