"""One attempt, from its command to its answer: the wall around foreign code.

Whatever a handler does, an answer comes back, and the replica lives on. Only being cancelled passes
through. Knows no delivery and no stream: the worker says what is performed, and sends the answer.
"""

import asyncio
import logging
import math
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta
from typing import Any, Final

from pydantic import ValidationError

from dalsegno_agents.agent import Agent, Handler
from dalsegno_agents.answers import Answer
from dalsegno_agents.context import AttemptLog, TaskContext
from dalsegno_agents.live import Identity, Live
from dalsegno_agents.threads import Threads
from dalsegno_agents.values import NotJson, as_json, clean
from dalsegno_bus import codec
from dalsegno_bus.artifacts import (
    PAYLOAD_BYTES_MAX,
    ArtifactStore,
    check_in,
    check_out,
    has_claim,
)
from dalsegno_bus.bus import Outgoing
from dalsegno_bus.errors import ArtifactMissing, TaskRejected, TaskRetry
from dalsegno_bus.ids import ReplicaId, TaskId
from dalsegno_bus.logs import log
from dalsegno_bus.messages import (
    CompletedReport,
    ContextReport,
    FailedReport,
    Failure,
    Json,
    TaskCommand,
    TaskReport,
    Usage,
)
from dalsegno_bus.subjects import Subjects
from dalsegno_bus.telemetry import HandlerSpan, Tracing, traceparent

MESSAGE_CHARS_MAX: Final = 2_000
TRACEBACK_CHARS_MAX: Final = 8_000
"""The end of a traceback says most."""

_logger = logging.getLogger("dalsegno.agent")


class Attempt:
    """What is known of one attempt while it is worked on."""

    def __init__(self, command: TaskCommand, identity: Identity, stored_at: datetime) -> None:
        self.command = command
        self.identity = identity
        self.stored_at = stored_at
        self.context: TaskContext[Any] | None = None
        self.limit: asyncio.Timeout | None = None
        self.queue_seconds = 0.0
        self.work_seconds = 0.0

    @property
    def timed_out(self) -> bool:
        return self.limit is not None and self.limit.expired()

    @property
    def usage(self) -> Usage | None:
        """What the handler spent, added up; None: it said nothing."""
        spent = list(self.context.spent) if self.context is not None else []
        if not spent:
            return None
        return Usage(usd=sum(use.usd for use in spent), tokens=sum(use.tokens for use in spent))


