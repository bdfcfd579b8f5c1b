"""The demo's workflow on real processes, while an agent and the orchestrator are killed with -9."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from dalsegno.commands.views import rebuild_views
from dalsegno.demo.company import make_books
from dalsegno.demo.runner import SIGNAL, begin, session_of
from dalsegno.layout import FINANCE_AGENTS
from dalsegno.processes import Child
from dalsegno.stack import Stack
from dalsegno_bus.bus import Heard
from dalsegno_bus.codec import decode
from dalsegno_bus.errors import DecodeFailed
from dalsegno_bus.ids import RunId
from dalsegno_bus.messages import AttemptStarted
from dalsegno_orchestrator.history import Recorded
from dalsegno_orchestrator.store import Store
from dalsegno_orchestrator.workflow.events import SignalAwaited, TaskCompleted
from dalsegno_projections.catalog import VIEWS, open_rows
from dalsegno_projections.settings import ProjectionSettings
from support.commands import WAIT_SECONDS, stack_of, until

pytestmark = pytest.mark.slow
_STARTED: TypeAdapter[AttemptStarted] = TypeAdapter(AttemptStarted)


def child_called(stack: Stack, name: str) -> Child:
    [child] = [one for one in stack.processes.children if one.name == name and one.is_alive]
    return child


async def kill(stack: Stack, name: str) -> None:
    """End a process as a power cut would, and start another in its place."""
    child = child_called(stack, name)
    child.send(signal.SIGKILL)
    await asyncio.to_thread(child.process.wait)
    stack.processes.start(stack.services[name])


async def started(live: AsyncIterator[Heard], task_id: str) -> AttemptStarted:
    """Wait until somebody works on this task."""
    async with asyncio.timeout(WAIT_SECONDS):
        async for heard in live:
            try:
                begun = decode(_STARTED, heard.body)
            except DecodeFailed:  # something else that is told live
                continue
            if begun.task_id == task_id:
                return begun
    raise AssertionError("nothing is told live any more")


class History:
    """What was recorded of a run, read past everybody from the event store."""

    def __init__(self, stack: Stack, run_id: RunId) -> None:
        layout = stack.layout
        self._store = Store(layout.environment["DALSEGNO_STORE_URL"], namespace=layout.namespace)
        self._run_id = run_id

    def read(self) -> list[Recorded]:
        return self._store.read(self._run_id)

    @property
    def completions(self) -> list[TaskCompleted]:
        return [one.event for one in self.read() if isinstance(one.event, TaskCompleted)]

    @property
    def awaits_a_signal(self) -> bool:
        return any(isinstance(one.event, SignalAwaited) for one in self.read())

    def close(self) -> None:
        self._store.close()


async def test_what_is_killed_in_the_middle_is_made_good(tmp_path: Path) -> None:
    books = await asyncio.to_thread(make_books, tmp_path / "books")
    async with (
        stack_of(tmp_path / "stack", *FINANCE_AGENTS) as stack,
        stack.bus.listen(f"{stack.subjects.namespace}.live.*.*") as live,
    ):
        run_id = await begin(session_of(stack), books)
        history = History(stack, run_id)

        lost = await started(live, "gather-0")
        await kill(stack, "agent-gather")
        assert "gather-0" not in {one.task_id for one in history.completions}, "in its middle"

        await started(live, "analyze")
        await kill(stack, "orchestrator")
        assert "review" not in {one.task_id for one in history.completions}, "in the run's middle"

        await until(lambda: history.awaits_a_signal)
        await stack.client.signal(run_id, SIGNAL, {"by": "the test"})
        ended = await stack.client.wait(run_id, timeout_seconds=WAIT_SECONDS)
        assert ended.status == "completed", ended.error

        counted = Counter(one.task_id for one in history.completions)
        items = [f"gather-{index}" for index in range(len(books.request["sources"]))]
        steps = ("reconcile", "analyze", "summarize", "review", "report")
        assert counted == Counter([*items, *steps]), "each is recorded completed exactly once"
        done = {one.task_id: one for one in history.completions}
        assert done["gather-0"].replica != lost.replica, "another replica did it in the end"
        history.close()

        await views_are_the_same_when_folded_anew(stack)


async def views_are_the_same_when_folded_anew(stack: Stack) -> None:
    """What live folding made, through kill and restart, is what a rebuild makes."""
    settings = ProjectionSettings(
        store_url=stack.layout.environment["DALSEGNO_STORE_URL"],
        views_url=stack.layout.environment["DALSEGNO_VIEWS_URL"],
        namespace=stack.layout.namespace,
    )
    rows = open_rows(settings)
    store = Store(settings.store_url, namespace=settings.namespace)
    newest = store.newest_position()
    store.close()
    await until(lambda: all(rows.position(view.name) == newest for view in VIEWS))
    live = {view.name: rows.digest(view.name) for view in VIEWS}
    await asyncio.to_thread(rebuild_views, settings)
    assert {view.name: rows.digest(view.name) for view in VIEWS} == live
    assert all(rows.position(view.name) == newest for view in VIEWS)
    rows.close()
