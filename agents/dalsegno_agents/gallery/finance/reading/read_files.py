"""Reads workbooks and csv files into grids of text, with every row where the user sees it.

Owns what can be wrong with a file as such: it is not there, the sheet is not, its encoding is
another. Workbooks go through `fastexcel`. A csv file goes through the standard library's reader,
because complaints need line numbers, and polars' reader tells none.
"""

import csv
import html
import io
import re
import zipfile
from pathlib import Path
from typing import Final

import fastexcel
import polars as pl

from dalsegno_agents.gallery.finance.reading.raw import (
    ROWS_MAX,
    Grid,
    RawTable,
    closest,
    listed,
    refuse,
    under_headers,
)
from dalsegno_agents.gallery.finance.sources import Source, TableSource

ENCODINGS_TRIED: Final = ("utf-8-sig", "cp1252", "latin-1")


def read_file(source: Source, table: TableSource) -> RawTable:
    """The wanted columns of one sheet or csv file.

    Raises:
        TaskRejected: The file cannot be read as described; names file, sheet, row and column.
    """
    path = Path(source.path or "")
    if not path.is_file():
        raise refuse(
            f"source {source.name!r}: there is no file {str(path)!r} (looked from {Path.cwd()})",
            "file-missing",
            file=str(path),
        )
    try:
        body = path.read_bytes()
    except OSError as error:
        raise refuse(
            f"source {source.name!r}: {str(path)!r} cannot be read: {error.strerror}",
            "file-unreadable",
            file=str(path),
        ) from error
    if source.kind == "csv":
        return under_headers(_csv_grid(path, body, source), table, file=str(path))
    return under_headers(_sheet_grid(path, body, table), table, file=str(path))


# --- csv --------------------------------------------------------------------------------------


def _csv_grid(path: Path, body: bytes, source: Source) -> Grid:
    place = f"file {str(path)!r}"
    if len(source.separator) != 1:
        raise refuse(f"{place}: `separator` must be one character", "mapping", file=str(path))
    reader = csv.reader(
        io.StringIO(_decoded(path, body, source.encoding), newline=""),
        delimiter=source.separator,
        strict=True,
    )
    records: list[list[str]] = []
    numbers: list[int] = []
    try:
        for record in reader:
            records.append(record)
            numbers.append(reader.line_num)
    except csv.Error as error:
        raise refuse(
            f"{place}, line {reader.line_num} is not csv: {error}", "csv", file=str(path)
        ) from error
    width = max(map(len, records), default=0)
    columns = [
        [record[column].strip() or None if column < len(record) else None for record in records]
        for column in range(width)
    ]
    frame = pl.DataFrame(
        {f"column_{position}": values for position, values in enumerate(columns)},
        schema={f"column_{position}": pl.String for position in range(width)},
    )
    _check_size(frame, place, path)
    return Grid(frame=frame, numbers=numbers, letters=(), place=place, row_word="line")


def _decoded(path: Path, body: bytes, encoding: str) -> str:
    where = f"file {str(path)!r}"
    try:
        text = body.decode("utf-8-sig" if encoding.lower() in {"utf-8", "utf8"} else encoding)
    except LookupError as error:
        raise refuse(
            f"{where}: {encoding!r} is not an encoding{closest(encoding, ENCODINGS_TRIED)}",
            "encoding",
            file=str(path),
        ) from error
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise refuse(
            f"{where}, line {line}: byte {error.start} (0x{body[error.start]:02x}) is not "
            f"{encoding}; set `encoding: {_better(body)}`",
            "encoding",
            file=str(path),
            line=line,
            byte=error.start,
        ) from error
    if _is_utf8_misread(body, text):
        raise refuse(
            f"{where} is UTF-8, not {encoding}: set `encoding: utf-8`", "encoding", file=str(path)
        )
    return text


