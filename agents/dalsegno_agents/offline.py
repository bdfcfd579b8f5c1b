"""A context without a bus, to call a handler directly: in a test, a notebook, a script."""

import logging
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar

from dalsegno_agents.context import AttemptLog, TaskContext
from dalsegno_agents.errors import QuestionFailed
from dalsegno_agents.outcomes import LastProgress
from dalsegno_agents.replanning import Replan
from dalsegno_agents.values import as_json
from dalsegno_bus.artifacts import ArtifactStore
from dalsegno_bus.ids import TaskId, new_run_id
from dalsegno_bus.messages import Failure, Json

DepsT = TypeVar("DepsT")


class OfflineLine:
    """Tells what it is told to, answers what it was given answers to, and reaches nobody."""

    def __init__(
        self,
        answers: Mapping[str, object],
        on_progress: Callable[[float | None, str], None] | None,
        on_stream: Callable[[Json], None] | None,
        replans: list[Replan],
    ) -> None:
        self._replans = replans
        self._answers = answers
        self._on_progress = on_progress
        self._on_stream = on_stream
        self.cancelled = False
        self.is_recorded = True

    def tell(self, told: LastProgress) -> None:
        if self._on_progress is not None:
            self._on_progress(told.fraction, told.message)

    def stream(self, piece: Json) -> None:
        if self._on_stream is not None:
            self._on_stream(piece)

    async def ask(self, capability: str, value: Json, timeout_seconds: float) -> Json:
        del value, timeout_seconds
        if capability not in self._answers:
            raise QuestionFailed(
                f"offline nobody answers {capability!r}: "
                f"say what comes back, `offline_context(..., answers={{{capability!r}: ...}})`",
                code="question.nobody",
            )
        answer = self._answers[capability]
        if isinstance(answer, Exception):
            raise answer
        return as_json(answer)

    async def ask_live(self, capability: str, value: Json, timeout_seconds: float) -> Json:
        return await self.ask(capability, value, timeout_seconds)

    async def replan(self, wanted: Replan) -> None:
        self._replans.append(wanted)

    def wait_for(self, make: Callable[[], Coroutine[Any, Any, Json]]) -> Json:
        step = make()
        try:
            step.send(None)  # it has its answer at hand, and never waits
        except StopIteration as ended:
            return ended.value
        raise AssertionError("an offline answer waits for nothing")


def offline_context(
    deps: DepsT,
    *,
    folder: Path,
    on_progress: Callable[[float | None, str], None] | None = None,
    on_stream: Callable[[Json], None] | None = None,
    answers: Mapping[str, object] | None = None,
    replans: list[Replan] | None = None,
    last_progress: LastProgress | None = None,
    last_failure: Failure | None = None,
) -> TaskContext[DepsT]:
    """A context without a bus, to call a handler directly.

    Args:
        deps: What the agent would have been built with.
        folder: Where artifacts go.
        on_progress: Hears what the handler tells.
        on_stream: Hears the pieces that the handler streams.
        answers: What comes back from whom it asks, by capability; an exception is raised. Asking
            for any other capability raises `QuestionFailed`.
        replans: Where the changes of the plan are put that the handler asks for; nothing is
            checked or changed.
        last_progress: What an attempt before this one told last.
        last_failure: Why the attempt before this one failed.
    """
    return TaskContext(
        deps=deps,
        run_id=new_run_id(),
        task_id=TaskId("offline"),
        attempt=1,
        workflow="offline",
        last_progress=last_progress,
        last_failure=last_failure,
        artifacts=ArtifactStore(str(folder)),
        log=AttemptLog(logging.getLogger("dalsegno.agent.offline")),
        line=OfflineLine(answers or {}, on_progress, on_stream, [] if replans is None else replans),
    )
