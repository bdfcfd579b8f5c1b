"""Follows a run to its end and shows it: a live table on a terminal, a line for each change else.

What is heard live only hints; what is shown of tasks comes from the projections. Where those do
not answer, the run is followed all the same, without its tasks.
"""

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import aclosing, contextmanager
from typing import Final, TypeAlias

from rich.live import Live

from dalsegno.output import console, is_terminal, say
from dalsegno.scene import Scene
from dalsegno.session import Session
from dalsegno_bus.artifacts import check_out
from dalsegno_bus.clock import utc_now
from dalsegno_bus.errors import DalsegnoError
from dalsegno_bus.ids import RunId
from dalsegno_bus.messages import Json, Output, RunChanged
from dalsegno_bus.watching import FINAL_STATUSES
from dalsegno_projections.asking import HISTORY, RUN_DETAIL, WORKFLOWS
from dalsegno_projections.questions import AskHistory, AskRunDetail, AskWorkflows, RunDetail

FRAME_SECONDS: Final = 0.125
LOOK_SECONDS: Final = 1.0
"""How often the projections are asked while nothing is heard."""
SOON_SECONDS: Final = 0.1
"""How often they are asked while things happen: what happened is not there at once."""
HAPPENING_SECONDS: Final = 0.5
"""How long after the last sign of life things are taken to happen."""
CATCH_UP_SECONDS_MAX: Final = 5.0
"""How long the end of a run may wait for the projections to know of it."""

Say: TypeAlias = Callable[[str], None]
React: TypeAlias = Callable[[Scene, Say], Awaitable[None]]
"""Is told of every new state; may signal the run, and say so."""


async def follow(here: Session, run_id: RunId, *, react: React | None = None) -> RunChanged:
    """Show a run until it has ended; return how, with its whole output.

    `react` is called each time that the projections told something.

    Raises:
        DalsegnoError: The connection was lost for good, or `react` failed.
    """
    scene = Scene()
    last: RunChanged | None = None
    with _shown(scene) as (show, tell):
        looker = _Looker(here, run_id, scene, show=show, tell=tell, react=react)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(looker.run()),
                group.create_task(looker.listen()),
                group.create_task(_draw(show)),
            ]
            async with aclosing(here.client.watch(run_id)) as changes:
                async for change in changes:
                    if isinstance(change, Output):
                        continue  # many a second, and nothing of it is recorded
                    scene.hear(change)
                    looker.hurry()
                    last = change if isinstance(change, RunChanged) else last
            await looker.catch_up()
            looker.stop()
            for task in tasks:
                task.cancel()
        show()
    assert last is not None
    assert last.status in FINAL_STATUSES
    return last.model_copy(update={"output": await output_of(here, last)})


async def output_of(here: Session, ended: RunChanged) -> Json:
    """The output of a run that has completed: also where it was too large to be told live."""
    output = ended.output
    if output is None and ended.status == "completed":
        question = AskHistory(run_id=str(ended.run_id), after=ended.version - 1, limit=1)
        history = await here.ask(HISTORY, question)
        event = history.entries[0].event if history.entries else None
        output = (event or {}).get("output")
    return await asyncio.to_thread(check_out, output, here.artifacts)


class _Looker:
    """Keeps a scene up to date with what the projections know."""

    def __init__(
        self,
        here: Session,
        run_id: RunId,
        scene: Scene,
        *,
        show: Callable[[], None],
        tell: Say,
        react: React | None,
    ) -> None:
        self._here = here
        self._question = AskRunDetail(run_id=str(run_id))
        self._scene = scene
        self._show = show
        self._tell = tell
        self._react = react
        self._stopping = False
        self._news = asyncio.Event()
        self._calm_at = 0.0
        self._caught_up = asyncio.Event()

    def hurry(self) -> None:
        """Look at once: something happened."""
        self._calm_at = asyncio.get_running_loop().time() + HAPPENING_SECONDS
        self._caught_up.clear()
        self._news.set()

    async def listen(self) -> None:
        """Hurry, for ever, whenever something was recorded: of this run, maybe."""
        async with self._here.bus.listen(self._here.subjects.recorded_hint) as hints:
            async for _ in hints:
                self.hurry()

    async def catch_up(self) -> None:
        """Wait until the scene holds all that was heard of, or it takes too long."""
        try:
            async with asyncio.timeout(CATCH_UP_SECONDS_MAX):
                await self._caught_up.wait()
        except TimeoutError:
            self._tell("the projections are behind: the tasks below may not be the last word")

    def stop(self) -> None:
        """Look no more: cancelling alone may be lost while an answer is on its way."""
        self._stopping = True

    async def run(self) -> None:
        """Look until told to stop."""
        while not self._stopping:
            self._news.clear()
            detail = await self._detail()
            if detail is not None:
                self._scene.look(detail)
                if self._react is not None:
                    self._show()
                    await self._react(self._scene, self._tell)
            if not self._scene.is_behind:
                self._caught_up.set()
            await self._pause()

    async def _detail(self) -> RunDetail | None:
        try:
            detail = await self._here.ask(RUN_DETAIL, self._question)
            if not self._scene.steps:
                self._scene.steps = await _steps(self._here, detail)
        except DalsegnoError:  # away, or not told of this run yet: the next look will show
            return None
        return detail

    async def _pause(self) -> None:
        if self._scene.is_behind or asyncio.get_running_loop().time() < self._calm_at:
            await asyncio.sleep(SOON_SECONDS)
            return
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await self._news.wait()
        except TimeoutError:
            pass


async def _steps(here: Session, detail: RunDetail) -> tuple[str, ...]:
    run = detail.run
    question = AskWorkflows(workflow=run.workflow, version=run.workflow_version, limit=1)
    definition = (await here.ask(WORKFLOWS, question)).definition or {}
    return tuple(definition.get("tasks") or ())


async def _draw(show: Callable[[], None]) -> None:
    while True:
        show()
        await asyncio.sleep(FRAME_SECONDS)


@contextmanager
def _shown(scene: Scene) -> Generator[tuple[Callable[[], None], Say]]:
    """What to call whenever the scene may have changed, and how to say something meanwhile."""
    if not is_terminal():
        before: dict[str, str] = {}

        def tell_changes() -> None:
            for line in scene.changes(before):
                say(line)

        yield tell_changes, say
        return
    screen = console(to_stderr=True)
    with Live(console=screen, auto_refresh=False) as live:

        def draw() -> None:
            live.update(scene.draw(utc_now(), screen.width), refresh=True)

        def tell(words: str) -> None:  # above the table; uncut, so that a command can be copied
            screen.print(words, soft_wrap=True)

        yield draw, tell