def _better(body: bytes) -> str:
    if body[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        return "utf-16"
    for encoding in ENCODINGS_TRIED:
        try:
            body.decode(encoding)
        except UnicodeDecodeError:
            continue
        return "utf-8" if encoding == "utf-8-sig" else encoding
    return "latin-1"


def _is_utf8_misread(body: bytes, text: str) -> bool:
    """Whether text outside ASCII was read byte by byte although it is valid UTF-8."""
    if body.isascii() or len(text) < len(body):
        return False
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


# --- xlsx -------------------------------------------------------------------------------------


def _sheet_grid(path: Path, body: bytes, table: TableSource) -> Grid:
    try:
        workbook = fastexcel.read_excel(body)
    except fastexcel.FastExcelError as error:
        raise refuse(
            f"file {str(path)!r} is not a workbook that can be read (xlsx, xlsm, xlsb, xls, ods); "
            "is it password protected, or a csv file?",
            "workbook",
            file=str(path),
        ) from error
    name = table.sheet if table.sheet is not None else workbook.sheet_names[0]
    if name not in workbook.sheet_names:
        raise refuse(
            f"file {str(path)!r} has no sheet {name!r}{closest(name, workbook.sheet_names)}; "
            f"it has {listed(workbook.sheet_names)}",
            "sheet-missing",
            file=str(path),
            sheet=name,
        )
    place = f"sheet {name!r} of {str(path)!r}"
    sheet = workbook.load_sheet_by_name(name, header_row=None, skip_rows=0, dtypes="string")
    frame = sheet.to_polars()
    if frame.width:
        text = pl.all().str.strip_chars()
        frame = frame.select(pl.when(text.str.len_chars() > 0).then(text).name.keep())
    _check_size(frame, place, path)
    markup = _sheet_markup(body, name)
    _check_no_error_cell(markup, place, path)
    return Grid(
        frame=frame,
        numbers=range(1, frame.height + 1),
        letters=[_letters(column.absolute_index) for column in sheet.available_columns()],
        place=place,
        merged=_merged_in_row(markup, table.header_row),
    )


def _letters(position: int) -> str:
    """A column's name in a spreadsheet: 0 is A, 25 is Z, 26 is AA."""
    letters = ""
    position += 1
    while position:
        position, rest = divmod(position - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


def _sheet_markup(body: bytes, sheet: str) -> str:
    """The XML of one sheet, for what the reader does not tell; empty for other formats."""
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as parts:
            book = parts.read("xl/workbook.xml").decode()
            links = parts.read("xl/_rels/workbook.xml.rels").decode()
            for tag in re.findall(r"<sheet\b[^>]*>", book):
                if html.unescape(_attribute(tag, "name")) == sheet:
                    wanted = _attribute(tag, "r:id")
                    target = next(
                        _attribute(link, "Target")
                        for link in re.findall(r"<Relationship\b[^>]*>", links)
                        if _attribute(link, "Id") == wanted
                    )
                    return parts.read(f"xl/{target.removeprefix('/xl/')}").decode()
    except (zipfile.BadZipFile, KeyError, StopIteration, UnicodeDecodeError):
        pass  # xls, xlsb and ods keep this elsewhere: their merged headers are seen by their gaps
    return ""


def _attribute(tag: str, name: str) -> str:
    found = re.search(rf'\s{name}="([^"]*)"', tag)
    return found.group(1) if found else ""


def _merged_in_row(markup: str, row: int) -> list[str]:
    areas = re.findall(r'<mergeCell\b[^>]*\bref="([A-Z]+)(\d+):([A-Z]+)(\d+)"', markup)
    return [
        f"{left}{top}:{right}{bottom}"
        for left, top, right, bottom in areas
        if left != right and int(top) <= row <= int(bottom)
    ]


def _check_no_error_cell(markup: str, place: str, path: Path) -> None:
    """A formula's error would read as an empty cell, and its amount would be lost in silence."""
    found = re.search(r'<c r="([A-Z]+)(\d+)"[^>]*\bt="e"[^>]*>.*?<v>([^<]*)</v>', markup, re.DOTALL)
    if found:
        column, row, error = found.groups()
        raise refuse(
            f"{place}, row {row}, column {column}: the formula gives {error}; mend it in the sheet",
            "cell-error",
            file=str(path),
            row=int(row),
            column=column,
        )


def _check_size(frame: pl.DataFrame, place: str, path: Path) -> None:
    if frame.height > ROWS_MAX:
        raise refuse(
            f"{place} has more than {ROWS_MAX:,} rows; split it", "too-large", file=str(path)
        )
