"""Values as rows hold them: bounded, free of what a database cannot keep, the same on each."""

from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import orjson

TEXT_CHARACTERS_MAX: Final = 4_000
"""Of a sentence that an agent or a client wrote."""
JSON_BYTES_MAX: Final = 64 * 1024
"""Of a payload; larger ones are left in the history."""
INTEGER_MAX: Final = 2**63 - 1

RowT = TypeVar("RowT")


def instant(at: datetime) -> str:
    """A time as text that sorts as the time does: ISO 8601, UTC, microseconds."""
    return (at if at.tzinfo is UTC else at.astimezone(UTC)).isoformat(timespec="microseconds")


def text(words: str) -> str:
    """Somebody else's words, cut to a bound and without the character that PostgreSQL refuses."""
    if len(words) > TEXT_CHARACTERS_MAX:
        words = words[: TEXT_CHARACTERS_MAX - 1] + "…"
    return words.replace("\x00", "\N{REPLACEMENT CHARACTER}") if "\x00" in words else words


def payload(value: Any) -> tuple[str | None, int]:
    """A payload as JSON, and how many bytes that is; None where it is above `JSON_BYTES_MAX`.

    A JSON `null` is kept as None too: it says nothing.
    """
    if value is None:
        return None, 0
    body = orjson.dumps(value)
    return (body.decode() if len(body) <= JSON_BYTES_MAX else None), len(body)


def bounded(number: int) -> int:
    """A count that came from outside, cut to what a database's integer holds."""
    return min(number, INTEGER_MAX)


def changed(row: RowT, **changes: Any) -> RowT:
    """The row with these fields changed: `dataclasses.replace`, several times as fast.

    Rows are plain records, without slots and without work in `__init__`; folding a history makes
    little else than copies of them.
    """
    copy = object.__new__(type(row))
    copy.__dict__.update(row.__dict__, **changes)
    return copy
