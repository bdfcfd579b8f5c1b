"""Durations as people write them: text to seconds and back. Knows no clock.

`"250ms"`, `"10s"`, `"2h"`, `"3d"`, `"1m30s"`, or a number of seconds. A duration is a whole number
of milliseconds; in Python and in JSON it is a `float` of seconds.
"""

import re
from typing import Final

from dalsegno_bus.errors import UsageError

DURATION_SECONDS_MAX: Final = 3650 * 86_400.0
"""The longest duration, ten years: anything above is a slip of the pen."""

_UNITS_MS: Final = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|[dhms])")
_WHOLE: Final = re.compile(rf"(?:{_PART.pattern})+")
_HOW: Final = 'write a number and a unit, such as "250ms", "10s", "2h", "3d" or "1m30s"'


def parse_duration(value: object) -> float:
    """The seconds of a duration (0 to `DURATION_SECONDS_MAX`), exact to the millisecond.

    Args:
        value: Text with units, the largest first and each at most once, or a number of seconds.

    Raises:
        UsageError: It is neither, it is out of range, or finer than a millisecond.
    """
    if isinstance(value, str):
        milliseconds = _milliseconds(value)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        milliseconds = value * 1000
    else:
        raise UsageError(f"{value!r} is not a duration; {_HOW}")
    if not 0 <= milliseconds <= DURATION_SECONDS_MAX * 1000:  # not for NaN either
        raise UsageError(f"{str(value)[:20]!r} is out of range; a duration goes from 0 to 3650d")
    whole = round(milliseconds)
    if abs(milliseconds - whole) > 1e-4:
        raise UsageError(f"{value!r} is too fine; a duration is a whole number of milliseconds")
    return whole / 1000


def format_duration(seconds: float) -> str:
    """The shortest text that `parse_duration` reads as these `seconds`, such as `1m30s`.

    Raises:
        UsageError: `parse_duration` would refuse the number.
    """
    rest = round(parse_duration(seconds) * 1000)
    parts: list[str] = []
    for unit, size in _UNITS_MS.items():
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def _milliseconds(text: str) -> float:
    compact = text.strip()
    if re.fullmatch(r"\d+(\.\d+)?", compact):
        raise UsageError(f'{text!r} has no unit; write "{compact}s" for seconds')
    parts = _PART.findall(compact) if _WHOLE.fullmatch(compact) else []
    units = [unit for _, unit in parts]
    if not parts or units != [unit for unit in _UNITS_MS if unit in units]:
        raise UsageError(f"{text!r} is not a duration; {_HOW}")
    return sum(float(number) * _UNITS_MS[unit] for number, unit in parts)
