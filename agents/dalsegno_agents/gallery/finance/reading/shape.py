"""Brings a raw table to the documented shape, or says which cell does not fit.

Owns parsing: amounts to whole cents, dates, months, words. Pure: rows in, rows out.

Amounts pass through Float64, which is exact to the cent as long as an amount stays below
`AMOUNT_MAX` (2**53 cents are about 9e15); fractions of a cent are rounded half to even.
"""

from collections.abc import Callable
from typing import Final, get_args

import polars as pl

from dalsegno_agents.gallery.finance.reading.raw import ROW, RawTable, closest, listed, refuse
from dalsegno_agents.gallery.finance.sources import (
    TABLES,
    Category,
    Column,
    ColumnType,
    Role,
    Shape,
    Source,
    TableSource,
)
from dalsegno_agents.gallery.finance.tables import DTYPES, schema_of

AMOUNT_MAX: Final = 10**13
"""The largest amount in whole units of the currency."""
CENTS: Final = {"one": 100.0, "cent": 1.0, "thousand": 100_000.0}
WORDS: Final[dict[tuple[Role, str], tuple[str, ...]]] = {
    ("accounts", "category"): get_args(Category),
    ("ledger", "category"): get_args(Category),
    ("budget", "category"): get_args(Category),
    ("balances", "category"): get_args(Category),
    ("invoices", "direction"): ("sales", "purchase"),
    ("invoices", "kind"): ("invoice", "credit_note"),
    ("payments", "direction"): ("in", "out"),
    ("counterparties", "kind"): ("customer", "vendor"),
}
"""Columns that know only these words."""
_NEEDS_A_MONTH: Final = ("ledger", "payroll")
_PARSED: Final = "__parsed__"
_MONTH: Final = "__month__"
_VALUE: Final = "__value__"


def check_mapping(table: TableSource, source: Source) -> None:
    """Refuse a mapping that cannot work, before anything is read.

    Raises:
        TaskRejected: A column is not documented, or a required one is not mapped.
    """
    shapes = {shape.name: shape for shape in TABLES[table.role]}
    place = f"source {source.name!r}, table {table.role!r}"
    for name in table.columns:
        if name not in shapes:
            raise refuse(
                f"{place}: {name!r} is not a column of {table.role!r}{closest(name, shapes)}; "
                f"there are {listed(shapes)}",
                "mapping",
            )
    given = {*table.columns, *(("period", "amount") if table.unpivot else ())}
    missing = [name for name, shape in shapes.items() if shape.required and name not in given]
    if missing:
        raise refuse(
            f"{place}: `columns` must say where {listed(missing)} is "
            f"({shapes[missing[0]].meaning})",
            "mapping",
        )
    if table.role in _NEEDS_A_MONTH and not given & {"date", "period"}:
        raise refuse(f"{place}: `columns` must say where 'date' or 'period' is", "mapping")


def shaped(raw: RawTable, table: TableSource, source: Source) -> pl.DataFrame:
    """The rows of `raw` with every documented column of its role, null where unmapped.

    Raises:
        TaskRejected: A value is missing, or is not what its column holds; names the cell.
    """
    mapping = {name: _column(given) for name, given in table.columns.items()}
    if table.unpivot is not None:
        raw, added = _unpivoted(raw, table)
        mapping |= added
    series = {
        shape.column: _Reader(raw, table, source, shape)(mapping.get(shape.name))
        for shape in TABLES[table.role]
    }
    frame = pl.DataFrame(series, schema=schema_of(table.role))
    if table.role in _NEEDS_A_MONTH:
        frame = frame.with_columns(
            pl.coalesce("period", pl.col("date").dt.strftime("%Y-%m")).alias("period")
        )
        _refuse_null(raw, frame["period"], "period", "neither a period nor a date")
    return frame


def _column(given: str | Column) -> Column:
    return Column(name=given) if isinstance(given, str) else given


