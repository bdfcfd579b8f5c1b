"""Puts the gathered tables together and compares those that should agree.

Owns the unified shape (one table per role, a debit positive, each account with its category) and
the handing over of `Books`. The comparisons themselves are in `compare`.
"""

from collections.abc import Sequence
from typing import Any, Final

import polars as pl

from dalsegno_agents.context import TaskContext
from dalsegno_agents.gallery.finance.model import (
    DIFFERENCES_MAX,
    Books,
    Difference,
    Gathered,
    Table,
)
from dalsegno_agents.gallery.finance.reading.compare import Comparison, Frames, compare_all
from dalsegno_agents.gallery.finance.reading.raw import refuse
from dalsegno_agents.gallery.finance.sources import CREDIT_CATEGORIES, Role
from dalsegno_agents.gallery.finance.tables import empty, read_table, write_table

WITH_CATEGORY: Final[tuple[Role, ...]] = ("ledger", "budget", "balances")
_KEYS: Final[dict[Role, str]] = {"accounts": "account", "counterparties": "counterparty"}
PERIODS_MAX: Final = 600
"""Fifty years of months."""


def reconciled(gathered: Sequence[Gathered], context: TaskContext[Any]) -> Books:
    """All sources as one set of books, kept as artifacts, with every comparison made.

    Raises:
        TaskRejected: No table has an entity and a month: there is nothing to report on.
    """
    context.progress(0.1, "putting the sources together")
    tables: dict[Role, list[Table]] = {}
    for source in gathered:
        for table in source.tables:
            tables.setdefault(table.role, []).append(table)
    notes: list[str] = []
    frames = unified(
        {
            role: [(table, read_table(table, context)) for table in found]
            for role, found in tables.items()
        },
        notes,
    )
    entities, periods = _extent(frames)
    context.progress(0.5, "comparing the sources")
    sources: dict[Role, tuple[str, ...]] = {
        role: tuple(dict.fromkeys(name for table in found for name in table.sources))
        for role, found in tables.items()
    }
    comparisons = compare_all(frames, sources)
    context.progress(0.8, "keeping the books")
    return Books(
        entities=entities,
        periods=periods,
        tables={
            role: write_table(
                frame,
                role=role,
                sources=sources[role],
                columns=_filled(frame),
                context=context,
            )
            for role, frame in frames.items()
        },
        reconciliations=tuple(comparison.reconciliation for comparison in comparisons),
        differences=_largest(comparisons),
        notes=tuple(notes),
    )


def unified(
    tables: dict[Role, list[tuple[Table, pl.DataFrame]]], notes: list[str]
) -> dict[Role, pl.DataFrame]:
    """One frame per role: added together, a debit positive, with categories; adds to `notes`."""
    frames: dict[Role, pl.DataFrame] = {}
    chart_first: list[Role] = ["accounts", *(role for role in tables if role != "accounts")]
    for role in chart_first:
        parts = tables.get(role, [])
        if not parts:
            continue
        if role in WITH_CATEGORY:
            chart = frames.get("accounts", empty("accounts"))
            parts = [
                (table, _debit_positive(_categorized(frame, chart), table))
                for table, frame in parts
            ]
        frame = pl.concat([frame for _, frame in parts])
        key = _KEYS.get(role)
        if key is not None:
            once = frame.unique(key, keep="first", maintain_order=True)
            if once.height < frame.height:
                notes.append(
                    f"{role}: {frame.height - once.height} rows repeat a {key}; the first one holds"
                )
            frame = once
        names = dict.fromkeys(name for table, _ in parts for name in table.sources)
        if len(names) > 1:
            notes.append(f"{role}: added together from {', '.join(names)}")
        frames[role] = frame
    return frames


def _categorized(frame: pl.DataFrame, chart: pl.DataFrame) -> pl.DataFrame:
    """With the category of each account from the chart, where the row has none of its own."""
    joined = frame.join(
        chart.select("account", pl.col("category").alias("charted")),
        on="account",
        how="left",
        maintain_order="left",
    )
    return joined.with_columns(pl.coalesce("category", "charted").alias("category")).drop("charted")


def _debit_positive(frame: pl.DataFrame, table: Table) -> pl.DataFrame:
    match table.sign:
        case "debit":
            return frame
        case "credit":
            return frame.with_columns(-pl.col("amount_cents"))
        case "natural":
            unknown = frame.filter(pl.col("category").is_null())
            if unknown.height:
                raise refuse(
                    f"{table.role} of {', '.join(table.sources)}: `sign: natural` needs to know "
                    f"what account {unknown['account'][0]!r} is; map `category`, or give a source "
                    "with the role `accounts`",
                    "category",
                    account=unknown["account"][0],
                )
            flipped = pl.col("category").is_in(CREDIT_CATEGORIES)
            return frame.with_columns(
                pl.when(flipped)
                .then(-pl.col("amount_cents"))
                .otherwise(pl.col("amount_cents"))
                .alias("amount_cents")
            )


def _filled(frame: pl.DataFrame) -> list[str]:
    return [column.name for column in frame if column.null_count() < frame.height]


def _extent(frames: Frames) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The entities, and every month from the first to the last."""
    entities: set[str] = set()
    months: set[str] = set()
    for role, frame in frames.items():
        if "entity" not in frame.columns or role in {"closings", "budget"}:
            continue
        entities.update(frame["entity"].drop_nulls().unique())
        if "ledger" in frames and role != "ledger":
            continue  # an order of last year does not make last year part of the books
        if "period" in frame.columns:
            months.update(frame["period"].drop_nulls().unique())
        elif "date" in frame.columns:
            months.update(frame["date"].drop_nulls().dt.strftime("%Y-%m").unique())
    if not entities or not months:
        raise refuse(
            "the sources have no row with an entity and a month, so there is nothing to report on; "
            "map at least one of the roles ledger, invoices, payments, balances",
            "nothing",
        )
    periods = months_between(min(months), max(months))
    if len(periods) > PERIODS_MAX:
        raise refuse(
            f"the books go from {periods[0]} to {periods[-1]}, which is more than {PERIODS_MAX} "
            "months; is the year of a date wrong?",
            "period",
        )
    return tuple(sorted(entities)), periods


def months_between(first: str, last: str) -> tuple[str, ...]:
    """Every month from `first` to `last`, both included."""
    begin = int(first[:4]) * 12 + int(first[5:7]) - 1
    end = int(last[:4]) * 12 + int(last[5:7]) - 1
    return tuple(f"{month // 12:04}-{month % 12 + 1:02}" for month in range(begin, end + 1))


def _largest(comparisons: Sequence[Comparison]) -> tuple[Difference, ...]:
    found = [difference for comparison in comparisons for difference in comparison.differences]
    found.sort(key=lambda difference: -abs(difference.amount_cents))
    return tuple(found[:DIFFERENCES_MAX])
