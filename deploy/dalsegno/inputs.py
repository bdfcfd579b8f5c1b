"""What people type where JSON, a duration or a label is meant."""

import sys
from pathlib import Path
from typing import Final

import click
import orjson

from dalsegno_bus.errors import UsageError
from dalsegno_bus.messages import Json
from dalsegno_orchestrator.workflow.grammar.durations import parse_duration

INPUT_BYTES_MAX: Final = 64 * 1024 * 1024
_RUN_DIGITS_MIN: Final = 8


def read_json(text: str | None, option: str) -> Json:
    """The value of an option: JSON, or `@FILE` with JSON in it; `@-` is stdin.

    Raises:
        UsageError: There is no such file, or it is not JSON; says where it goes wrong.
    """
    if text is None:
        return None
    place = option
    if text.startswith("@"):
        place = text[1:]
        text = _read(place, option)
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        hint = "" if place != option else " (a file's name begins with @)"
        raise UsageError(
            f"{place} is not JSON: {error.msg}, line {error.lineno}, column {error.colno}{hint}"
        ) from error


def read_labels(pairs: tuple[str, ...]) -> dict[str, str]:
    """Labels from `key=value`.

    Raises:
        UsageError: One has no `=`.
    """
    labels: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise UsageError(f"--label takes KEY=VALUE, like region=eu, not {pair!r}")
        labels[key] = value
    return labels


def read_seconds(text: str | None, option: str) -> float | None:
    """A duration, in seconds: `90s`, `2m`, `1h`; a bare number counts seconds.

    Raises:
        UsageError: It is neither.
    """
    if text is None:
        return None
    try:
        return float(text) if text.replace(".", "", 1).isdigit() else parse_duration(text)
    except UsageError as error:
        raise UsageError(f"{option}: {error}") from error


def check_reference(reference: str) -> str:
    """A run as people name it: its id, or at least 8 of its first digits.

    Raises:
        UsageError: It can be neither.
    """
    digits = reference.replace("-", "")
    fits = all(character in "0123456789abcdefABCDEF" for character in digits)
    if not fits or not _RUN_DIGITS_MIN <= len(digits) <= len("0" * 32):
        raise UsageError(
            f"{reference!r} is no run: give its id, or its first {_RUN_DIGITS_MIN} digits or more; "
            "dalsegno runs list shows them"
        )
    return reference


def agree(question: str, *, yes: bool) -> bool:
    """Ask a person whether to go on; with `yes`, nobody is asked.

    Raises:
        UsageError: Nobody is there to answer.
    """
    if yes:
        return True
    try:
        return click.confirm(question, err=True)
    except click.Abort as abort:
        if not isinstance(abort.__context__, EOFError):
            raise
        raise UsageError("nobody is there to say yes: give --yes to go on without asking") from None


def _read(path: str, option: str) -> str:
    if path == "-":
        return sys.stdin.read()
    try:
        if Path(path).stat().st_size > INPUT_BYTES_MAX:
            raise UsageError(f"{path!r} is larger than {INPUT_BYTES_MAX // 2**20} MiB")
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path!r} is not UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise UsageError(f"{option}: cannot read {path!r}: {error.strerror}") from error
