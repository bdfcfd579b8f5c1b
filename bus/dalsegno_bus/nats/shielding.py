"""Waits for the client library such that a cancellation is never lost, and nothing is left unheard.

The library waits with `asyncio.wait_for`, which on Python 3.11 loses a cancellation that comes
together with the reply. Behind a shield we are cancelled all the same.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class _Raised:
    error: Exception


@dataclass(frozen=True)
class _Returned(Generic[ResultT]):
    value: ResultT


async def shielded(work: Coroutine[Any, Any, ResultT]) -> ResultT:
    """What `work` returns or raises. Cancelled meanwhile, this ends at once, and `work` later.

    What becomes of it then is nobody's concern: an error is not logged as one that was forgotten.
    """
    match await asyncio.shield(_ended(work)):
        case _Returned(value):
            return value
        case _Raised(error):
            raise error


async def _ended(work: Coroutine[Any, Any, ResultT]) -> _Returned[ResultT] | _Raised:
    try:
        return _Returned(await work)
    except Exception as error:  # noqa: BLE001 - raised again where it is waited for
        return _Raised(error)