def _unpivoted(raw: RawTable, table: TableSource) -> tuple[RawTable, dict[str, Column]]:
    """A row per month in place of a column per month. Empty cells make no row."""
    assert table.unpivot is not None
    kept = {ROW, *(name for one in table.columns.values() for name in _names(one))}
    months = [name for name in raw.frame.columns if name not in kept]
    frame = raw.frame.unpivot(
        on=months,
        index=[name for name in raw.frame.columns if name in kept],
        variable_name=_MONTH,
        value_name=_VALUE,
    ).filter(pl.col(_VALUE).is_not_null())
    letters = dict(raw.letters)
    long = RawTable(frame=frame, place=raw.place, row_word=raw.row_word, letters=letters)
    return long, {
        "period": Column(name=_MONTH, format=table.unpivot.format),
        "amount": Column(name=_VALUE),
    }


def _names(given: str | Column) -> list[str]:
    column = _column(given)
    return [name for name in (column.name, column.minus) if name is not None]


class _Reader:
    """Reads one documented column out of a raw table."""

    def __init__(self, raw: RawTable, table: TableSource, source: Source, shape: Shape) -> None:
        self._raw = raw
        self._table = table
        self._decimal = "." if source.kind == "xlsx" else source.decimal
        self._shape = shape

    def __call__(self, column: Column | None) -> pl.Series:
        shape, height = self._shape, self._raw.frame.height
        if column is None:
            return pl.Series(shape.column, [None] * height, dtype=DTYPES[shape.type])
        if column.constant is not None:
            raw = pl.Series(column.constant, [column.constant] * height, dtype=pl.String)
            return self._parsed(raw, column)
        assert column.name is not None
        series = self._parsed(self._raw.frame[column.name], column)
        if column.minus is not None:
            other = self._parsed(self._raw.frame[column.minus], column)
            series = series.fill_null(0) - other.fill_null(0)
        if shape.required:
            _refuse_null(self._raw, series, column.name, "empty")
        return series

    def _parsed(self, raw: pl.Series, column: Column) -> pl.Series:
        raw = _worded(raw, column)
        parse: dict[ColumnType, Callable[[pl.Series, Column], pl.Series]] = {
            "text": self._text,
            "money": self._money,
            "number": self._number,
            "date": self._date,
            "period": self._period,
        }
        return parse[self._shape.type](raw, column)

    def _text(self, raw: pl.Series, column: Column) -> pl.Series:
        del column
        text = _text_of(raw)
        words = WORDS.get((self._table.role, self._shape.name))
        if words is not None:
            known = text.is_in(words) | text.is_null()
            self._refuse(raw, known, f"not one of {', '.join(words)}; map it with `values`")
        return text

    def _money(self, raw: pl.Series, column: Column) -> pl.Series:
        units = self._number(raw, column)
        self._refuse(raw, units.is_null() | (units.abs() < AMOUNT_MAX), "too large an amount")
        return (units * CENTS[self._table.unit]).round(0).cast(pl.Int64)

    def _number(self, raw: pl.Series, column: Column) -> pl.Series:
        del column
        if raw.dtype.is_numeric():
            number = raw.cast(pl.Float64)
            self._refuse(raw, number.is_null() | number.is_finite(), "not a number")
            return number
        text = _text_of(raw)
        number = _number_of(text, self._decimal)
        self._refuse(raw, text.is_null() | number.is_not_null(), "not a number")
        return number

    def _date(self, raw: pl.Series, column: Column) -> pl.Series:
        if raw.dtype.is_temporal():
            return raw.cast(pl.Date)
        text = _text_of(raw)
        if column.format is None:
            day = text.str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False)
            wanted = "a date (YYYY-MM-DD; else give `format`)"
        else:
            day = self._formatted(text, column.format)
            wanted = f"a date like {column.format!r}"
        self._refuse(raw, text.is_null() | day.is_not_null(), f"not {wanted}")
        return day

    def _period(self, raw: pl.Series, column: Column) -> pl.Series:
        if raw.dtype.is_temporal():
            return raw.cast(pl.Date).dt.strftime("%Y-%m")
        text = _text_of(raw)
        if column.format is None:
            day = (text.str.slice(0, 7) + "-01").str.to_date("%Y-%m-%d", strict=False)
            wanted = "a month (YYYY-MM; else give `format`)"
        else:
            day = self._formatted("01 " + text, f"%d {column.format}")
            wanted = f"a month like {column.format!r}"
        self._refuse(raw, text.is_null() | day.is_not_null(), f"not {wanted}")
        return day.dt.strftime("%Y-%m")

    def _formatted(self, text: pl.Series, form: str) -> pl.Series:
        try:
            return text.str.to_date(form, strict=False)
        except pl.exceptions.PolarsError as error:
            raise refuse(
                f"{self._raw.place}: {form!r} is not a format of dates, such as '%d.%m.%Y'",
                "mapping",
            ) from error

    def _refuse(self, raw: pl.Series, fits: pl.Series, complaint: str) -> None:
        """Raise for the first row that does not fit, naming its cell and what stands there."""
        if fits.all():
            return
        position = fits.fill_null(False).arg_min() or 0
        number, name, count = self._raw.frame[ROW][position], raw.name, (~fits).sum()
        if name == _VALUE:
            name = self._raw.frame[_MONTH][position]
        more = f" ({count - 1} more such rows)" if count > 1 else ""
        raise refuse(
            f"{self._raw.cell(number, name)}: {raw[position]!r} is {complaint}{more}",
            "value",
            place=self._raw.place,
            row=number,
            column=name,
            text=str(raw[position]),
        )


