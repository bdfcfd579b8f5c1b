"""A table as its source has it: text or native values under the source's own headers.

Owns finding the headers in a sheet or file, and the words in which every complaint names its place
(file, sheet, row, column). Knows nothing of what the columns mean: `shape` does.
"""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from dalsegno_agents.gallery.finance.sources import Column, TableSource
from dalsegno_bus.errors import TaskRejected

ROW: Final = "__row__"
"""The column with the number of each row as the user's program shows it."""
ROWS_MAX: Final = 5_000_000
"""What one table of a source may hold; above that, ask for less with a query."""
HEADER_SEARCH_ROWS: Final = 20
NAMES_SHOWN_MAX: Final = 20


@dataclass(frozen=True, kw_only=True)
class RawTable:
    """Rows under the source's own headers, and where each stands."""

    frame: pl.DataFrame
    """The wanted columns, and `ROW`."""
    place: str
    """Names the table in a sentence: `sheet 'Budget' of 'plan.xlsx'`."""
    row_word: str = "row"
    letters: Mapping[str, str] = field(default_factory=dict[str, str])
    """A spreadsheet's letter of each column; empty for others."""

    def cell(self, row: int, column: str) -> str:
        """Where a value stands, for a message."""
        letter = self.letters.get(column)
        name = f"column {letter} ({column!r})" if letter else f"column {column!r}"
        return f"{self.place}, {self.row_word} {row}, {name}"


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A sheet or file before anybody knows which row holds the headers."""

    frame: pl.DataFrame
    """Text only, columns by position, every row of the sheet."""
    numbers: Sequence[int]
    """What the user's program calls each row."""
    letters: Sequence[str]
    place: str
    row_word: str = "row"
    merged: Sequence[str] = ()
    """Merged ranges in the header's row, such as `B1:D1`."""


def refuse(message: str, code: str, **detail: object) -> TaskRejected:
    """The error for books that cannot be read as described; its code begins with `books.`."""
    return TaskRejected(message, code=f"books.{code}", detail=detail or None)


def listed(names: Iterable[str]) -> str:
    """Names for a sentence, in quotes, not more than anybody reads."""
    known = list(names)
    shown = ", ".join(repr(name) for name in known[:NAMES_SHOWN_MAX])
    rest = len(known) - NAMES_SHOWN_MAX
    return f"{shown} and {rest} more" if rest > 0 else shown or "none"


def closest(name: str, known: Iterable[str]) -> str:
    """A hint ` (did you mean …?)`, or nothing."""
    found = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {found[0]!r}?)" if found else ""


def wanted_names(table: TableSource) -> tuple[str, ...]:
    """The source's columns that the mapping asks for by name, each once."""
    names: dict[str, None] = {}
    for given in table.columns.values():
        column = Column(name=given) if isinstance(given, str) else given
        names.update((name, None) for name in (column.name, column.minus) if name is not None)
    return tuple(names)


def under_headers(grid: Grid, table: TableSource, *, file: str) -> RawTable:
    """Cut the wanted columns out of a grid.

    Raises:
        TaskRejected: Nothing is there, or a header is missing, merged or there twice.
    """
    index = grid.numbers.index(table.header_row) if table.header_row in grid.numbers else None
    if grid.frame.height == 0 or index is None:
        raise refuse(
            f"{grid.place} is empty: there is no {grid.row_word} {table.header_row} with headers",
            "empty",
            file=file,
        )
    headers = [_header(value) for value in grid.frame.row(index)]
    wanted = [*wanted_names(table), *_months(headers, table)]
    _check_headers(grid, headers, wanted, table, file)
    positions = {name: headers.index(name) for name in wanted}
    body = grid.frame.slice(index + 1)
    frame = body.select(
        *(body.to_series(position).alias(name) for name, position in positions.items()),
        pl.Series(ROW, grid.numbers[index + 1 :], dtype=pl.Int64),
    ).filter(~pl.all_horizontal(pl.col(name).is_null() for name in wanted))
    if frame.height == 0:
        raise refuse(
            f"{grid.place} has headers in {grid.row_word} {table.header_row} "
            "and not one value beneath them",
            "empty",
            file=file,
        )
    return RawTable(
        frame=frame,
        place=grid.place,
        row_word=grid.row_word,
        letters={name: grid.letters[position] for name, position in positions.items()}
        if grid.letters
        else {},
    )


