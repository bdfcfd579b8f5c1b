"""Rows of the documented tables: their polars types, and how they travel as parquet.

The only place that reads or writes the artifact behind a `Table`.
"""

import io
from collections.abc import Sequence
from typing import Any, Final, Literal

import polars as pl

from dalsegno_agents.context import TaskContext
from dalsegno_agents.gallery.finance.model import Books, Table
from dalsegno_agents.gallery.finance.sources import TABLES, ColumnType, Role

DTYPES: Final[dict[ColumnType, pl.DataType]] = {
    "text": pl.String(),
    "money": pl.Int64(),
    "date": pl.Date(),
    "period": pl.String(),
    "number": pl.Float64(),
}
PARQUET: Final = "application/vnd.apache.parquet"


def schema_of(role: Role) -> dict[str, pl.DataType]:
    """The documented columns of a table with their polars types, in order."""
    return {shape.column: DTYPES[shape.type] for shape in TABLES[role]}


def empty(role: Role) -> pl.DataFrame:
    """The table without a row."""
    return pl.DataFrame(schema=schema_of(role))


def read_table(table: Table, context: TaskContext[Any]) -> pl.DataFrame:
    """The rows of a table, with every documented column of its role.

    Raises:
        ArtifactMissing: The artifact store is not the one that they were written to.
    """
    return pl.read_parquet(io.BytesIO(context.artifacts.get(table.artifact)))


def read_role(books: Books, role: Role, context: TaskContext[Any]) -> pl.DataFrame:
    """The rows of one role; without a row where the books have none."""
    table = books.tables.get(role)
    return empty(role) if table is None else read_table(table, context)


def write_table(
    frame: pl.DataFrame,
    *,
    role: Role,
    sources: Sequence[str],
    columns: Sequence[str],
    context: TaskContext[Any],
    sign: Literal["debit", "credit", "natural"] = "debit",
) -> Table:
    """Keep `frame` (with the documented columns) as an artifact and return its table."""
    body = io.BytesIO()
    frame.select(pl.col(name).cast(dtype) for name, dtype in schema_of(role).items()).write_parquet(
        body, compression="zstd", statistics=False
    )
    name = f"{'-'.join(sources)}-{role}.parquet"[:120]
    return Table(
        role=role,
        rows=frame.height,
        columns=tuple(columns),
        sources=tuple(sources),
        sign=sign,
        artifact=context.artifacts.put(body.getvalue(), media_type=PARQUET, name=name),
    )
