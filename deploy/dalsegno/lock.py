"""One stack per folder: a lock that the kernel gives back, however its holder ends."""

import asyncio
import fcntl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import Final, Literal

from dalsegno_bus.errors import UsageError

_NAME: Final = "stack.lock"
_TRIES: Final = 5
_PAUSE_SECONDS: Final = 0.05
"""Whoever looks whether a stack runs holds the lock for a moment: that is no stack."""


@asynccontextmanager
async def alone_in(folder: Path) -> AsyncGenerator[None]:
    """Hold the folder (made if need be) for one stack.

    Raises:
        UsageError: A stack runs there already, or nothing can be written there.
    """
    with _opened(folder) as lock:
        for _ in range(_TRIES):
            if _taken(lock.fileno(), fcntl.LOCK_EX):
                break
            await asyncio.sleep(_PAUSE_SECONDS)
        else:
            raise UsageError(
                f"a stack runs in {str(folder)!r} already: stop it, "
                "or choose another folder with --folder"
            )
        yield


def _opened(folder: Path) -> TextIOWrapper:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return (folder / _NAME).open("w")
    except OSError as error:
        raise UsageError(
            f"cannot write to the folder {str(folder)!r}: {error.strerror}; "
            "choose another with --folder"
        ) from error


def is_running(folder: Path) -> bool:
    """Whether a stack of ours holds this folder now."""
    return _state(folder) == "held"


def is_at_rest(folder: Path) -> bool:
    """Whether a stack of ours held this folder once, and none does now."""
    return _state(folder) == "free"


def _state(folder: Path) -> Literal["held", "free", "none"]:
    try:
        with (folder / _NAME).open("r") as lock:
            return "free" if _taken(lock.fileno(), fcntl.LOCK_SH) else "held"
    except OSError:  # there has never been one, or its folder is somebody else's
        return "none"


def _taken(lock: int, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
