"""What is written down of an event that a view could not take, and which code could not.

Parks nothing itself: `projector` and `traces` do, in the transaction that takes a view past it.
"""

import hashlib
import importlib.metadata
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

from dalsegno_orchestrator.history import Recorded, UnreadableEvent
from dalsegno_orchestrator.workflow.events import EVENT_TYPES
from dalsegno_projections.storage.rows import ParkedRow
from dalsegno_projections.views.values import text

ResultT = TypeVar("ResultT")


@cache
def this_code() -> str:
    """What tells this code from a newer one: its version, and the kinds of events it knows."""
    kinds = hashlib.sha256("\n".join(sorted(EVENT_TYPES)).encode()).hexdigest()[:8]
    return f"{importlib.metadata.version('dalsegno-projections')}+{kinds}"


def tried(call: Callable[..., ResultT], *arguments: Any) -> ResultT | Exception:
    """What the call returns, or why it failed: no event may stop those around it."""
    try:
        return call(*arguments)
    except Exception as error:  # noqa: BLE001 - the wall around folds: what fails is parked
        return error


def unreadable_row(view: str, event: UnreadableEvent) -> ParkedRow:
    """Of an event whose bytes are not understood here."""
    return ParkedRow(
        view=view,
        position=event.position,
        stream_id=str(event.stream_id),
        version=event.version,
        kind=_kept(event.kind),
        reason=_kept(str(event)),
        parked_by=this_code(),
    )


def parked_row(view: str, recorded: Recorded, error: Exception) -> ParkedRow:
    """Of an event that a view could not take."""
    return _row(view, recorded, f"{type(error).__name__}: {error}")


def held_row(view: str, recorded: Recorded) -> ParkedRow:
    """Of an event whose stream has one before it that the view could not take."""
    return _row(view, recorded, "held back: an event before it in its stream is parked")


def _row(view: str, recorded: Recorded, reason: str) -> ParkedRow:
    return ParkedRow(
        view=view,
        position=recorded.position,
        stream_id=str(recorded.stream_id),
        version=recorded.version,
        kind=recorded.event.kind,
        reason=_kept(reason),
        parked_by=this_code(),
    )


def _kept(words: str) -> str:
    """Words that any database takes: what is no Unicode text is shown as such."""
    return text(words.encode("utf-8", "backslashreplace").decode())
