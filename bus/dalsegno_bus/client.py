"""What programs use to start, steer and follow runs, and to register workflows.

Every request is sent until it is answered, always with the same id, so that a copy changes nothing
(`requesting`); `steering` has the requests to what is there. *Accepted* means: in the event store.
Opens no connection and runs nothing in the background.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from logging import getLogger
from typing import cast

import orjson
from pydantic import ValidationError

from dalsegno_bus.artifacts import PAYLOAD_BYTES_MAX, ArtifactStore, check_in, check_out, has_claim
from dalsegno_bus.bus import Bus, Outgoing
from dalsegno_bus.codec import encode, readable
from dalsegno_bus.errors import RunRejected, Unavailable, UsageError
from dalsegno_bus.ids import RunId, new_run_id, run_id_of_key, workflow_id
from dalsegno_bus.logs import log
from dalsegno_bus.messages import (
    Accepted,
    Json,
    Labels,
    RegisterWorkflow,
    Request,
    RunChanged,
    StartRun,
)
from dalsegno_bus.requesting import REQUEST_SECONDS_MAX, REQUESTS_OPEN_MAX
from dalsegno_bus.steering import Steering
from dalsegno_bus.subjects import Subjects
from dalsegno_bus.watching import ASK_EVERY_SECONDS, FINAL_STATUSES, Change, changes

_logger = getLogger(__name__)


class Client(Steering):
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
        super().__init__(bus, subjects, source=source)
        self._bus = bus
        self._artifacts = artifacts

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
        small = await self._small(request)
        subject = self._subjects.request(request.run_id)
        return await self._requests.send_one(subject, small, timeout_seconds=timeout_seconds)

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
            answers += await self._requests.send(messages, timeout_seconds=timeout_seconds)
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
        subject = self._subjects.request(workflow_id(name))
        return await self._requests.send_one(subject, request, timeout_seconds=timeout_seconds)

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


def _refusal(error: Json) -> str:
    if isinstance(error, dict):
        return str(cast("dict[str, Json]", error).get("message", error))
    return str(error)
