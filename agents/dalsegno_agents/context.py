"""What a handler may use while it works on one attempt; safe from a plain function's thread."""

import logging
import math
import re
from collections.abc import Callable, Coroutine, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Final, Generic, Protocol, TypeVar

from dalsegno_agents.outcomes import LastProgress
from dalsegno_agents.replanning import Replan
from dalsegno_agents.values import NotJson, as_json, clean
from dalsegno_bus.artifacts import ArtifactStore
from dalsegno_bus.errors import UsageError
from dalsegno_bus.ids import RunId, TaskId
from dalsegno_bus.messages import Failure, Json, Usage

DepsT = TypeVar("DepsT")

ASK_SECONDS: Final = 600.0
ASK_LIVE_SECONDS: Final = 30.0
MESSAGE_CHARS_MAX: Final = 4_000
"""Of the message of a progress; what is longer is cut."""

_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEY_LENGTH_MAX: Final = 128


class AttemptLog(logging.LoggerAdapter[logging.Logger]):
    """A logger whose lines name their attempt; `extra` adds fields: `extra={"rows": 3}`."""

    def process(
        self, msg: object, kwargs: MutableMapping[str, Any]
    ) -> tuple[object, MutableMapping[str, Any]]:
        kwargs["extra"] = {"fields": {**(self.extra or {}), **(kwargs.get("extra") or {})}}
        return msg, kwargs


class Line(Protocol):
    """How a context reaches the rest of the world. All values are JSON already."""

    @property
    def cancelled(self) -> bool: ...
    @property
    def is_recorded(self) -> bool:
        """Whether the work is part of a run's history; an answer to a live question is not."""
        ...

    def tell(self, told: LastProgress) -> None: ...
    def stream(self, piece: Json) -> None: ...
    async def ask(self, capability: str, value: Json, timeout_seconds: float) -> Json: ...
    async def ask_live(self, capability: str, value: Json, timeout_seconds: float) -> Json: ...
    async def replan(self, wanted: Replan) -> None: ...
    def wait_for(self, make: Callable[[], Coroutine[Any, Any, Json]]) -> Json:
        """From a thread: what the coroutine returns or raises in the event loop."""
        ...


@dataclass(frozen=True, kw_only=True)
class TaskContext(Generic[DepsT]):
    """One attempt of one task, seen from its handler."""

    deps: DepsT
    """What the agent was built with: a model, a database, a client."""
    run_id: RunId
    task_id: TaskId
    attempt: int
    """From 1; a second attempt may follow a failure or a lost replica."""
    workflow: str
    deadline: datetime | None = None
    """When the attempt is given up (UTC); None: never."""
    last_progress: LastProgress | None = None
    """What an attempt before this one told last: long work may go on from its `state`."""
    last_failure: Failure | None = None
    """Why the attempt before this one failed."""
    artifacts: ArtifactStore
    """Files for later tasks: `put` returns a reference that fits into an output model."""
    log: logging.LoggerAdapter[logging.Logger]
    line: Line = field(repr=False)
    shared: dict[str, Json] = field(default_factory=dict[str, Json], repr=False)
    spent: list[Usage] = field(default_factory=list[Usage], repr=False)

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt and every delivery of this task: hand it to paid services."""
        return f"{self.run_id}/{self.task_id}"

    @property
    def cancelled(self) -> bool:
        """Whether the attempt was cancelled; then put things in order and end.

        An async handler gets `CancelledError` at the same moment. A plain function has to look
        here now and then: it cannot be interrupted, and after the grace nobody hears it any more.
        """
        return self.line.cancelled

    def progress(
        self, fraction: float | None = None, message: str = "", state: object = None
    ) -> None:
        """Tell how far the work is: `fraction` from 0 to 1, or None. Also a sign of life.

        Where the workflow asks for heartbeats, the newest progress is kept: should this attempt
        fail, the next one finds it as `last_progress`, and in `state` what it takes to go on.

        Raises:
            UsageError: `fraction` is not between 0 and 1, or `state` is nothing JSON can say.
        """
        if fraction is not None and not 0.0 <= fraction <= 1.0:
            raise UsageError(f"progress goes from 0 to 1, not {fraction!r}")
        self.line.tell(
            LastProgress(
                fraction=fraction,
                message=clean(message, chars_max=MESSAGE_CHARS_MAX),
                state=None if state is None else _json(state, "the state of a progress"),
            )
        )

    def stream(self, piece: object) -> None:
        """Send a piece of the output to whoever watches: tokens, a line, a partial result.

        Recorded nowhere and never waited for. Pieces are numbered; when the network cannot keep
        up, the oldest that wait are dropped, and the numbers tell.

        Raises:
            UsageError: It is nothing JSON can say, or above 64 KiB.
        """
        self.line.stream(_json(piece, "a piece of output"))

    def share(self, key: str, value: object) -> None:
        """Set `context.<key>` for every later task of this run; recorded before the completion.

        An attempt that fails shares nothing. Models, dates and the like become JSON here.

        Raises:
            UsageError: `key` is no name (letters, digits, `_`), `value` is nothing JSON can say, or
                this answers a live question, of which nothing is recorded.
        """
        if not self.line.is_recorded:
            raise UsageError("whoever answers a live question cannot share: nothing is recorded")
        if len(key) > _KEY_LENGTH_MAX or not _KEY.fullmatch(key):
            raise UsageError(f"a shared value's key must match [A-Za-z_][A-Za-z0-9_]*, not {key!r}")
        self.shared[key] = _json(value, f"context.{key}")

    def spend(self, *, usd: float = 0.0, tokens: int = 0) -> None:
        """Count what the work cost; recorded with the report, also when the attempt fails.

        Raises:
            UsageError: A number is below 0 or not finite.
        """
        if not (0.0 <= usd < math.inf and tokens >= 0):
            raise UsageError(f"spend counts what was used: not usd={usd!r}, tokens={tokens!r}")
        self.spent.append(Usage(usd=usd, tokens=tokens))

    async def ask(
        self,
        capability: str,
        input: object = None,  # noqa: A002  # as in a workflow
        *,
        timeout: float = ASK_SECONDS,  # noqa: ASYNC109  # also told to the one who answers
    ) -> Json:
        """Ask another agent through the saga, and wait for its output.

        The question is a task of the run: recorded, retried, seen in the history. The same question
        (capability and input) is answered once in a task's life, so the next attempt gets the same
        answer at once. The wait counts in this attempt's own timeout.

        Args:
            capability: What the one who answers must be able to do.
            input: A pydantic model, or what JSON can say.
            timeout: How many seconds the answer may take (more than 0).

        Raises:
            QuestionFailed: Nobody could answer, or not in time. Uncaught, the attempt is retried.
            UsageError: The question is nothing that can be asked.
        """
        value = _question(capability, input, timeout)
        return await self.line.ask(capability, value, timeout)

    def ask_blocking(
        self,
        capability: str,
        input: object = None,  # noqa: A002  # as in a workflow
        *,
        timeout: float = ASK_SECONDS,
    ) -> Json:
        """The same as `ask`, for plain functions: blocks this thread until the answer is there.

        Raises:
            QuestionFailed: See `ask`; also when the attempt is cancelled meanwhile.
            UsageError: See `ask`; also in an async handler, which must not block.
        """
        value = _question(capability, input, timeout)
        return self.line.wait_for(partial(self.line.ask, capability, value, timeout))

    async def ask_live(
        self,
        capability: str,
        input: object = None,  # noqa: A002  # as in a workflow
        *,
        timeout: float = ASK_LIVE_SECONDS,  # noqa: ASYNC109  # also told to the one who answers
    ) -> Json:
        """Ask a living agent directly, and wait for its output: quick, and recorded nowhere.

        Nothing is retried but an agent that is away or busy; the next attempt asks anew.

        Args:
            capability: What the one who answers must be able to do.
            input: A pydantic model, or what JSON can say.
            timeout: How many seconds the answer may take (more than 0).

        Raises:
            QuestionFailed: Nobody is there, nobody could answer, or not in time.
            UsageError: The question is nothing that can be asked.
        """
        value = _question(capability, input, timeout)
        return await self.line.ask_live(capability, value, timeout)

    def ask_live_blocking(
        self,
        capability: str,
        input: object = None,  # noqa: A002  # as in a workflow
        *,
        timeout: float = ASK_LIVE_SECONDS,
    ) -> Json:
        """The same as `ask_live`, for plain functions: blocks this thread.

        Raises:
            QuestionFailed: See `ask_live`; also when the attempt is cancelled meanwhile.
            UsageError: See `ask_live`; also in an async handler, which must not block.
        """
        value = _question(capability, input, timeout)
        return self.line.wait_for(partial(self.line.ask_live, capability, value, timeout))

    async def replan(
        self,
        add: Mapping[str, object] | None = None,
        drop: Sequence[str] = (),
        change: Mapping[str, object] | None = None,
        reason: str = "",
        plan_version: int | None = None,
    ) -> None:
        """Change what has not begun in this run, all of it or nothing; recorded when this returns.

        The same change (for whatever reason) that this task asks for again, in this attempt or a
        later one, is made once; with another `plan_version` it is another one. The history tells it
        as `client:agent:<name>/<replica>`: requests come in on a subject that everybody may write
        to, so that nobody proves to be that agent, as the report of an attempt does.

        Args:
            add: New tasks by name, as a workflow file has them.
            drop: Names of tasks that shall not be.
            change: Tasks by name, each with its new definition as a whole.
            reason: For people; it stands in the history.
            plan_version: The plan that this is a change of: another one is refused. None: any.

        Raises:
            ReplanRefused: The plan would not be good, or the run is about to end; every reason.
                Uncaught, the attempt is retried.
            Unavailable: No orchestrator answered. Uncaught, the attempt is retried.
            UsageError: There is nothing to change, it is nothing JSON can say, or this answers a
                live question, of which nothing is recorded.
        """
        await self.line.replan(self._wanted(add, drop, change, reason, plan_version))

    def replan_blocking(
        self,
        add: Mapping[str, object] | None = None,
        drop: Sequence[str] = (),
        change: Mapping[str, object] | None = None,
        reason: str = "",
        plan_version: int | None = None,
    ) -> None:
        """The same as `replan`, for plain functions: blocks this thread until it is recorded.

        Raises:
            ReplanRefused: See `replan`.
            Unavailable: See `replan`.
            QuestionFailed: The attempt is cancelled meanwhile.
            UsageError: See `replan`; also in an async handler, which must not block.
        """
        wanted = self._wanted(add, drop, change, reason, plan_version)
        self.line.wait_for(partial(self.line.replan, wanted))

    def _wanted(
        self,
        add: Mapping[str, object] | None,
        drop: Sequence[str],
        change: Mapping[str, object] | None,
        reason: str,
        plan_version: int | None,
    ) -> Replan:
        if not self.line.is_recorded:
            raise UsageError("whoever answers a live question cannot replan: it is in no run")
        return Replan.of(
            add=add, drop=drop, change=change, reason=reason, plan_version=plan_version
        )


def _question(capability: str, value: object, timeout_seconds: float) -> Json:
    if not capability:
        raise UsageError("a question needs the capability of whoever shall answer it")
    if not 0.0 < timeout_seconds < math.inf:
        raise UsageError(f"timeout must be more than 0 seconds, not {timeout_seconds!r}")
    return _json(value, f"the question to {capability!r}")


def _json(value: object, what: str) -> Json:
    try:
        return as_json(value)
    except NotJson as error:
        raise UsageError(f"{what} cannot be said in JSON: {error}") from error
