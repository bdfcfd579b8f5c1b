"""Functions that the CEL library calls in place of its own (see `syntax`): pure, and never raising.

The library writes a log line for whatever a function raises, and forgets the reason. So a function
that cannot go on notes a fault and returns `FAILED`, which no further step can use.
"""

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias, TypeGuard, cast

CHUNK_ITEMS: Final = 64
"""`map` and `filter` walk a list in pieces of this length: the library's own time for one list
grows with the square of its length."""

FAILED: Final = datetime(9999, 12, 31, tzinfo=UTC)

_INT_MAX: Final = 2**63 - 1
_Number: TypeAlias = int | float


class Functions:
    """The functions of one evaluation, and the faults that they found."""

    NAMES: Final = frozenset(
        {"_add", "_chunks", "_divide", "_flat", "_keys", "_multiply", "_remainder", "_size"}
        | {"_string", "_subtract"}
    )

    def __init__(self) -> None:
        self.faults: list[str] = []

    def named(self, name: str) -> Callable[..., Any]:
        """The function that CEL knows by this name, one of `NAMES`."""
        return cast("Callable[..., Any]", getattr(self, name.removeprefix("_")))

    def add(self, left: Any, right: Any) -> Any:
        """Numbers of any kind, texts, lists, moments and durations."""
        if _are_numbers(left, right):
            return self._bounded(left + right)
        if type(left) is type(right) and isinstance(left, (str, list, bytes, timedelta)):
            return cast("Any", left) + right
        if _is_moment(left) and isinstance(right, timedelta):
            return self._moved(left, right)
        if isinstance(left, timedelta) and _is_moment(right):
            return self._moved(right, left)
        return self._unfit("+", left, right)

    def subtract(self, left: Any, right: Any) -> Any:
        """Numbers of any kind, moments and durations."""
        if _are_numbers(left, right):
            return self._bounded(left - right)
        if isinstance(left, timedelta) and isinstance(right, timedelta):
            return left - right
        if _is_moment(left) and _is_moment(right):
            return left - right
        if _is_moment(left) and isinstance(right, timedelta):
            return self._moved(left, -right)
        return self._unfit("-", left, right)

    def multiply(self, left: Any, right: Any) -> Any:
        """Numbers of any kind."""
        if not _are_numbers(left, right):
            return self._unfit("*", left, right)
        return self._bounded(left * right)

    def divide(self, left: Any, right: Any) -> Any:
        """Two whole numbers give a whole number, cut towards zero, as CEL has it."""
        if not _are_numbers(left, right):
            return self._unfit("/", left, right)
        if right == 0:
            return self._fail("it divides by zero")
        return self._bounded(_quotient(left, right))

    def remainder(self, left: Any, right: Any) -> Any:
        """What `divide` leaves; it has the sign of `left`."""
        if not _are_numbers(left, right):
            return self._unfit("%", left, right)
        if right == 0:
            return self._fail("it divides by zero")
        if isinstance(left, float) or isinstance(right, float):
            return math.fmod(left, right) if math.isfinite(left) else math.nan
        return self._bounded(left - right * _quotient(left, right))

    def size(self, value: Any) -> Any:
        """Characters of a text (the library counts bytes), items of a list, fields of an object."""
        if isinstance(value, (str, list, dict, bytes)):
            return len(cast("str | list[Any]", value))
        return self._fail(f"{kind_of(value)} has no size; only text, lists and objects have one")

    def string(self, value: Any) -> Any:
        """The text of a number, a truth value, bytes, a moment or a duration; text as it is."""
        match value:
            case str():
                return value
            case bool():
                return "true" if value else "false"
            case int():
                return str(value)
            case float():
                return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
            case bytes():
                return value.decode(errors="replace")
            case datetime() if _is_moment(value):
                return value.isoformat().replace("+00:00", "Z")
            case timedelta():
                return f"{value.total_seconds():.6f}".rstrip("0").rstrip(".") + "s"
            case _:
                return self._fail(f"string(…) cannot take {kind_of(value)}")

    def keys(self, value: Any) -> Any:
        """What a comprehension walks over: the items of a list, the keys of a map in order."""
        if isinstance(value, list):
            return cast("list[Any]", value)
        if isinstance(value, dict):
            return sorted(cast("dict[Any, Any]", value), key=_order)
        return self._fail(f"it walks over {kind_of(value)}, where a list or an object is needed")

    def chunks(self, value: Any) -> Any:
        """The same items in pieces of `CHUNK_ITEMS`."""
        items = self.keys(value)
        if not isinstance(items, list):
            return items
        listed = cast("list[Any]", items)
        return [listed[at : at + CHUNK_ITEMS] for at in range(0, len(listed), CHUNK_ITEMS)]

    def flat(self, chunks: Any) -> Any:
        """The items of all pieces."""
        if not isinstance(chunks, list):
            return self._fail("it walks over something that is no list")
        return [item for chunk in cast("list[list[Any]]", chunks) for item in chunk]

    def _bounded(self, number: _Number) -> Any:
        if isinstance(number, int) and not -_INT_MAX - 1 <= number <= _INT_MAX:
            return self._fail("a whole number becomes too large; compute with double(…)")
        return number

    def _moved(self, moment: datetime, by: timedelta) -> Any:
        try:
            return moment + by
        except OverflowError:
            return self._fail("a moment leaves the years 1 to 9999")

    def _unfit(self, mark: str, left: Any, right: Any) -> Any:
        return self._fail(
            f"{mark} cannot combine {kind_of(left)} and {kind_of(right)}; "
            "convert with string(…), int(…) or double(…)"
        )

    def _fail(self, fault: str) -> datetime:
        self.faults.append(fault)
        return FAILED


def kind_of(value: object) -> str:
    """What a value is, in words of JSON."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case datetime():
            return "a moment" if _is_moment(value) else "a value that travels by reference"
        case timedelta():
            return "a duration"
        case bytes():
            return "bytes"
        case _:
            return "an object"


def _is_moment(value: object) -> TypeGuard[datetime]:
    """Whether it is a real moment: year 1 stands for claims, the last day for a failure."""
    return isinstance(value, datetime) and value.year > 1 and value != FAILED


def _order(key: Any) -> tuple[str, Any]:
    return type(key).__name__, key


def _are_numbers(left: object, right: object) -> bool:
    return (
        isinstance(left, (int, float))
        and isinstance(right, (int, float))
        and not isinstance(left, bool)
        and not isinstance(right, bool)
    )


def _quotient(left: _Number, right: _Number) -> _Number:
    if isinstance(left, float) or isinstance(right, float):
        return left / right
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient
