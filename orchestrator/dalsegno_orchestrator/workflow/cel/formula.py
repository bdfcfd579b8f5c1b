"""One expression at work: it reads values from a scope and computes with the CEL library.

What an expression takes is read here, in Python: a missing field gets a clear message, a large
value that is only counted is never converted, and what was moved out of the history (a claim, see
`dalsegno_bus.artifacts`) passes through but is never mistaken for the value it stands for.
Evaluation is a pure function of the scope: maps are walked in the order of their keys.
"""

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

import cel

from dalsegno_bus.errors import UsageError
from dalsegno_bus.messages import Json
from dalsegno_orchestrator.workflow.cel.functions import CHUNK_ITEMS, FAILED, Functions, kind_of
from dalsegno_orchestrator.workflow.cel.parser import Parsed, parse
from dalsegno_orchestrator.workflow.cel.syntax import (
    FUNCTIONS,
    Fault,
    Path,
    Read,
    SyntaxFault,
    show,
)

CLAIM: Final = "$claim"
"""The only key of what stands for a value kept elsewhere; the same as `artifacts.CLAIM`."""

Scope = Mapping[str, Any]

_KEYS_SHOWN_MAX: Final = 8
_SOURCE_SHOWN_MAX: Final = 120
_BY_REFERENCE: Final = "return what expressions read as a small field of its own"
_CLAIM_ZERO: Final = datetime(1, 1, 1, tzinfo=UTC)
"""Inside CEL, claim number n is this moment plus n seconds: a value without any field."""
_CLAIM_LAST: Final = datetime(2, 1, 1, tzinfo=UTC)


class ExpressionFailed(UsageError):
    """An expression has no value here; mend it, or the output that it reads."""

    code = "expression"

    def __init__(self, expression: str, reason: str) -> None:
        super().__init__(expression, reason)
        self.expression = expression
        self.reason = reason

    def __str__(self) -> str:
        return f"{shown(self.expression)}: {self.reason}"


class Formula:
    """One compiled expression.

    Raises:
        SyntaxFault: The text is not an expression.
    """

    __slots__ = ("_claims_of", "_functions", "_program", "_read", "faults", "reads", "source")

    def __init__(self, source: str) -> None:
        self.source: Final = source.strip()
        parsed = parse(self.source)
        self.faults: Final[tuple[Fault, ...]] = tuple(dict.fromkeys(parsed.faults))
        self.reads: Final[tuple[Read, ...]] = _reads_of(parsed)
        self._read = None if parsed.reference is None else reader(parsed.reference)
        self._program = None if self.faults or self._read is not None else _compile(parsed.text)
        named = () if self._program is None else self._program.functions()
        self._functions = tuple(name for name in named if name in Functions.NAMES)

    def evaluate(self, scope: Scope) -> Json:
        """The value for this scope. A plain path gives the very object in the scope, uncopied.

        Raises:
            ExpressionFailed: Something is missing, or of a kind that the expression cannot use.
        """
        if self._read is not None:
            try:
                return self._read(scope)
            except Unreadable as error:
                raise ExpressionFailed(self.source, str(error)) from None
        return self._compute(scope)

    def _compute(self, scope: Scope) -> Json:
        assert self._program is not None, "an expression with faults is not evaluated"
        variables: dict[str, Any] = {}
        unreadable: dict[str, str] = {}
        claims: list[Json] = []
        for read in self.reads:
            try:
                variables[read.name] = _take(read, scope, claims)
            except Unreadable as error:  # fails only if CEL comes to need it: `has(a.b) && a.b > 1`
                unreadable[read.name] = str(error)
        functions = Functions()
        for name in self._functions:
            variables[name] = functions.named(name)
        try:
            value = self._program.execute(variables)
            if not functions.faults:
                return _from_cel(value, claims)
            reason = functions.faults[0]
        except Unreadable as error:
            reason = str(error)
        except _CEL_ERRORS as error:
            first = functions.faults[0] if functions.faults else ""
            reason = first or _reason(error, unreadable)
        if claims and reason not in unreadable.values():
            largest = max(size_of_claim(claim) for claim in claims)
            reason = f"{reason}; mind that a value of {largest} bytes travels by reference: "
            reason += _BY_REFERENCE
        raise ExpressionFailed(self.source, reason)


class Unreadable(Exception):
    """A path leads nowhere; the message says how far it leads. Never leaves this package."""


def shown(source: str) -> str:
    """An expression as messages name it: on one line, cut where it is long."""
    text = " ".join(source.split())
    if len(text) > _SOURCE_SHOWN_MAX:
        text = f"{text[:_SOURCE_SHOWN_MAX]}…"
    return f"${{ {text} }}" if text else "${ }"


