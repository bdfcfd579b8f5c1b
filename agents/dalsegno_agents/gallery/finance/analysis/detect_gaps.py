"""Tests of completeness: a regular account, or payroll, without entries in a month of its own.

Completeness is one of the assertions that an audit tests (ISA 315). Pure.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import polars as pl

from dalsegno_agents.gallery.finance.analysis.evidence import Detected, Evidence, left_out, passed
from dalsegno_agents.gallery.finance.model import Anomaly, Reference
from dalsegno_agents.gallery.finance.sources import PROFIT_AND_LOSS

SPAN_MIN: Final = 6
"""A series over fewer months has no rhythm."""
REGULAR_SHARE_MIN: Final = 0.85
"""A series counts as regular when it has entries in this share of its months."""
QUARTERS_MIN: Final = 4


def gaps(evidence: Evidence) -> Detected:
    """A regular account, or payroll, without an entry in a month (or quarter) of its own."""
    check, label = "gaps", "Months without entries"
    ledger = evidence.table("ledger").filter(pl.col("category").is_in(PROFIT_AND_LOSS))
    payroll = evidence.table("payroll")
    if ledger.height == 0 and payroll.height == 0:
        return left_out(check, label, "the books have neither a ledger with categories nor payroll")
    found: list[Anomaly] = []
    examined = 0
    for table, frame, keys in (
        ("ledger", ledger, ["entity", "account"]),
        ("payroll", payroll, ["entity"]),
    ):
        series = frame.group_by(keys).agg(
            pl.col("period").unique().sort(), cents=pl.col("amount_cents").abs().sum()
        )
        examined += series.height
        for row in series.sort(keys).iter_rows(named=True):
            found.extend(
                _gap(evidence, table, row, missing, check)
                for missing in missing_periods(row["period"], evidence.periods)
            )
    return passed(
        check,
        label,
        f"a series with entries in {REGULAR_SHARE_MIN:.0%} of its months, or every third month, "
        "has none in between",
        examined,
        _whole_entities(evidence, found, ledger, check),
    )


def missing_periods(present: Sequence[str], periods: Sequence[str]) -> list[str]:
    """The months that a regular series skips; nothing for one that is not regular.

    Args:
        present: Months with entries, sorted.
        periods: All months of the books, sorted.
    """
    last = periods.index(present[-1])
    # one missing month at the end is a gap, more of them are an account that is no longer used
    end = len(periods) if len(periods) - last <= 2 else last + 1
    span = periods[periods.index(present[0]) : end]
    missing = [month for month in span if month not in set(present)]
    if len(span) >= SPAN_MIN and len(present) >= REGULAR_SHARE_MIN * len(span):
        return missing
    places = [periods.index(month) for month in present]
    steps = {after - before for before, after in pairwise(places)}
    if len(present) >= QUARTERS_MIN and steps == {3, 6}:
        return [periods[at] for at in range(places[0], places[-1], 3) if at not in places]
    return []


def _gap(
    evidence: Evidence, table: str, row: Mapping[str, Any], month: str, method: str
) -> Anomaly:
    typical = row["cents"] // len(row["period"])
    account = row.get("account", "")
    what = f"account {account}" if account else table
    return evidence.anomaly(
        "gap",
        method,
        f"{what.capitalize()} of {row['entity']} has no entry in {month}; in the "
        f"{len(row['period'])} months with entries there are {evidence.money(typical)} on average.",
        [Reference(table=table, entity=row["entity"], period=month, account=account)],
        cents=typical,
        score=float(len(row["period"])),
        entity=row["entity"],
        period=month,
        at_least="medium",
    )


def _whole_entities(
    evidence: Evidence, found: Sequence[Anomaly], ledger: pl.DataFrame, method: str
) -> list[Anomaly]:
    """One anomaly in place of many where all of an entity's month is missing."""
    booked = set(ledger.select("entity", "period").unique().iter_rows())
    cells: dict[tuple[str, str], list[Anomaly]] = {}
    for anomaly in found:
        cells.setdefault((anomaly.entity, anomaly.period), []).append(anomaly)
    kept: list[Anomaly] = []
    for (entity, month), anomalies in cells.items():
        accounts = [one for one in anomalies if one.evidence[0].table == "ledger"]
        if len(accounts) < 2 or (entity, month) in booked:
            kept.extend(anomalies)
            continue
        kept.append(
            evidence.anomaly(
                "gap",
                method,
                f"{entity} has no entry at all in {month}, on none of {len(accounts)} accounts "
                "with entries in the other months.",
                [
                    Reference(table="ledger", entity=entity, period=month),
                    *(one.evidence[0] for one in anomalies),
                ],
                cents=sum(one.amount_cents or 0 for one in accounts),
                score=float(len(accounts)),
                entity=entity,
                period=month,
                at_least="high",
            )
        )
    return kept
