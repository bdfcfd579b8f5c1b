"""Ctrl-C and SIGTERM, once and in order: the work is cancelled, what it opened closed, we go.

A signal that follows at once is the same wish and changes nothing; one that comes later cancels
again, so that whoever waits for something that hangs is not held.
"""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

ResultT = TypeVar("ResultT")

PATIENCE_SECONDS: Final = 1.0
"""How long after a signal another one is the same wish."""
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """A signal ended the work, and everything it opened is closed."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(number)
        self.number = number

    @property
    def exit_code(self) -> int:
        """What a shell calls a process that this signal ended."""
        return 128 + self.number


def run(work: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Run `work` in an event loop of its own and return its result.

    Raises:
        Interrupted: A signal came first; `work` was cancelled and has finished.
    """
    heard: list[tuple[signal.Signals, float]] = []

    async def interruptible() -> ResultT:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None

        def interrupt(number: signal.Signals) -> None:
            if not heard or loop.time() - heard[-1][1] >= PATIENCE_SECONDS:
                heard.append((number, loop.time()))
                task.cancel()

        for number in _SIGNALS:
            loop.add_signal_handler(number, interrupt, number)
        return await work

    try:
        return asyncio.run(interruptible())
    except asyncio.CancelledError:
        if not heard:
            raise
        raise Interrupted(heard[0][0]) from None