class Performer:
    """Performs attempts for one replica.

    Args:
        agent: Whose handlers do the work.
        replica: Who says so in the reports.
        subjects: The names of the wire.
        artifacts: Where values lie that are too large for a message.
        now: The time now (UTC).
        live: Tells watchers.
        threads: For what blocks.
        tracing: Where spans go; None: nowhere.
    """

    def __init__(
        self,
        agent: Agent[Any],
        *,
        replica: ReplicaId,
        subjects: Subjects,
        artifacts: ArtifactStore,
        now: Callable[[], datetime],
        live: Live,
        threads: Threads,
        tracing: Tracing | None = None,
    ) -> None:
        self._agent = agent
        self._replica = replica
        self._subjects = subjects
        self._artifacts = artifacts
        self._now = now
        self._live = live
        self._threads = threads
        self._tracing = tracing
        self._source = f"agent/{agent.name}/{replica}"
        self._handlers_log = logging.getLogger(f"dalsegno.agent.{agent.name}")

    async def perform(
        self, command: TaskCommand, *, stored_at: datetime, parent: str | None
    ) -> Answer:
        """Do one attempt and say how it ended. Never raises, unless it is cancelled.

        Args:
            command: What to do.
            stored_at: When the command was accepted by the stream (UTC).
            parent: Its `traceparent` header.
        """
        attempt = Attempt(command, self._identity(command), stored_at)
        with self._span(command, parent) as span:
            try:
                return await self._complete(attempt)
            except asyncio.CancelledError as error:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                cause: BaseException = error  # cancelled within: a failure like any other
            except (Exception, SystemExit) as error:  # noqa: BLE001  # the wall: foreign code
                cause = error
            report = self._failure(attempt, cause)
            if span is not None:
                span.failed(report.error.code, report.error.message, cause)
        return Answer(ending=(self._outgoing(report),))

    def poisoned(self, command: TaskCommand, *, deliveries: int) -> Answer:
        """The answer to an attempt that came back again and again, and is not begun once more."""
        failure = Failure(
            code="task.poison",
            message=f"delivered {deliveries} times and never answered: "
            "it seems to end the process that works on it",
        )
        report = FailedReport(**self._identity(command), error=failure, retryable=False)
        return Answer(ending=(self._outgoing(report),))

    async def _complete(self, attempt: Attempt) -> Answer:
        handler = self._handler(attempt.command.capability)
        value: Json = attempt.command.input
        if has_claim(value):
            value = await self._threads.run(check_out, value, self._artifacts)
        try:
            argument = handler.read(value)
        except ValidationError as error:
            raise TaskRejected(
                f"the input of {handler.capability!r} does not fit: {codec.readable(error)}",
                code="task.input",
            ) from error
        output = await self._work(handler, argument, attempt)
        assert attempt.context is not None
        shared = [
            ContextReport(**attempt.identity, key=key, value=shared)
            for key, shared in attempt.context.shared.items()
        ]
        report = CompletedReport(
            **attempt.identity,
            output=output,
            usage=attempt.usage,
            queue_seconds=attempt.queue_seconds,
            work_seconds=attempt.work_seconds,
        )
        return Answer(
            shared=tuple([await self._fitting(one) for one in shared]),
            ending=(await self._fitting(report),),
        )

    def _handler(self, capability: str) -> Handler:
        handler = self._agent.handler(capability)
        if handler is None:
            known = ", ".join(repr(card.name) for card in self._agent.card.capabilities)
            raise TaskRejected(
                f"agent {self._agent.name!r} does not do {capability!r}; it does {known}",
                code="task.capability",
            )
        return handler

    async def _work(self, handler: Handler, argument: Any, attempt: Attempt) -> Json:
        command, now, loop = attempt.command, self._now(), asyncio.get_running_loop()
        watched = self._live.begin(attempt.identity)
        attempt.queue_seconds = max(0.0, (now - attempt.stored_at).total_seconds())
        attempt.context = self._context(command, now, watched.tell_progress)
        started = loop.time()
        try:
            async with asyncio.timeout(command.timeout_seconds) as attempt.limit:
                return await handler(argument, attempt.context, in_thread=self._threads.run)
        finally:
            attempt.work_seconds = loop.time() - started
            await self._live.end(watched)

    def _context(
        self,
        command: TaskCommand,
        now: datetime,
        tell_progress: Callable[[float | None, str], None],
    ) -> TaskContext[Any]:
        limit = command.timeout_seconds
        return TaskContext(
            deps=self._agent.deps,
            run_id=command.run_id,
            task_id=TaskId(command.task_id),
            attempt=command.attempt,
            workflow=command.workflow,
            deadline=None if limit is None else now + timedelta(seconds=limit),
            artifacts=self._artifacts,
            log=AttemptLog(self._handlers_log, _fields(command)),
            tell_progress=tell_progress,
        )

    def _failure(self, attempt: Attempt, error: BaseException) -> FailedReport:
        failure, retryable, after_seconds = _explain(attempt, error)
        log(
            _logger,
            "debug" if isinstance(error, TaskRejected | TaskRetry) else "warning",
            "agent.attempt_failed",
            **_fields(attempt.command),
            code=failure.code,
            error_type=type(error).__name__,
        )
        return FailedReport(
            **attempt.identity,
            error=failure,
            retryable=retryable,
            retry_after_seconds=after_seconds,
            usage=attempt.usage,
            queue_seconds=attempt.queue_seconds,
            work_seconds=attempt.work_seconds,
        )

    async def _fitting(self, report: CompletedReport | ContextReport) -> Outgoing:
        """The report as a message, its large values checked in."""
        outgoing = self._outgoing(report)
        if len(outgoing.body) <= PAYLOAD_BYTES_MAX:
            return outgoing
        field = "output" if isinstance(report, CompletedReport) else "value"
        small = await self._threads.run(check_in, getattr(report, field), self._artifacts)
        return self._outgoing(report.model_copy(update={field: small}))

    def _outgoing(self, report: TaskReport) -> Outgoing:
        key = f".{report.key}" if isinstance(report, ContextReport) else ""
        headers = codec.headers_of(
            report.kind,
            message_id=f"{report.run_id}.{report.task_id}.{report.attempt}.{self._replica}{key}",
            source=self._source,
            at=self._now(),
            traceparent=traceparent(report.run_id, report.task_id, report.attempt),
        )
        subject = self._subjects.report(self._agent.name, report.run_id)
        return Outgoing(subject, codec.encode(report), headers)

    def _identity(self, command: TaskCommand) -> Identity:
        return Identity(
            run_id=command.run_id,
            task_id=command.task_id,
            attempt=command.attempt,
            agent=self._agent.name,
            replica=self._replica,
        )

    def _span(
        self, command: TaskCommand, parent: str | None
    ) -> AbstractContextManager[HandlerSpan | None]:
        if self._tracing is None:
            return nullcontext()
        return self._tracing.attempt_scope(command, replica=self._replica, parent=parent)