def _header(value: object) -> str:
    text = "" if value is None else " ".join(str(value).split())
    return re.sub(r"^(\d{4}-\d{2}-\d{2}) 00:00:00$", r"\1", text)  # a header that is a date


def _months(headers: Sequence[str], table: TableSource) -> list[str]:
    if table.unpivot is None:
        return []
    try:
        pattern = re.compile(table.unpivot.columns)
    except re.error as error:
        raise refuse(
            f"unpivot.columns {table.unpivot.columns!r} is not a regular expression: {error}",
            "mapping",
        ) from error
    return list(dict.fromkeys(name for name in headers if name and pattern.search(name)))


def _check_headers(
    grid: Grid, headers: Sequence[str], wanted: Sequence[str], table: TableSource, file: str
) -> None:
    where = f"{grid.place}, {grid.row_word} {table.header_row}"
    missing = [name for name in wanted if name not in headers]
    merged = f"; {listed(grid.merged)} is merged: unmerge it" if grid.merged else ""
    if missing:
        raise refuse(
            f"{where} has no header {missing[0]!r}{closest(missing[0], filter(None, headers))}; "
            f"it has {listed(filter(None, headers))}{merged}{_elsewhere(grid, wanted, table)}",
            "header-missing",
            file=file,
            columns=missing,
        )
    if table.unpivot is not None and not _months(headers, table):
        raise refuse(
            f"{where} has no header that matches {table.unpivot.columns!r} (a column per month); "
            f"it has {listed(filter(None, headers))}{merged}",
            "header-missing",
            file=file,
        )
    for name in wanted:
        first = headers.index(name)
        if headers.count(name) > 1:
            raise refuse(
                f"{where} has the header {name!r} {headers.count(name)} times; rename all but one",
                "header-twice",
                file=file,
                column=name,
            )
        if _spans(grid, headers, first, table):
            raise refuse(
                f"{where}: the header {name!r} spans more than one column "
                f"({_span_of(grid, first, table)}); unmerge it and give each column a header",
                "header-merged",
                file=file,
                column=name,
            )


def _spans(grid: Grid, headers: Sequence[str], position: int, table: TableSource) -> bool:
    """Whether the next column has values and no header, or the sheet says that it is merged."""
    if any(_begins(area, grid, position, table) for area in grid.merged):
        return True
    beside = position + 1
    if not grid.letters or beside >= len(headers) or headers[beside]:
        return False
    below = grid.frame.to_series(beside).slice(grid.numbers.index(table.header_row) + 1)
    return below.null_count() < below.len()


def _begins(area: str, grid: Grid, position: int, table: TableSource) -> bool:
    return area.split(":")[0] == f"{grid.letters[position]}{table.header_row}"


def _span_of(grid: Grid, position: int, table: TableSource) -> str:
    for area in grid.merged:
        if _begins(area, grid, position, table):
            return area
    row = table.header_row
    return f"{grid.letters[position]}{row}:{grid.letters[position + 1]}{row}"


def _elsewhere(grid: Grid, wanted: Sequence[str], table: TableSource) -> str:
    """A hint when the headers stand in another row."""
    for number, values in zip(grid.numbers, grid.frame.iter_rows(), strict=True):
        if number > HEADER_SEARCH_ROWS:
            break
        if number != table.header_row and set(wanted) <= {_header(value) for value in values}:
            return f"; they stand in {grid.row_word} {number}: set `header_row: {number}`"
    return ""
