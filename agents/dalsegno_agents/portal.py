"""From a handler's thread into the event loop and back: a plain function waits for a coroutine."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar

from dalsegno_agents.errors import QuestionFailed
from dalsegno_bus.errors import UsageError

ResultT = TypeVar("ResultT")
_Ended: TypeAlias = tuple[Any, BaseException | None]

OVER: Final = "nobody waits for this attempt any more: it was cancelled, or is over"


class Portal:
    """Owns the coroutines that threads wait for. `run` has to run meanwhile."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self.thread: int | None = None
        self.group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Be open, for ever; what is under way at the end is cancelled."""
        self.loop = asyncio.get_running_loop()
        self.thread = threading.get_ident()
        async with asyncio.TaskGroup() as group:
            self.group = group
            try:
                await asyncio.Event().wait()
            finally:
                self.group = None


class Calls:
    """What the threads of one attempt wait for; `end` lets them all go."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal
        self._tasks: set[asyncio.Task[_Ended]] = set()
        self._is_over = False

    def wait_for(self, make: Callable[[], Coroutine[Any, Any, ResultT]]) -> ResultT:
        """What the coroutine returns or raises; blocks this thread until then.

        Raises:
            UsageError: This is the thread of the event loop, which must not block.
            QuestionFailed: The attempt was cancelled or ended meanwhile.
        """
        portal = self._portal
        if threading.get_ident() == portal.thread:
            raise UsageError(
                "an async handler must not block: use `await context.ask(...)` and the like, "
                "without `_blocking`"
            )
        waiting: Future[ResultT] = Future()
        if portal.loop is None or portal.loop.is_closed():
            raise QuestionFailed(OVER, code="task.cancelled")
        portal.loop.call_soon_threadsafe(self._begin, make, waiting)
        return waiting.result()

    def end(self) -> None:
        """Let every thread go that waits, and every one that comes later. In the event loop."""
        self._is_over = True
        for task in self._tasks:
            task.cancel()

    def _begin(
        self, make: Callable[[], Coroutine[Any, Any, ResultT]], waiting: Future[ResultT]
    ) -> None:
        group = self._portal.group
        if self._is_over or group is None:
            waiting.set_exception(QuestionFailed(OVER, code="task.cancelled"))
            return
        task = group.create_task(_ended(make))
        self._tasks.add(task)
        task.add_done_callback(partial(self._over, waiting))

    def _over(self, waiting: Future[Any], task: "asyncio.Task[_Ended]") -> None:
        self._tasks.discard(task)
        if task.cancelled():
            waiting.set_exception(QuestionFailed(OVER, code="task.cancelled"))
            return
        value, failure = task.result()
        if failure is None:
            waiting.set_result(value)
        else:
            waiting.set_exception(failure)


async def _ended(make: Callable[[], Coroutine[Any, Any, Any]]) -> _Ended:
    try:
        return await make(), None
    except Exception as error:  # noqa: BLE001  # raised again in the thread that waits for it
        return None, error