def _worded(raw: pl.Series, column: Column) -> pl.Series:
    """The source's words in ours, and the default where there is none."""
    if column.values:
        text = _text_of(raw)
        raw = text.replace(column.values).alias(raw.name)
    if column.default is not None:
        raw = _text_of(raw).fill_null(column.default).alias(raw.name)
    return raw


def _text_of(raw: pl.Series) -> pl.Series:
    """As text, without surrounding blanks; blank is null. A whole Float64 loses its `.0`."""
    text = raw.cast(pl.String).str.strip_chars()
    if raw.dtype.is_float():
        text = text.str.replace(r"\.0$", "")
    return text.to_frame().select(pl.when(pl.all().str.len_chars() > 0).then(pl.all())).to_series()


def _number_of(text: pl.Series, decimal: str) -> pl.Series:
    """Numbers as people write them: `1,234.50`, `1234.5`, `(12.00)`, `12.00-`; else null.

    A group of digits must be whole, so that `1.234,56` read with the wrong `decimal` is refused and
    not taken for 1.23456.
    """
    group, point = (
        (r"[,'\s\u00a0\u202f]", r"\.") if decimal == "." else (r"[.'\s\u00a0\u202f]", ",")
    )
    amount = rf"(?:\d{{1,3}}(?:{group}\d{{3}})+|\d+)?(?:{point}\d*)?(?:[eE][+-]?\d+)?"
    grammar = rf"^(?:[+-]?{amount}|{amount}-|\({amount}\))$"
    value = pl.all()
    digits = value.str.replace_all(group, "").str.replace(point, ".").str.replace_all(r"[()+-]", "")
    exponent = value.str.contains(r"[eE]")
    negative = value.str.contains(r"^[-(]|-$")
    plain = digits.cast(pl.Float64, strict=False)
    scientific = (
        value.str.replace_all(group, "").str.replace(point, ".").cast(pl.Float64, strict=False)
    )
    number = (
        pl.when(~value.str.contains(grammar))
        .then(None)
        .when(exponent)
        .then(scientific)
        .when(negative)
        .then(-plain)
        .otherwise(plain)
    )
    return text.to_frame().select(number).to_series()


def _refuse_null(raw: RawTable, series: pl.Series, column: str, complaint: str) -> None:
    if series.null_count() == 0:
        return
    position = series.is_null().arg_max() or 0
    number = raw.frame[ROW][position]
    more = f" (as in {series.null_count() - 1} more rows)" if series.null_count() > 1 else ""
    raise refuse(
        f"{raw.cell(number, column)} is {complaint}{more}; fill it, take the row out, "
        "or give a `default`",
        "empty-cell",
        place=raw.place,
        row=number,
        column=column,
    )
