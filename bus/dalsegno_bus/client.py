"""What programs use to start, signal, cancel and follow runs, and to register workflows.

Every request is sent until it is answered, always with the same id, so that a copy changes nothing.
*Accepted* means: in the event store. Opens no connection and runs nothing in the background.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from logging import getLogger
from typing import Final, cast

import orjson
from pydantic import ValidationError

from dalsegno_bus.artifacts import PAYLOAD_BYTES_MAX, ArtifactStore, check_in, check_out, has_claim
from dalsegno_bus.bus import Bus, Outgoing
from dalsegno_bus.clock import utc_now
from dalsegno_bus.codec import REPLY_TO, encode, headers_of, readable
from dalsegno_bus.errors import (
    PublishFailed,
    RunRejected,
    Unavailable,
    UsageError,
)
from dalsegno_bus.ids import RunId, new_message_id, new_run_id, run_id_of_key, workflow_id
from dalsegno_bus.logs import log
from dalsegno_bus.messages import (
    Accepted,
    CancelRun,
    Json,
    Labels,
    PauseRun,
    RegisterWorkflow,
    Rejected,
    Request,
    ResumeRun,
    RunChanged,
    SignalRun,
    StartRun,
)
from dalsegno_bus.replies import Expected, Replies
from dalsegno_bus.subjects import Subjects
from dalsegno_bus.watching import ASK_EVERY_SECONDS, FINAL_STATUSES, Change, changes

REQUEST_SECONDS_MAX: Final = 30.0
REQUESTS_OPEN_MAX: Final = 5_000
"""Requests of one call that wait for an answer at the same time."""

BODY_BYTES_MAX: Final = 1_000_000
"""What fits into one message of a NATS server, its headers included."""


_RESEND_SECONDS_MIN: Final = 0.5
_RESEND_SECONDS_MAX: Final = 8.0
_REPUBLISH_SECONDS: Final = 0.2

_logger = getLogger(__name__)


class Client:
    """Speaks to the orchestrator and the projections of one namespace.

    Args:
        source: Who is asking; stands in every request's headers.
        artifacts: Where inputs go that are too large to travel; without it they are refused.
    """

    def __init__(
        self,
        bus: Bus,
        subjects: Subjects,
        *,
        source: str,
        artifacts: ArtifactStore | None = None,
    ) -> None:
        self._bus = bus
        self._subjects = subjects
        self._source = source
        self._artifacts = artifacts
        self._replies = Replies(bus)

    async def start(
        self,
        workflow: str,
        input: Json = None,  # noqa: A002  # as in the message
        *,
        run_id: RunId | None = None,
        key: str | None = None,
        version: int | None = None,
        labels: Labels | None = None,
        requested_by: str | None = None,
        timeout_seconds: float = REQUEST_SECONDS_MAX,
    ) -> Accepted:
        """Begin a run, and return once it is recorded.

        The same `run_id` twice is the same run; so is the same `key` for the same workflow, where
        a program has no id of its own to keep. `version` None is the newest.

        Raises:
            RunRejected: The orchestrator refused, with every reason.
            Unavailable: Nobody answered in time. The run may begin all the same: ask again with
                the same id or key.
            UsageError: Both an id and a key, or the input is too large.
        """
        if run_id is not None and key is not None:
            raise UsageError("give a run id or a key, not both")
        if key is not None:
            run_id = run_id_of_key(self._subjects.namespace, workflow, key)
        request = StartRun(
            run_id=run_id or new_run_id(),
            workflow=workflow,
            version=version,
            input=input,
            labels=labels or {},
            requested_by=requested_by or self._source,
        )
        (answer,) = await self.start_many([request], timeout_seconds=timeout_seconds)
        return _accepted(answer)

    async def start_many(
        self, requests: Sequence[StartRun], *, timeout_seconds: float = REQUEST_SECONDS_MAX
    ) -> list[Accepted | RunRejected]:
        """Begin many runs; answers in the order of `requests`, refusals among them.

        `timeout_seconds` is for the next answer: it starts anew as long as some come.

        Raises:
            Unavailable: No further answer came in time. Send all again, with the same ids.
        """
        answers: list[Accepted | RunRejected] = []
        for begin in range(0, len(requests), REQUESTS_OPEN_MAX):
            messages: list[tuple[str, Request]] = []
            for request in requests[begin : begin + REQUESTS_OPEN_MAX]:
                small = await self._small(request)
                messages.append((self._subjects.request(request.run_id), small))
            answers += await self._request(messages, timeout_seconds)
        return answers

    async def register(
        self,
        definition: Mapping[str, Json],
        *,
        requested_by: str | None = None,
        timeout_seconds: float = REQUEST_SECONDS_MAX,
    ) -> Accepted:
        """Add a workflow, or a version of it; the same definition again is the same version.

        Raises:
            RunRejected: The definition is wrong; every problem is listed.
            Unavailable: Nobody answered in time.
            UsageError: It has no name (`workflow: …`).
        """
        name = definition.get("workflow")
        if not isinstance(name, str) or not name:
            raise UsageError("a definition needs a name: `workflow: my-workflow`")
        request = RegisterWorkflow(
            definition=dict(definition), requested_by=requested_by or self._source
        )
        return await self._one(self._subjects.request(workflow_id(name)), request, timeout_seconds)

    async def signal(
        self,
        run_id: RunId,
        signal: str,
        payload: Json = None,
        *,
        requested_by: str | None = None,
        timeout_seconds: float = REQUEST_SECONDS_MAX,
    ) -> Accepted:
        """Hand a payload to a run that waits for this signal, or soon will.

        Raises:
            RunRejected: There is no such run, or it has ended.
            Unavailable: Nobody answered in time.
        """
        request = SignalRun(
            run_id=run_id,
            signal=signal,
            payload=payload,
            requested_by=requested_by or self._source,
        )
        return await self._one(self._subjects.request(run_id), request, timeout_seconds)

    async def cancel(
        self,
        run_id: RunId,
        reason: str = "",
        *,
        requested_by: str | None = None,
        timeout_seconds: float = REQUEST_SECONDS_MAX,
    ) -> Accepted:
        """End a run early. It is on its way to its end when this returns.

        Raises:
            RunRejected: There is no such run.
            Unavailable: Nobody answered in time.
        """
        request = CancelRun(run_id=run_id, reason=reason, requested_by=requested_by or self._source)
        return await self._one(self._subjects.request(run_id), request, timeout_seconds)

    async def pause(
        self, run_id: RunId, reason: str = "", *, requested_by: str | None = None
    ) -> Accepted:
        """Have a run begin nothing more until it is resumed.

        Raises:
            RunRejected: There is no such run, or it has ended.
            Unavailable: Nobody answered in time.
        """
        request = PauseRun(run_id=run_id, reason=reason, requested_by=requested_by or self._source)
        return await self._one(self._subjects.request(run_id), request, REQUEST_SECONDS_MAX)

    async def resume(self, run_id: RunId, *, requested_by: str | None = None) -> Accepted:
        """Have a paused run go on. Raises as `pause` does."""
        request = ResumeRun(run_id=run_id, requested_by=requested_by or self._source)
        return await self._one(self._subjects.request(run_id), request, REQUEST_SECONDS_MAX)

    async def wait(self, run_id: RunId, *, timeout_seconds: float | None = None) -> RunChanged:
        """Return how a run ended, as soon as it has.

        Raises:
            Unavailable: It has not ended in time; it goes on.
        """
        try:
            async with asyncio.timeout(timeout_seconds):
                subject = self._subjects.live_run(run_id)
                async with aclosing(self._changes(run_id, subject)) as heard:
                    async for change in heard:
                        if isinstance(change, RunChanged) and change.status in FINAL_STATUSES:
                            return await self._whole(change)
        except TimeoutError as error:
            raise Unavailable(
                f"run {run_id} has not ended within {timeout_seconds:g} seconds; it goes on"
            ) from error
        raise AssertionError("changes go on until the run has ended")

    async def watch(self, run_id: RunId) -> AsyncGenerator[Change, None]:
        """Tell what happens to a run as it happens, to its end. Some progress may be missed."""
        subjects = (self._subjects.live_run(run_id), self._subjects.live_tasks(run_id))
        async with aclosing(self._changes(run_id, *subjects)) as heard:
            async for change in heard:
                yield change

    async def query(self, name: str, body: Json = None, *, timeout_seconds: float = 5.0) -> Json:
        """Ask the projections the question called `name`.

        Raises:
            UsageError: They refuse it, and say why.
            Unavailable: They do not answer.
        """
        heard = await self._bus.ask(
            Outgoing(self._subjects.query(name), orjson.dumps({} if body is None else body)),
            timeout_seconds=timeout_seconds,
        )
        answer: Json = orjson.loads(heard.body)
        if isinstance(answer, dict):
            fields = cast("dict[str, Json]", answer)
            if fields.keys() == {"error"}:
                raise UsageError(_refusal(fields["error"]))
            return fields
        return answer

    async def _one(self, subject: str, request: Request, timeout_seconds: float) -> Accepted:
        (answer,) = await self._request([(subject, request)], timeout_seconds)
        return _accepted(answer)

    async def _request(
        self, requests: Sequence[tuple[str, Request]], timeout_seconds: float
    ) -> list[Accepted | RunRejected]:
        messages: dict[str, Outgoing] = {}
        for subject, request in requests:
            message_id = new_message_id()
            messages[message_id] = self._outgoing(subject, message_id, request)
        async with self._replies.expect(messages) as expected:
            await self._until_answered(messages, expected, timeout_seconds)
            return [_answer(expected.replies[message_id]) for message_id in messages]

    async def _until_answered(
        self, messages: Mapping[str, Outgoing], expected: Expected, timeout_seconds: float
    ) -> None:
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + timeout_seconds
        wait_seconds = _RESEND_SECONDS_MIN
        failure: Exception | None = None
        while not expected.is_complete:
            left_seconds = give_up_at - loop.time()
            if left_seconds <= 0:
                raise self._unanswered(expected, timeout_seconds, failure) from failure
            failure = await self._publish([messages[open_id] for open_id in expected.open])
            if failure is not None:
                await asyncio.sleep(min(_REPUBLISH_SECONDS, left_seconds))
                continue
            answered = len(expected.replies)
            await self._replies.gather(expected, seconds_max=min(wait_seconds, left_seconds))
            if len(expected.replies) > answered:
                wait_seconds = _RESEND_SECONDS_MIN
                give_up_at = loop.time() + timeout_seconds
            else:
                wait_seconds = min(2 * wait_seconds, _RESEND_SECONDS_MAX)

    async def _publish(self, messages: Sequence[Outgoing]) -> PublishFailed | None:
        try:
            await self._bus.store(messages)
        except PublishFailed as error:
            return error
        return None

    def _unanswered(
        self, expected: Expected, timeout_seconds: float, failure: Exception | None
    ) -> Unavailable:
        if failure is not None:
            return Unavailable(
                f"{len(expected.open)} requests could not be stored within "
                f"{timeout_seconds:g} seconds: {failure}"
            )
        return Unavailable(
            f"no orchestrator answered {len(expected.open)} requests within "
            f"{timeout_seconds:g} seconds: is one running in namespace "
            f"{self._subjects.namespace!r}? They are stored; ask again with the same ids"
        )

    def _outgoing(self, subject: str, message_id: str, request: Request) -> Outgoing:
        body = encode(request)
        if len(body) > BODY_BYTES_MAX:
            raise UsageError(
                f"a request of {len(body)} bytes is above the limit of {BODY_BYTES_MAX}: "
                "give the client an artifact store, or hand on less"
            )
        headers = headers_of(request.kind, message_id=message_id, source=self._source, at=utc_now())
        headers[REPLY_TO] = self._replies.subject
        return Outgoing(subject, body, headers)

    async def _small(self, request: StartRun) -> StartRun:
        if self._artifacts is None or len(encode(request)) <= PAYLOAD_BYTES_MAX:
            return request
        checked = await asyncio.to_thread(check_in, request.input, self._artifacts)
        return request.model_copy(update={"input": checked})

    async def _whole(self, change: RunChanged) -> RunChanged:
        if self._artifacts is None or not has_claim(change.output):
            return change
        output = await asyncio.to_thread(check_out, change.output, self._artifacts)
        return change.model_copy(update={"output": output})

    def _changes(self, run_id: RunId, *subjects: str) -> AsyncGenerator[Change, None]:
        return changes(self._bus, partial(self._state, run_id), *subjects)

    async def _state(self, run_id: RunId) -> RunChanged | None:
        try:
            answer = await self.query(
                "run", {"run_id": str(run_id)}, timeout_seconds=ASK_EVERY_SECONDS
            )
            return RunChanged.model_validate(answer)
        except (Unavailable, UsageError):
            return None  # nobody there, or not told of this run yet: what comes is heard
        except ValidationError as error:
            log(_logger, "warning", "client.state_unreadable", reason=readable(error))
            return None


def _answer(reply: Accepted | Rejected) -> Accepted | RunRejected:
    if isinstance(reply, Rejected):
        return RunRejected([str(reason) for reason in reply.reasons])
    return reply


def _refusal(error: Json) -> str:
    if isinstance(error, dict):
        return str(cast("dict[str, Json]", error).get("message", error))
    return str(error)


def _accepted(answer: Accepted | RunRejected) -> Accepted:
    if isinstance(answer, RunRejected):
        raise answer
    return answer