def reader(path: Path) -> Callable[[Scope], Json]:
    """A function that reads this path, and raises `Unreadable`."""
    root, *rest = path

    def read(scope: Scope) -> Json:
        try:
            value = scope[str(root)]
            for key in rest:
                value = value[key]
        except (KeyError, TypeError, IndexError):
            raise Unreadable(_why(path, scope)) from None
        return value

    def read_checked(scope: Scope) -> Json:
        reason = _why(path, scope)  # an index would also pick a letter out of a text
        if reason:
            raise Unreadable(reason)
        return read(scope)

    return read_checked if any(isinstance(key, int) for key in rest) else read


def is_claim(value: Json) -> bool:
    """Whether `value` stands for something kept elsewhere."""
    return isinstance(value, dict) and len(cast("dict[str, Json]", value)) == 1 and CLAIM in value


def holds_claim(value: Json) -> bool:
    """Whether there is a claim in `value`, at any depth."""
    if isinstance(value, dict):
        fields = cast("dict[str, Json]", value)
        return is_claim(fields) or any(holds_claim(field) for field in fields.values())
    return isinstance(value, list) and any(holds_claim(item) for item in cast("list[Json]", value))


def size_of_claim(claim: Json) -> int:
    """How many bytes the claim stands for; 0 if it does not say."""
    artifact = claim[CLAIM]
    return artifact.get("size_bytes", 0) if isinstance(artifact, dict) else 0  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - JSON from outside


def by_reference(what: str, claim: Json) -> str:
    """Why an expression cannot look into a claim, and what to do about it."""
    return f"{what} travels by reference ({size_of_claim(claim)} bytes); {_BY_REFERENCE}"


_CEL_ERRORS: Final = (
    ValueError,
    TypeError,
    LookupError,
    RuntimeError,
    ArithmeticError,
)


def _reads_of(parsed: Parsed) -> tuple[Read, ...]:
    if parsed.reference is not None:
        return (Read("", parsed.reference, "value"),)
    return parsed.reads


def _compile(text: str) -> cel.Program:
    try:
        return cel.compile(text)
    except ValueError as error:
        if "Recursion limit" in str(error):
            raise SyntaxFault("it has too many steps; let a task compute this") from None
        found = re.search(r"<input>:\d+:\d+: (.*)", str(error))
        reason = found.group(1) if found else str(error).splitlines()[0]
        raise SyntaxFault(reason.removeprefix("Syntax error: ")) from None


# --- from the scope into CEL ------------------------------------------------------------------


def _take(read: Read, scope: Scope, claims: list[Json]) -> Any:
    if read.want == "presence":
        return _is_present(read.path, scope)
    value = reader(read.path)(scope)
    if is_claim(value):
        raise Unreadable(by_reference(show(read.path), value))
    match read.want:
        case "value":
            return _into_cel(value, claims)
        case "size":
            if isinstance(value, (str, list, Mapping)):
                return len(cast("str | list[Json]", value))
            raise Unreadable(
                f"{show(read.path)} is {kind_of(value)}; only text, lists and objects have a size"
            )
        case "keys" | "chunks":
            items = _items(read.path, value)
            if read.want == "keys":
                return _into_cel(items, claims)
            starts = range(0, len(items), CHUNK_ITEMS)
            return [_into_cel(items[at : at + CHUNK_ITEMS], claims) for at in starts]


def _items(path: Path, value: Json) -> list[Json]:
    if isinstance(value, list):
        return cast("list[Json]", value)
    if isinstance(value, Mapping):
        return sorted(cast("Mapping[str, Json]", value))
    raise Unreadable(f"{show(path)} is {kind_of(value)}, where a list or an object is needed")


def _is_present(path: Path, scope: Scope) -> bool:
    """What `has` says: no step on the way is missing or null. A claim on the way is an error."""
    value: Json = scope
    for at, key in enumerate(path):
        if at > 1 and is_claim(value):
            raise Unreadable(by_reference(show(path[:at]), value))
        if not _holds(value, key):
            return False
        value = value[key]
    return value is not None or path[0] != "tasks" or len(path) > 2


def _holds(value: Json, key: str | int) -> bool:
    if isinstance(value, list):
        return isinstance(key, int) and key < len(cast("list[Json]", value))
    return isinstance(value, Mapping) and key in value


def _into_cel(value: Json, claims: list[Json]) -> Json:
    plain: Json = value
    if isinstance(value, Mapping) and not isinstance(value, dict):
        plain = dict(cast("Mapping[str, Json]", value))
    return _hidden(plain, claims) if holds_claim(plain) else plain


