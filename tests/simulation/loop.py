"""An event loop without a clock: when nothing is ready, time jumps to what is due next.

Each process of a simulation has its own line of what is ready, in order as in any event loop; which
process takes the next step is chance, drawn from a seed. A process may be stopped for a while, or
for ever, between any two of its steps. Real threads, sockets and signals have no place here.
"""

import asyncio
import heapq
import itertools
from asyncio import events
from collections import deque
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from random import Random
from typing import Any, Final

from typing_extensions import override

STEPS_MAX: Final = 2_000_000
"""A simulation that takes more steps than this goes round in a circle."""


class Stuck(Exception):
    """Nothing is ready and nothing is due, or time goes on and on."""


class Killed(BaseException):
    """The process that calls is no more: thrown where it dies in the middle of a step."""


class Process:
    """What dies, and stands still, as one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ready: deque[asyncio.Handle] = deque()
        self.tasks: list[asyncio.Task[Any]] = []
        self.is_dead = False
        self.is_paused = False
        self.thread_seconds: Callable[[], float] = lambda: 0.0
        """How long the next call in a thread takes."""


PROCESS: Final[ContextVar[Process]] = ContextVar("simulated_process")


class CountedTask(asyncio.Task[Any]):
    """A task that has the same place in a set each time."""

    counter = itertools.count()

    def __init__(self, coro: Any, *, loop: "VirtualLoop", **more: Any) -> None:
        self.number = loop.next_number()
        more.setdefault("name", "task")
        super().__init__(coro, loop=loop, **more)

    @override
    def __hash__(self) -> int:
        return self.number


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs simulated processes.

    Args:
        dice: Who takes the next step.
    """

    def __init__(self, dice: Random) -> None:
        super().__init__()
        self.world = Process("world")
        self.steps = 0
        self._dice = dice
        self._now = 0.0
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._numbers = 0
        self._runnable: list[Process] = []
        self.set_task_factory(self._new_task)
        self.set_exception_handler(lambda _loop, _context: None)

    @override
    def time(self) -> float:
        return self._now

    def next_number(self) -> int:
        """A number that nobody had."""
        self._numbers += 1
        return self._numbers

    def kill(self, process: Process) -> None:
        """Let this process take no further step."""
        process.is_dead = process.is_paused = True  # it keeps what it was at, as the dead do

    def pause(self, process: Process) -> None:
        """Let it take no further step until `resume`."""
        process.is_paused = True

    def resume(self, process: Process) -> None:
        """Let it go on with all that became ready meanwhile."""
        process.is_paused = False
        if process.ready and process not in self._runnable:
            self._runnable.append(process)

    # --- what asyncio calls -------------------------------------------------------------------

    @override
    def call_soon(
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context or copy_context())
        self._enqueue(handle)
        return handle

    @override
    def call_soon_threadsafe(
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        return self.call_soon(callback, *args, context=context)

    @override
    def call_later(
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + max(0.0, delay), callback, *args, context=context)

    @override
    def call_at(
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context or copy_context())
        heapq.heappush(self._timers, (when, self.next_number(), timer))
        return timer

    @override
    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        """Do it at once, and tell so when a thread would have been done."""
        future = self.create_future()
        seconds = PROCESS.get(self.world).thread_seconds()
        try:
            value = func(*args)
        except StopIteration as error:
            future.set_exception(RuntimeError(repr(error)))
        except Exception as error:  # noqa: BLE001 - told to whoever waits
            self.call_later(seconds, _fail, future, error)
        else:
            self.call_later(seconds, _end, future, value)
        return future

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It stays in line; a cancelled handle does nothing."""

    def _new_task(
        self, loop: asyncio.AbstractEventLoop, coro: Any, **more: Any
    ) -> asyncio.Future[Any]:
        task = CountedTask(coro, loop=self, **more)
        PROCESS.get(self.world).tasks.append(task)
        return task

    def _enqueue(self, handle: asyncio.Handle) -> None:
        process = handle._context.get(PROCESS, self.world)  # type: ignore[attr-defined]  # its only owner
        if not process.ready and not process.is_paused:
            self._runnable.append(process)
        process.ready.append(handle)

    def _run_once(self) -> None:
        """One step of one process."""
        runnable = self._runnable
        while not runnable:
            self._jump()
        self.steps += 1
        if self.steps > STEPS_MAX:
            raise Stuck(f"{STEPS_MAX} steps were not enough")
        index = self._dice.randrange(len(runnable)) if len(runnable) > 1 else 0
        process = runnable[index]
        if not process.ready or process.is_paused:
            del runnable[index]
            return
        handle = process.ready.popleft()
        if not process.ready:
            del runnable[index]
        if not handle.cancelled():
            handle._run()

    def _jump(self) -> None:
        """Go to the time at which something is due, and have all ready that is due then."""
        timers = self._timers
        while timers and timers[0][2].cancelled():
            heapq.heappop(timers)
        if not timers:
            raise Stuck("nothing is ready and nothing is due")
        self._now = max(self._now, timers[0][0])
        while timers and timers[0][0] <= self._now:
            _, _, timer = heapq.heappop(timers)
            if not timer.cancelled():
                self._enqueue(timer)

    @override
    def run_forever(self) -> None:
        before = events._get_running_loop()
        events._set_running_loop(self)
        self._stopping = False
        try:
            while not self._stopping:
                self._run_once()
        finally:
            events._set_running_loop(before)


def _end(future: "asyncio.Future[Any]", value: Any) -> None:
    if not future.done():
        future.set_result(value)


def _fail(future: "asyncio.Future[Any]", error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
