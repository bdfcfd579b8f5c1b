"""Prints the pieces of output of a run as they come, task by task. Nothing of it is recorded.

What was told before somebody listened is missed, and so may be pieces in between: their numbers
tell how many.
"""

from collections.abc import Callable
from contextlib import aclosing
from typing import Any, Final, TypeAlias

import click
import orjson

from dalsegno.output import harmless
from dalsegno.session import Session
from dalsegno.watch import output_of
from dalsegno_bus.ids import RunId
from dalsegno_bus.messages import Json, Output, RunChanged

STREAMS_MAX: Final = 10_000
"""Of so many attempts, the number of the last piece is remembered."""

_Attempt: TypeAlias = tuple[str, int]


class Stream:
    """Turns pieces into text. Knows no terminal."""

    def __init__(self) -> None:
        self._speaker: _Attempt | None = None
        """Whose piece came last."""
        self._at_line_start = True
        self._next: dict[_Attempt, int] = {}

    def text_of(self, piece: Output) -> str:
        """What to write for one more piece: a heading where another attempt goes on."""
        attempt = (piece.task_id, piece.attempt)
        text = self._heading(attempt) + self._gap(attempt, piece.number) + _words(piece.piece)
        self._at_line_start = text.endswith("\n")
        return text

    def end(self) -> str:
        """What to write when no more pieces come."""
        return "" if self._at_line_start else "\n"

    def _heading(self, attempt: _Attempt) -> str:
        if attempt == self._speaker:
            return ""
        self._speaker = attempt
        task, number = attempt
        again = f", attempt {number}" if number > 1 else ""
        return f"{self.end()}[{harmless(task)}{again}]\n"

    def _gap(self, attempt: _Attempt, number: int) -> str:
        if attempt not in self._next and len(self._next) >= STREAMS_MAX:
            del self._next[next(iter(self._next))]
        missed = number - self._next.get(attempt, 0)
        self._next[attempt] = number + 1
        return f"[… {missed} missed …]" if missed > 0 else ""


async def follow_stream(
    here: Session, run_id: RunId, *, write: Callable[[str], Any], as_json: bool
) -> RunChanged:
    """Write every piece of output of a run until it has ended; return how, with its output.

    With `as_json`, each piece is one line of JSON.
    """
    stream = Stream()
    last: RunChanged | None = None
    async with aclosing(here.client.watch(run_id)) as changes:
        async for change in changes:
            if isinstance(change, Output):
                write(_line(change) if as_json else stream.text_of(change))
            elif isinstance(change, RunChanged):
                last = change
    write("" if as_json else stream.end())
    assert last is not None
    return last.model_copy(update={"output": await output_of(here, last)})


def write_out(text: str) -> None:
    """Write to stdout what a person or a program reads right now."""
    click.echo(text, nl=False)  # flushes


def _line(piece: Output) -> str:
    told = piece.model_dump(mode="json", exclude={"kind", "run_id"})
    return orjson.dumps(told).decode() + "\n"


def _words(piece: Json) -> str:
    if isinstance(piece, str):
        return harmless(piece)
    return orjson.dumps(piece).decode() + "\n"
