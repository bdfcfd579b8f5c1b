"""What may leave an agent: values that JSON can say, to the last number.

JSON has no NaN and no infinity, and encoders write `null` in their place without a word. Here such
a value is refused, with the path to it, so that nobody computes on with a hole.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Any, Final, cast

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from dalsegno_bus.codec import readable
from dalsegno_bus.messages import Json

INTEGER_MIN: Final = -(2**63)
INTEGER_MAX: Final = 2**64 - 1
"""Beyond these, integers are refused: most encoders of JSON, ours too, cannot write them."""

_ANYTHING: Final[TypeAdapter[Any]] = TypeAdapter(Any)


class NotJson(ValueError):
    """A value cannot be said in JSON; the text names where and why."""


def as_json(value: object, kind: TypeAdapter[Any] = _ANYTHING) -> Json:
    """The same value as JSON has it: models, dates, ids and the like become plain values.

    Args:
        value: What to say.
        kind: The type that it was declared with.

    Raises:
        NotJson: It is not of that type, or holds something that JSON cannot say.
    """
    try:
        fitting = kind.validate_python(value)
        plain = kind.dump_python(fitting, mode="json", by_alias=True)
        loose = kind.dump_python(fitting)
        to_json(plain)  # finds text that is no Unicode
    except ValidationError as error:
        raise NotJson(readable(error)) from error
    except ValueError as error:  # pydantic's: a type that it does not know, a circle, too deep
        raise NotJson(str(error)) from error
    # Behind `Any` the encoder turns NaN into None, so the values themselves are looked at as well.
    flaw = _flaw(plain) or _flaw(loose)
    if flaw is not None:
        raise NotJson(flaw.removeprefix(": "))
    return plain


def clean(text: str, *, chars_max: int) -> str:
    """The first `chars_max` of `text`, as every encoder and database takes it.

    Lone surrogates, which JSON does not know, and NUL, which PostgreSQL refuses, are escaped.
    """
    return str(text)[:chars_max].replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()


def _flaw(value: object) -> str | None:
    """The path of the first number that does not survive JSON, and what is wrong with it."""
    if isinstance(value, dict):
        return _flaw_within(cast("dict[object, object]", value).items())
    if isinstance(value, list | tuple | set | frozenset):
        return _flaw_within(enumerate(cast("Iterable[object]", value)))
    if isinstance(value, Iterator):  # read once already: what was in it cannot be looked at
        return ": an iterator can be read only once: return a list"
    if isinstance(value, float) and not math.isfinite(value):
        return f": {value} is no number in JSON"
    if isinstance(value, int) and not INTEGER_MIN <= value <= INTEGER_MAX:
        return f": an integer of {value.bit_length()} bits is too large for JSON"
    return None


def _flaw_within(items: Iterable[tuple[object, object]]) -> str | None:
    for key, item in items:
        flaw = _flaw(item)
        if flaw is not None:
            return f"{key}{flaw}" if flaw.startswith(":") else f"{key}.{flaw}"
    return None
