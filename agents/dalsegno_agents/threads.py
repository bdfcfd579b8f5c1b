"""Threads for what blocks: plain handlers, and the artifact store.

A thread cannot be stopped from outside. When its attempt is given up (timed out, cancelled) the
thread works on, nobody hears what it returns, and it counts as abandoned until it ends. All threads
are daemons: a handler that never returns keeps no process from ending.
"""

import asyncio
import contextvars
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

from dalsegno_bus.logs import log

ResultT = TypeVar("ResultT")

_logger = logging.getLogger("dalsegno.agent")


class Threads:
    """Runs functions in threads, which it keeps: as many as there were calls at the same time.

    The bound is its caller's, who starts no more attempts than there is room for.

    Args:
        on_free: Called in the event loop when an abandoned thread has ended after all.
    """

    def __init__(self, on_free: Callable[[], None] = lambda: None) -> None:
        self.abandoned = 0
        """Threads that work now on something that nobody waits for."""
        self.abandoned_ever = 0
        """How often a thread was left like this."""
        self._on_free = on_free
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._busy = 0
        self._threads = 0

    async def run(self, function: Callable[..., ResultT], *arguments: Any) -> ResultT:
        """Return (or raise) what `function` does, called in a thread within this task's context.

        Cancelled, it returns at once, and the thread is abandoned.
        """
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()
        call = partial(contextvars.copy_context().run, function, *arguments)
        self._start(lambda: _perform(call, loop, partial(self._end, ended)))
        try:
            value, failure = await ended
        except asyncio.CancelledError:
            if ended.cancelled():  # else it had just ended
                self.abandoned += 1
                self.abandoned_ever += 1
                log(_logger, "warning", "agent.thread_abandoned", abandoned=self.abandoned)
            raise
        if failure is not None:
            raise failure
        return value

    def close(self) -> None:
        """Let the threads end, each after what it is at; nobody waits for them."""
        for _ in range(self._threads):
            self._jobs.put(None)
        self._threads = 0

    def _start(self, job: Callable[[], None]) -> None:
        self._busy += 1
        if self._busy > self._threads:
            self._threads += 1
            threading.Thread(target=self._work, name="dalsegno-handler", daemon=True).start()
        self._jobs.put(job)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    def _end(
        self,
        ended: asyncio.Future[tuple[Any, BaseException | None]],
        value: Any,
        failure: BaseException | None,
    ) -> None:
        self._busy -= 1
        if not ended.cancelled():
            ended.set_result((value, failure))
            return
        self.abandoned -= 1
        log(_logger, "info", "agent.thread_freed", abandoned=self.abandoned)
        self._on_free()


def _perform(
    call: Callable[[], Any],
    loop: asyncio.AbstractEventLoop,
    end: Callable[[Any, BaseException | None], None],
) -> None:
    value: Any = None
    failure: BaseException | None = None
    try:
        value = call()
    except BaseException as error:  # noqa: BLE001  # raised again in the task that waits for it
        failure = error
    with suppress(RuntimeError):  # the loop is gone: nobody is left to tell
        loop.call_soon_threadsafe(end, value, failure)