def _hidden(value: Json, claims: list[Json]) -> Json:
    """The same value with a moment in place of each claim."""
    if is_claim(value):
        claims.append(value)
        return _CLAIM_ZERO + timedelta(seconds=len(claims) - 1)
    if isinstance(value, dict):
        fields = cast("dict[str, Json]", value)
        return {key: _hidden(field, claims) for key, field in fields.items()}
    if isinstance(value, list):
        return [_hidden(item, claims) for item in cast("list[Json]", value)]
    return value


# --- and back ---------------------------------------------------------------------------------


def _from_cel(value: Any, claims: list[Json]) -> Json:
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            if not math.isfinite(value):
                raise Unreadable(f"it gives {value}, a number that JSON does not have")
            return value
        case list():
            return [_from_cel(item, claims) for item in cast("list[Any]", value)]
        case dict():
            return _object_from_cel(cast("dict[Any, Any]", value), claims)
        case datetime():
            return _moment_from_cel(value, claims)
        case timedelta():
            return f"{value.total_seconds():.6f}".rstrip("0").rstrip(".") + "s"
        case _:
            raise Unreadable(
                f"it gives {type(value).__name__}, which JSON does not have; convert it to text"
            )


def _object_from_cel(fields: dict[Any, Any], claims: list[Json]) -> dict[str, Json]:
    """An object with its fields in order: the library's own order differs from run to run."""
    if not all(isinstance(key, str) for key in fields):
        raise Unreadable("it gives an object with a key that is no text; write the key in quotes")
    return {key: _from_cel(fields[key], claims) for key in sorted(fields)}


def _moment_from_cel(value: datetime, claims: list[Json]) -> Json:
    if value == FAILED or not _CLAIM_ZERO <= value < _CLAIM_LAST:
        return value.isoformat().replace("+00:00", "Z")
    return claims[round((value - _CLAIM_ZERO).total_seconds())]


# --- why there is no value --------------------------------------------------------------------


def _why(path: Path, scope: Scope) -> str:
    """How far a path leads, and why not further; empty if it leads to a value."""
    value: Json = scope
    for at, key in enumerate(path):
        holds = not (at > 1 and is_claim(value)) and _holds(value, key)
        if not holds:
            return _stop(path, at, value)
        value = value[key]
    return ""


def _stop(path: Path, at: int, value: Json) -> str:
    here, key = show(path[:at]) if at else "", path[at]
    wanted = f"[{key}]" if isinstance(key, int) else f"field {key!r}"
    if at == 0:
        return f"there is no {key!r} here"
    if path[:at] == ("tasks",):
        return f"task {key!r} has no output yet"
    if is_claim(value):
        return by_reference(here, value)
    if value is None:
        skipped = " (was the task skipped?)" if path[0] == "tasks" and at == 2 else ""
        return f"{here} is null{skipped}, so it has no {wanted}; ask has({show(path[: at + 1])})"
    if isinstance(value, Mapping):
        keys = sorted(map(str, cast("Mapping[str, Json]", value)))
        shown = ", ".join(keys[:_KEYS_SHOWN_MAX]) + (", …" if len(keys) > _KEYS_SHOWN_MAX else "")
        return f"{here} has no {wanted}; it has {shown or 'none at all'}"
    if isinstance(value, list):
        count = len(cast("list[Json]", value))
        hint = "" if isinstance(key, int) else f"; pick an item ({here}[0]) or map over them"
        return f"{here} is a list of {count}, so it has no {wanted}{hint}"
    return f"{here} is {kind_of(value)}, so it has no {wanted}"


def _reason(error: Exception, unreadable: Mapping[str, str]) -> str:
    """An error of the CEL library in words for the author of the expression."""
    text = str(error)
    undefined = re.match(r"Undefined variable or function: '(\w+)'", text)
    if undefined is not None:
        name = undefined.group(1)
        if name in unreadable:
            return unreadable[name]
        if name in FUNCTIONS:
            return f"{name}(…) cannot take the value that it is given"
    if isinstance(error, KeyError):
        return f"an object in it has no field {text}; ask has(…) first"
    if isinstance(error, TypeError):
        return (
            "a value in it is of the wrong kind (text where a number is needed, say, or nothing "
            "that is true or false); convert with string(…), int(…) or double(…)"
        )
    named = re.sub(r"^Function '(\w+)' error: ", r"\1(…): ", text)
    return re.sub(r"(\. (Check|The value|CEL) |\n).*", "", named, flags=re.DOTALL).rstrip(".:")
