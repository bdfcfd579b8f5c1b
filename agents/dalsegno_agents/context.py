"""What a handler may use while it works on one attempt; safe from a plain function's thread."""

import logging
import math
import re
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from dalsegno_agents.values import NotJson, as_json
from dalsegno_bus.artifacts import ArtifactStore
from dalsegno_bus.errors import UsageError
from dalsegno_bus.ids import RunId, TaskId, new_run_id
from dalsegno_bus.messages import Json, Usage

DepsT = TypeVar("DepsT")

_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEY_LENGTH_MAX: Final = 128


class AttemptLog(logging.LoggerAdapter[logging.Logger]):
    """A logger whose lines name their attempt; `extra` adds fields: `extra={"rows": 3}`."""

    def process(
        self, msg: object, kwargs: MutableMapping[str, Any]
    ) -> tuple[object, MutableMapping[str, Any]]:
        kwargs["extra"] = {"fields": {**(self.extra or {}), **(kwargs.get("extra") or {})}}
        return msg, kwargs


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
    artifacts: ArtifactStore
    """Files for later tasks: `put` returns a reference that fits into an output model."""
    log: logging.LoggerAdapter[logging.Logger]
    tell_progress: Callable[[float | None, str], None] = field(repr=False)
    shared: dict[str, Json] = field(default_factory=dict[str, Json], repr=False)
    spent: list[Usage] = field(default_factory=list[Usage], repr=False)

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt and every delivery of this task: hand it to paid services."""
        return f"{self.run_id}/{self.task_id}"

    def progress(self, fraction: float | None = None, message: str = "") -> None:
        """Tell whoever watches how far the work is: `fraction` from 0 to 1, or None.

        Raises:
            UsageError: `fraction` is not between 0 and 1.
        """
        if fraction is not None and not 0.0 <= fraction <= 1.0:
            raise UsageError(f"progress goes from 0 to 1, not {fraction!r}")
        self.tell_progress(fraction, message)

    def share(self, key: str, value: Json) -> None:
        """Set `context.<key>` for every later task of this run; recorded before the completion.

        An attempt that fails shares nothing. Models, dates and the like become JSON here.

        Raises:
            UsageError: `key` is no name (letters, digits, `_`), or `value` is nothing JSON can say.
        """
        if len(key) > _KEY_LENGTH_MAX or not _KEY.fullmatch(key):
            raise UsageError(f"a shared value's key must match [A-Za-z_][A-Za-z0-9_]*, not {key!r}")
        try:
            self.shared[key] = as_json(value)
        except NotJson as error:
            raise UsageError(f"context.{key} cannot be shared: {error}") from error

    def spend(self, *, usd: float = 0.0, tokens: int = 0) -> None:
        """Count what the work cost; recorded with the report, also when the attempt fails.

        Raises:
            UsageError: A number is below 0 or not finite.
        """
        if not (0.0 <= usd < math.inf and tokens >= 0):
            raise UsageError(f"spend counts what was used: not usd={usd!r}, tokens={tokens!r}")
        self.spent.append(Usage(usd=usd, tokens=tokens))


def offline_context(
    deps: DepsT, *, folder: Path, on_progress: Callable[[float | None, str], None] | None = None
) -> TaskContext[DepsT]:
    """A context without a bus, to call a handler directly: in a test, a notebook, a script.

    Args:
        deps: What the agent would have been built with.
        folder: Where artifacts go.
        on_progress: Hears what the handler tells.
    """

    def ignore(fraction: float | None, message: str) -> None:
        del fraction, message

    return TaskContext(
        deps=deps,
        run_id=new_run_id(),
        task_id=TaskId("offline"),
        attempt=1,
        workflow="offline",
        artifacts=ArtifactStore(str(folder)),
        log=AttemptLog(logging.getLogger("dalsegno.agent.offline")),
        tell_progress=on_progress or ignore,
    )
