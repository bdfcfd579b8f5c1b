"""Performs attempts, from the command to the answer: the wall around foreign code.

Whatever a handler does, an answer comes back, and the replica lives on. Only being cancelled passes
through, unless the attempt was granted time to end by itself. Knows no delivery and no stream: the
worker says what is performed, and sends the answer.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from pydantic import ValidationError

from dalsegno_agents.agent import Agent, Handler
from dalsegno_agents.answers import Answer, AttemptKey
from dalsegno_agents.attempt import Attempt
from dalsegno_agents.context import AttemptLog, TaskContext
from dalsegno_agents.explaining import cancelled, explain
from dalsegno_agents.line import AttemptLine, Outside
from dalsegno_agents.outcomes import Handoff, LastProgress
from dalsegno_agents.portal import Calls
from dalsegno_agents.reports import Reports
from dalsegno_agents.threads import Threads
from dalsegno_bus import codec
from dalsegno_bus.artifacts import ArtifactStore
from dalsegno_bus.bus import Outgoing
from dalsegno_bus.errors import ArtifactMissing, TaskRejected, TaskRetry, UsageError
from dalsegno_bus.ids import ReplicaId, RunId, TaskId
from dalsegno_bus.logs import log
from dalsegno_bus.messages import (
    CompletedReport,
    ContextReport,
    FailedReport,
    Failure,
    HandoffReport,
    Json,
    LiveAnswer,
    Question,
    TaskCommand,
)
from dalsegno_bus.telemetry import HandlerSpan, Tracing

ResultT = TypeVar("ResultT")

_logger = logging.getLogger("dalsegno.agent")


class Performer:
    """Performs attempts for one replica.

    Args:
        agent: Whose handlers do the work.
        replica: Who works.
        reports: Makes the messages.
        artifacts: Where handlers put files.
        now: The time now (UTC).
        outside: What handlers reach through their contexts.
        threads: For what blocks.
        tracing: Where spans go; None: nowhere.
    """

    def __init__(
        self,
        agent: Agent[Any],
        *,
        replica: ReplicaId,
        reports: Reports,
        artifacts: ArtifactStore,
        now: Callable[[], datetime],
        outside: Outside,
        threads: Threads,
        tracing: Tracing | None = None,
    ) -> None:
        self._agent = agent
        self._replica = replica
        self._reports = reports
        self._artifacts = artifacts
        self._now = now
        self._outside = outside
        self._threads = threads
        self._tracing = tracing
        self._handlers_log = logging.getLogger(f"dalsegno.agent.{agent.name}")

    def attempt(self, command: TaskCommand, *, stored_at: datetime) -> Attempt:
        """An attempt that has not begun; `stored_at`: when the stream took its command (UTC)."""
        return self._attempt(command, stored_at)

    async def perform(self, attempt: Attempt, *, parent: str | None) -> Answer:
        """Do one attempt and say how it ended.

        Never raises, unless it is cancelled without a grace, or when its grace is over.

        Args:
            attempt: What to do.
            parent: The `traceparent` header of its command.
        """
        with self._span(attempt.command, parent) as span:
            answer = await self._behind_wall(attempt, self._complete(attempt))
            if isinstance(answer, Answer):
                return answer
            report = self._failure(attempt, answer)
            if span is not None:
                span.failed(report.error.code, report.error.message, answer)
        last_words: tuple[Outgoing, ...] = ()
        if attempt.beat is not None and not attempt.is_cancelled:
            last_words = await self._outside.heart.last_words(attempt.beat)
        return Answer(shared=last_words, ending=(self._reports.outgoing(report),))

    async def answer(self, question: Question) -> LiveAnswer:
        """Answer a live question. Never raises, unless it is cancelled."""
        try:
            command = self._command_of(question)
        except ValueError as error:
            failure = Failure(code="question.malformed", message=f"asked_by: {error}")
            return LiveAnswer(error=failure)
        attempt = self._attempt(command, self._now(), is_recorded=False)
        with self._span(command, None) as span:
            answer = await self._behind_wall(attempt, self._answered(attempt))
            if isinstance(answer, LiveAnswer):
                return answer
            failure, _, _ = self._explained(attempt, answer)
            if span is not None:
                span.failed(failure.code, failure.message, answer)
        return LiveAnswer(error=failure)

    def poisoned(self, command: TaskCommand, *, deliveries: int) -> Answer:
        """The answer to an attempt that came back again and again, and is not begun once more."""
        failure = Failure(
            code="task.poison",
            message=f"delivered {deliveries} times and never answered: "
            "it seems to end the process that works on it",
        )
        identity = self._reports.identity(command.run_id, command.task_id, command.attempt)
        report = FailedReport(**identity, error=failure, retryable=False)
        return Answer(ending=(self._reports.outgoing(report),))

    def cancelled(self, key: AttemptKey, reason: str, attempt: Attempt | None = None) -> Answer:
        """The answer to an attempt that was cancelled and is let go.

        Args:
            key: Which one.
            reason: Why it was cancelled.
            attempt: What is known of it here; None: it never came here.
        """
        report = FailedReport(
            **self._reports.identity(*key), error=cancelled(reason), retryable=False
        )
        if attempt is not None:
            report = report.model_copy(update={**attempt.cost})
        return Answer(ending=(self._reports.outgoing(report),))

    def _attempt(
        self, command: TaskCommand, stored_at: datetime, *, is_recorded: bool = True
    ) -> Attempt:
        return Attempt(
            command,
            self._reports.identity(command.run_id, command.task_id, command.attempt),
            stored_at=stored_at,
            calls=Calls(self._outside.portal),
            is_recorded=is_recorded,
        )

    async def _behind_wall(
        self, attempt: Attempt, work: Awaitable[ResultT]
    ) -> ResultT | BaseException:
        """What `work` returns, or what it raised."""
        try:
            return await work
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                if not attempt.is_cancelled or attempt.is_let_go:
                    raise
                task.uncancel()  # heard and obeyed within the grace: its report goes out
            return error  # cancelled within: a failure like any other
        except GeneratorExit:
            raise  # this very coroutine is closed
        except BaseException as error:  # noqa: BLE001  # the wall: foreign code, `sys.exit` and all
            return error

    async def _complete(self, attempt: Attempt) -> Answer:
        output = await self._output(attempt)
        assert attempt.context is not None
        versions = attempt.command.context_versions
        shared = [
            ContextReport(
                **attempt.identity,
                key=key,
                value=value,
                base_version=None if versions is None else versions.get(key, 0),
            )
            for key, value in attempt.context.shared.items()
        ]
        report = self._ending(attempt, output)
        return Answer(
            shared=tuple(
                [await self._reports.fitting(one, suffix=f".{one.key}") for one in shared]
            ),
            ending=(await self._reports.fitting(report),),
        )

    async def _answered(self, attempt: Attempt) -> LiveAnswer:
        output = await self._output(attempt)
        if isinstance(output, Handoff):
            raise TaskRejected("a live question cannot be handed on", code="task.handoff")
        return LiveAnswer(output=await self._reports.small(output))

    def _ending(self, attempt: Attempt, output: Json) -> CompletedReport | HandoffReport:
        if isinstance(output, Handoff):
            return HandoffReport(
                **attempt.identity,
                capability=output.capability,
                input=output.input,
                reason=output.reason,
                **attempt.cost,
            )
        return CompletedReport(
            **attempt.identity,
            output=output,
            **attempt.cost,
        )

    async def _output(self, attempt: Attempt) -> Json:
        """What the handler makes of the command: its output, or a `Handoff`."""
        handler = self._handler(attempt.command.capability)
        value = await self._reports.whole(attempt.command.input)
        try:
            argument = handler.read(value)
        except ValidationError as error:
            raise TaskRejected(
                f"the input of {handler.capability!r} does not fit: {codec.readable(error)}",
                code="task.input",
            ) from error
        last_progress = await self._last_progress(attempt)
        return await self._work(handler, argument, attempt, last_progress)

    def _handler(self, capability: str) -> Handler:
        handler = self._agent.handler(capability)
        if handler is None:
            known = ", ".join(repr(card.name) for card in self._agent.card.capabilities)
            raise TaskRejected(
                f"agent {self._agent.name!r} does not do {capability!r}; it does {known}",
                code="task.capability",
            )
        return handler

    async def _last_progress(self, attempt: Attempt) -> LastProgress | None:
        try:
            told = await self._reports.whole(attempt.command.last_progress)
            return LastProgress.read(told)
        except (ArtifactMissing, UsageError) as error:  # then the work begins anew
            log(_logger, "warning", "agent.progress_lost", **attempt.log_fields, reason=str(error))
            return None

    async def _work(
        self,
        handler: Handler,
        argument: Any,
        attempt: Attempt,
        last_progress: LastProgress | None,
    ) -> Json:
        command, now, loop = attempt.command, self._now(), asyncio.get_running_loop()
        attempt.queue_seconds = max(0.0, (now - attempt.stored_at).total_seconds())
        live = self._outside.live
        watched = live.begin(attempt.identity) if attempt.is_recorded else None
        if attempt.is_recorded and command.heartbeat_seconds:
            attempt.beat = self._outside.heart.begin(
                attempt.identity, heartbeat_seconds=command.heartbeat_seconds
            )
        line = AttemptLine(
            self._outside,
            attempt.identity,
            watched=watched,
            beat=attempt.beat,
            calls=attempt.calls,
            is_cancelled=lambda: attempt.is_cancelled,
        )
        attempt.context = self._context(attempt, now, line, last_progress)
        attempt.started_at = loop.time()
        in_thread = partial(self._in_thread, attempt)
        try:
            async with asyncio.timeout(command.timeout_seconds) as attempt.limit:
                return await handler(argument, attempt.context, in_thread=in_thread)
        finally:
            attempt.may_interrupt = False
            attempt.ended_at = loop.time()
            attempt.calls.end()
            if attempt.beat is not None:
                attempt.beat.over = True
            if watched is not None:
                await live.end(watched)

    async def _in_thread(
        self, attempt: Attempt, function: Callable[..., ResultT], *arguments: Any
    ) -> ResultT:
        attempt.may_interrupt = False  # that would only abandon the thread: it sees `cancelled`
        try:
            return await self._threads.run(function, *arguments)
        finally:
            attempt.may_interrupt = True

    def _context(
        self,
        attempt: Attempt,
        now: datetime,
        line: AttemptLine,
        last_progress: LastProgress | None,
    ) -> TaskContext[Any]:
        command = attempt.command
        limit = command.timeout_seconds
        return TaskContext(
            deps=self._agent.deps,
            run_id=command.run_id,
            task_id=TaskId(command.task_id),
            attempt=command.attempt,
            workflow=command.workflow,
            deadline=None if limit is None else now + timedelta(seconds=limit),
            last_progress=last_progress,
            last_failure=command.last_failure,
            artifacts=self._artifacts,
            log=AttemptLog(self._handlers_log, attempt.log_fields),
            line=line,
        )

    def _failure(self, attempt: Attempt, error: BaseException) -> FailedReport:
        failure, retryable, after_seconds = self._explained(attempt, error)
        return FailedReport(
            **attempt.identity,
            error=failure,
            retryable=retryable,
            retry_after_seconds=after_seconds,
            **attempt.cost,
        )

    def _explained(
        self, attempt: Attempt, error: BaseException
    ) -> tuple[Failure, bool, float | None]:
        if attempt.is_cancelled:
            told = cancelled(attempt.cancel_reason, error), False, None
        else:
            told = explain(error, attempt.command.capability, limit_seconds=attempt.seconds_over)
        quiet = attempt.is_cancelled or isinstance(error, TaskRejected | TaskRetry)
        log(
            _logger,
            "debug" if quiet else "warning",
            "agent.attempt_failed",
            **attempt.log_fields,
            code=told[0].code,
            error_type=type(error).__name__,
        )
        return told

    def _command_of(self, question: Question) -> TaskCommand:
        run_id, task_id, attempt = question.asked_by.split("/")
        return TaskCommand(
            run_id=RunId(UUID(run_id)),
            task_id=task_id,
            attempt=int(attempt),
            agent=self._agent.name,
            capability=question.capability,
            workflow="",
            input=question.input,
            timeout_seconds=question.timeout_seconds,
        )

    def _span(
        self, command: TaskCommand, parent: str | None
    ) -> AbstractContextManager[HandlerSpan | None]:
        if self._tracing is None:
            return nullcontext()
        return self._tracing.attempt_scope(command, replica=self._replica, parent=parent)
