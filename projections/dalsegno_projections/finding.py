"""Finds the run that somebody names: by its id, or by the first digits of it."""

import string
from typing import Final
from uuid import UUID

from dalsegno_bus.errors import UsageError
from dalsegno_orchestrator.workflow.events import RunStarted
from dalsegno_projections.replaying import Streams
from dalsegno_projections.storage.rows import Rows, Select
from dalsegno_projections.views.runs import RUNS, RunRow, RunsView
from dalsegno_projections.views.table import fold

DIGITS_MIN: Final = 8
_DIGITS: Final = 32
_GROUPS: Final = (8, 12, 16, 20)
_SHOWN_MAX: Final = 5


def find_run(rows: Rows, streams: Streams, named: str) -> RunRow:
    """The run's row. A run that the view has not heard of yet is folded from its history.

    Args:
        rows: Where the view of runs lies.
        streams: The event store.
        named: A run's id, or 8 or more of its first hexadecimal digits.

    Raises:
        UsageError: There is no such run, or more than one.
    """
    digits = _digits_of(named)
    if len(digits) == _DIGITS:
        run_id = UUID(digits)
        row = rows.load(RUNS, [(str(run_id),)]).get((str(run_id),)) or _not_yet(streams, run_id)
        if row is None:
            raise UsageError(f"there is no run {run_id}")
        return row
    found = rows.select(RUNS, Select(prefix={"run_id": _dashed(digits)}, limit=_SHOWN_MAX + 1))
    if not found:
        raise UsageError(f"no run's id begins with {named!r}")
    if len(found) > 1:
        shown = ", ".join(row.run_id for row in found[:_SHOWN_MAX])
        more = " and more" if len(found) > _SHOWN_MAX else ""
        raise UsageError(f"several runs begin with {named!r}: give more digits of {shown}{more}")
    return found[0]


def first_digits(named: str) -> str:
    """How an id that somebody names begins, as ids are written: all of it, or its first digits.

    Raises:
        UsageError: It is no id.
    """
    return _dashed(_digits_of(named))


def _digits_of(named: str) -> str:
    digits = named.replace("-", "").lower()
    if not DIGITS_MIN <= len(digits) <= _DIGITS or set(digits) - set(string.hexdigits):
        raise UsageError(f"{named!r} is no run's id: give 8 to 32 of its hexadecimal digits")
    return digits


def _not_yet(streams: Streams, run_id: UUID) -> RunRow | None:
    history = streams.read(run_id)
    if not history or not isinstance(history[0].event, RunStarted):
        return None
    return fold(RunsView(), history).get(RUNS, (str(run_id),))


def _dashed(digits: str) -> str:
    """The first digits of an id, as it is written: with a dash after each group."""
    text = digits
    for place in reversed(_GROUPS):
        if len(digits) > place:
            text = f"{text[:place]}-{text[place:]}"
    return text
