"""How the command line shows things: tables at 80 columns, plain when piped, JSON for programs.

Data goes to stdout, everything else to stderr. Owns no wording but the units of times and sizes.
"""

import os
import shlex
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click
import orjson
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

_STYLES: Final = {
    "completed": "green",
    "failed": "bold red",
    "cancelled": "yellow",
    "abandoned": "yellow",
    "parked": "bold yellow",
    "waiting": "magenta",
    "retrying": "yellow",
    "assigned": "cyan",
    "running": "cyan",
    "paused": "bold yellow",
    "failing": "red",
    "cancelling": "yellow",
    "compensating": "yellow",
    "compensation_failed": "bold red",
    "sleeping": "magenta",
    "repeating": "cyan",
    "delegated": "cyan",
    "proposed": "cyan",
    "planned": "cyan",
    "skipped": "dim",
    "undone": "dim",
}
_CONTROL: Final = dict.fromkeys((*range(9), *range(11, 32), *range(127, 160)))
_UV_RUN: Final = "UV_RUN_RECURSION_DEPTH"
"""uv sets it for what it runs: then `dalsegno` alone is on nobody's path."""
_KIB: Final = 1024
_GAP: Final = 2
"""Between two columns of a table."""
_ROOM_MIN: Final = 8
_MILLISECOND: Final = 0.001


def console(*, to_stderr: bool = False) -> Console:
    """A console that takes what it is given literally: no markup, no emoji, no guessing."""
    return Console(stderr=to_stderr, markup=False, emoji=False, highlight=False)


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS))


def say(message: str) -> None:
    """A message for people, on stderr: stdout belongs to the data."""
    click.echo(message, err=True)


def typed(command: str, folder: Path | None = None) -> str:
    """A command of ours as it works when typed here: with `uv run` in front where that ran us."""
    runner = "uv run " if _UV_RUN in os.environ else ""
    where = "" if folder is None else f" --folder {shlex.quote(str(folder))}"
    return f"{runner}dalsegno {command}{where}"


def clean(words: object) -> str:
    """Somebody else's words on one line, without characters that would steer a terminal."""
    return " ".join(str(words).translate(_CONTROL).split())


def harmless(text: str) -> str:
    """Somebody else's text with its lines and tabs, without what would steer a terminal."""
    return text.translate(_CONTROL)


def counted(count: int, what: str = "run") -> str:
    """So many of them, in words."""
    return f"1 {what}" if count == 1 else f"{count} {what}s"


def cell(words: object, style: str = "", *, indent: int = 0) -> Text:
    """Somebody else's words as a cell of a table; None is a dash."""
    return Text(" " * indent + ("-" if words is None else clean(words)), style=style)


def status(word: str) -> Text:
    """A status in its colour."""
    return Text(clean(word), style=_STYLES.get(word, ""))


def table(
    *headers: str,
    rows: Iterable[Sequence[str | Text]],
    width: int | None = None,
) -> Table:
    """A table. A header that begins with `>` stands over numbers; `*`, `~` get the room there is.

    Under `*`, what does not fit goes on in the next line; under `~` it is cut.

    Args:
        headers: The last one may be `*` or `~`.
        rows: As many cells as headers.
        width: How many characters there are; None: as many as the terminal has.
    """
    made = Table(box=None, pad_edge=False, header_style="bold")
    for header in headers:
        mark = header[0] if header[0] in ">*~" else ""
        made.add_column(
            header.removeprefix(mark),
            justify="right" if mark == ">" else "left",
            no_wrap=mark != "*",
            overflow="fold" if mark == "*" else "ellipsis",
            ratio=1 if mark in {"*", "~"} else None,
        )
    cut = headers[-1].startswith("~")
    cells = [list(row) for row in rows]
    room = _room(headers, cells, width) if cut else 0
    for row in cells:
        if cut:
            row[-1] = _cut(row[-1], room)
        made.add_row(*row)
    return made


def _room(headers: Sequence[str], rows: Sequence[Sequence[str | Text]], width: int | None) -> int:
    """How many characters are left for the last column beside all others."""
    whole = width or console().width
    taken = sum(
        max([cell_len(header.lstrip(">*~")), *(cell_len(str(row[index])) for row in rows)])
        for index, header in enumerate(headers[:-1])
    )
    return max(_ROOM_MIN, whole - taken - _GAP * (len(headers) - 1) - 1)


def _cut(words: str | Text, room: int) -> Text:
    text = words.copy() if isinstance(words, Text) else Text(words)
    text.truncate(room, overflow="ellipsis")
    return text


def seconds(value: float | None) -> str:
    """A duration with its unit, as precise as anyone wants to know it."""
    if value is None:
        return "-"
    if value < _MILLISECOND:
        return "<1 ms"
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def size(count: int) -> str:
    """A number of bytes with its unit."""
    if count < _KIB:
        return f"{count} B"
    if count < _KIB * _KIB:
        return f"{count / _KIB:.1f} KiB"
    return f"{count / _KIB / _KIB:.1f} MiB"


def moment(iso: str | datetime | None) -> str:
    """A time (UTC) to the second, as a row shows it."""
    if iso is None:
        return "-"
    at = datetime.fromisoformat(iso) if isinstance(iso, str) else iso
    return f"{at:%Y-%m-%d %H:%M:%S}"


def is_terminal() -> bool:
    """Whether a person watches stderr, where progress goes."""
    return sys.stderr.isatty()
