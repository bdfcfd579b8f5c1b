"""What can be asked of runs, schedules and limits that are there: each request as a method.

Part of `client.Client`, which also starts runs and follows them. Decides nothing: the orchestrator
accepts or refuses, and what it accepted is in the event store.
"""

from collections.abc import Mapping, Sequence

from dalsegno_bus.bus import Bus
from dalsegno_bus.errors import RunRejected
from dalsegno_bus.ids import LIMITS, RunId, schedule_id
from dalsegno_bus.messages import (
    Accepted,
    CancelRun,
    Json,
    MigrateRun,
    PauseRun,
    PauseSchedule,
    ReplanRun,
    ResumeRun,
    ResumeSchedule,
    RetryRun,
    RewindRun,
    RunRequest,
    SetLimit,
    SignalRun,
)
from dalsegno_bus.requesting import REQUEST_SECONDS_MAX, Requests
from dalsegno_bus.subjects import Subjects


class Steering:
    """The requests to what is there.

    All of them take `requested_by` and `timeout_seconds`:

    Args:
        requested_by: Who wants it; None: the client's own `source`. The history tells it after
            `client:`, because nobody proves it: whoever may ask may give any name.
        timeout_seconds: How long to wait for the answer.
    """

    def __init__(self, bus: Bus, subjects: Subjects, *, source: str) -> None:
        self._subjects = subjects
        self._source = source
        self._requests = Requests(bus, subjects, source=source)

    async def request_many(
        self, requests: Sequence[RunRequest], *, timeout_seconds: float = REQUEST_SECONDS_MAX
    ) -> list[Accepted | RunRejected]:
        """Ask something of many runs; answers in the order of `requests`, refusals among them.

        `timeout_seconds` is for the next answer: it starts anew as long as some come.

        Raises:
            Unavailable: No further answer came in time. What was accepted stays so.
        """
        messages = [(self._subjects.request(request.run_id), request) for request in requests]
        return await self._requests.send(messages, timeout_seconds=timeout_seconds)

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
            RunRejected: There is no such run, it has ended, or the payload does not fit.
            Unavailable: Nobody answered in time.
        """
        by = requested_by or self._source
        request = SignalRun(run_id=run_id, signal=signal, payload=payload, requested_by=by)
        return await self._ask(request, timeout_seconds)

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
        return await self._ask(request, timeout_seconds)

    async def pause(
        self,
        run_id: RunId,
        reason: str = "",
        *,
        requested_by: str | None = None,
        timeout_seconds: float = REQUEST_SECONDS_MAX,
    ) -> Accepted:
        """Have a run begin nothing more until it is resumed.

        Raises:
            RunRejected: There is no such run, or it has ended.
            Unavailable: Nobody answered in time.
        """
        request = PauseRun(run_id=run_id, reason=reason, requested_by=requested_by or self._source)
        return await self._ask(request, timeout_seconds)

    async def resume(
        self,
        run_id: RunId,
        *,
        requested_by: str | None = None,
        timeout_seconds: float = REQUEST_SECONDS_MAX,
    ) -> Accepted:
        """Have a paused run go on. Raises as `pause` does."""
        request = ResumeRun(run_id=run_id, requested_by=requested_by or self._source)
        return await self._ask(request, timeout_seconds)

    async def retry(
        self,
        run_id: RunId,
        tasks: Sequence[str] = (),
        reason: str = "",
        *,
        requested_by: str | None = None,
        timeout_seconds: float = REQUEST_SECONDS_MAX,
    ) -> Accepted:
        """Have what failed tried again: tasks, or compensations that failed.

        Args:
            run_id: A run that has failed, was cancelled, or could not be undone.
            tasks: Only these; none: everything that failed.
            reason: Stands in the history.
            requested_by: Who wants it.
            timeout_seconds: How long to wait for the answer.

        Raises:
            RunRejected: There is no such run, or nothing in it has failed.
            Unavailable: Nobody answered in time.
        """
        by = requested_by or self._source
        request = RetryRun(run_id=run_id, tasks=tuple(tasks), reason=reason, requested_by=by)
        return await self._ask(request, timeout_seconds)

    async def rewind(
        self,
        run_id: RunId,
        task_id: str,
        reason: str = "",
        *,
        requested_by: str | None = None,
        timeout_seconds: float = REQUEST_SECONDS_MAX,
    ) -> Accepted:
        """Take a run back to before a task: what came of it is done again, and what it did stays.

        Raises:
            RunRejected: There is no such run, or the task has not begun in it.
            Unavailable: Nobody answered in time.
        """
        by = requested_by or self._source
        request = RewindRun(run_id=run_id, task_id=task_id, reason=reason, requested_by=by)
        return await self._ask(request, timeout_seconds)

    async def replan(
        self,
        run_id: RunId,
        *,
        add: Mapping[str, Json] | None = None,
        drop: Sequence[str] = (),
        change: Mapping[str, Json] | None = None,
        plan_version: int | None = None,
        reason: str = "",
        requested_by: str | None = None,
        timeout_seconds: float = REQUEST_SECONDS_MAX,
        message_id: str | None = None,
    ) -> Accepted:
        """Change what has not begun in a run, all of it or nothing.

        Args:
            run_id: A run that has not ended.
            add: New tasks by name, as a workflow file has them.
            drop: Tasks that shall not be.
            change: Tasks by name, each with its new definition as a whole.
            plan_version: The plan that this is a change of: another one is refused. None: any.
            reason: Stands in the history.
            requested_by: Who wants it.
            timeout_seconds: How long to wait for the answer.
            message_id: The same for the same change asked for again, which is then made once;
                None: a new one.

        Raises:
            RunRejected: There is no such run, or the plan would not be good; every reason.
            Unavailable: Nobody answered in time.
        """
        request = ReplanRun(
            run_id=run_id,
            plan_version=plan_version,
            add=dict(add or {}),
            drop=tuple(drop),
            change=dict(change or {}),
            reason=reason,
            requested_by=requested_by or self._source,
        )
        return await self._ask(request, timeout_seconds, message_id)

    async def migrate(
        self,
        run_id: RunId,
        version: int | None = None,
        *,
        requested_by: str | None = None,
        timeout_seconds: float = REQUEST_SECONDS_MAX,
    ) -> Accepted:
        """Have a run follow another version of its workflow from now on; None: the newest.

        Raises:
            RunRejected: There is no such run or version, or what has happened in the run does not
                go with it; every reason.
            Unavailable: Nobody answered in time.
        """
        by = requested_by or self._source
        request = MigrateRun(run_id=run_id, version=version, requested_by=by)
        return await self._ask(request, timeout_seconds)

    async def set_limit(
        self,
        limit: str,
        *,
        concurrency: float | None = None,
        rate: float | None = None,
        rate_seconds: float = 60.0,
        requested_by: str | None = None,
        timeout_seconds: float = REQUEST_SECONDS_MAX,
    ) -> Accepted:
        """Limit what uses a capability or a quota, over all runs.

        Args:
            limit: `capability:<name>` or `quota:<name>`.
            concurrency: How much may be under way at the same time; None: any.
            rate: How much may begin within `rate_seconds`; None: any. Neither: no limit any more.
            rate_seconds: The length of that time.
            requested_by: Who wants it.
            timeout_seconds: How long to wait for the answer.

        Raises:
            RunRejected: There can be no such limit.
            Unavailable: Nobody answered in time.
        """
        request = SetLimit(
            limit=limit,
            concurrency=concurrency,
            rate=rate,
            rate_seconds=rate_seconds,
            requested_by=requested_by or self._source,
        )
        subject = self._subjects.request(LIMITS)
        return await self._requests.send_one(subject, request, timeout_seconds=timeout_seconds)

    async def pause_schedule(
        self,
        workflow: str,
        reason: str = "",
        *,
        requested_by: str | None = None,
        timeout_seconds: float = REQUEST_SECONDS_MAX,
    ) -> Accepted:
        """Let the ticks of a workflow's schedule pass without a run until it is resumed.

        Raises:
            RunRejected: The workflow has no schedule.
            Unavailable: Nobody answered in time.
        """
        by = requested_by or self._source
        request = PauseSchedule(workflow=workflow, reason=reason, requested_by=by)
        subject = self._subjects.request(schedule_id(workflow))
        return await self._requests.send_one(subject, request, timeout_seconds=timeout_seconds)

    async def resume_schedule(
        self,
        workflow: str,
        *,
        requested_by: str | None = None,
        timeout_seconds: float = REQUEST_SECONDS_MAX,
    ) -> Accepted:
        """Have the ticks of a workflow's schedule start runs again. Raises as `pause_schedule`."""
        request = ResumeSchedule(workflow=workflow, requested_by=requested_by or self._source)
        subject = self._subjects.request(schedule_id(workflow))
        return await self._requests.send_one(subject, request, timeout_seconds=timeout_seconds)

    async def _ask(
        self, request: RunRequest, timeout_seconds: float, message_id: str | None = None
    ) -> Accepted:
        return await self._requests.send_one(
            self._subjects.request(request.run_id),
            request,
            timeout_seconds=timeout_seconds,
            message_id=message_id,
        )
