"""Words that every sentence is made with: bounded, on one line, the same everywhere."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

WORDS_MAX: Final = 300
"""How many characters of somebody else's words a sentence quotes."""
_MILLISECOND: Final = 0.001
_MINUTE: Final = 59.5
"""From here on, in seconds, minutes are told."""
NAMES_MAX: Final = 8
"""How many names a sentence lists."""


def count(number: int, what: str) -> str:
    """`1 task`, `3 tasks`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def short(words: str) -> str:
    """Somebody else's words on one line, without a full stop of their own."""
    line = " ".join(words.split()).rstrip(".")
    return line if len(line) <= WORDS_MAX else line[: WORDS_MAX - 1] + "…"


def why(reason: str) -> str:
    """The reason after a colon; nothing where there is none."""
    return f": {short(reason)}" if reason else ""


def because(reason: str) -> str:
    """The reason in brackets; nothing where there is none."""
    return f" ({short(reason)})" if reason else ""


def names(listed: Sequence[str]) -> str:
    """`a, b and c`; of many, the first ones and how many more."""
    if len(listed) > NAMES_MAX:
        return f"{', '.join(listed[:NAMES_MAX])} and {len(listed) - NAMES_MAX} more"
    return " and ".join(filter(None, [", ".join(listed[:-1]), *listed[-1:]]))


def lasting(seconds: float) -> str:
    """How long something took, or takes: `<1 ms`, `402 ms`, `2.5 s`, `3 min 20 s`, `2 h 05 min`."""
    if 0.0 < seconds < _MILLISECOND:
        return "<1 ms"
    if seconds < 1.0:
        return f"{seconds * 1000:.0f} ms"
    if seconds < _MINUTE:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def moment(at: datetime) -> str:
    """A time, to the second."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