def _explain(attempt: Attempt, error: BaseException) -> tuple[Failure, bool, float | None]:
    """The failure for the report, whether to retry, and not before how many seconds."""
    capability = attempt.command.capability
    if attempt.timed_out:
        limit = attempt.command.timeout_seconds
        message = f"the handler of {capability!r} did not end within {limit} s"
        return Failure(code="task.timeout", message=message), True, None
    match error:
        case TaskRejected():
            code = clean(error.reason_code, chars_max=MESSAGE_CHARS_MAX)
            return Failure(code=code, message=_text(error), detail=_detail(error)), False, None
        case TaskRetry():
            code = clean(error.reason_code, chars_max=MESSAGE_CHARS_MAX)
            return Failure(code=code, message=_text(error)), True, _pause(error.after_seconds)
        case ArtifactMissing():
            return Failure(code=error.code, message=_text(error)), True, None
        case NotJson():
            message = clean(
                f"the output of {capability!r} does not fit: {error}", chars_max=MESSAGE_CHARS_MAX
            )
            return Failure(code="task.output", message=message), False, None
        case _:
            trace = "".join(traceback.format_exception(error))[-TRACEBACK_CHARS_MAX:]
            failure = Failure(
                code="task.exception",
                message=_exception(error),
                detail=clean(trace, chars_max=TRACEBACK_CHARS_MAX),
            )
            return failure, True, None


def _fields(command: TaskCommand) -> dict[str, str | int]:
    """What tells the log lines of one attempt from others."""
    return {
        "run_id": str(command.run_id),
        "task_id": command.task_id,
        "attempt": command.attempt,
    }


def _text(error: BaseException) -> str:
    return clean(str(error), chars_max=MESSAGE_CHARS_MAX)


def _exception(error: BaseException) -> str:
    """`Type: text`, also of an exception that cannot say what it is."""
    text = "".join(traceback.format_exception_only(error)).strip()
    return clean(text, chars_max=MESSAGE_CHARS_MAX)


def _detail(error: TaskRejected) -> Json:
    try:
        detail = as_json(error.detail)
    except NotJson:
        return clean(repr(error.detail), chars_max=MESSAGE_CHARS_MAX)
    return detail


def _pause(after_seconds: float | None) -> float | None:
    if after_seconds is None or not math.isfinite(after_seconds):
        return None
    return max(0.0, after_seconds)
