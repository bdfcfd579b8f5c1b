"""The points behind the report's charts: months and quarters of what matters.

Owns which series there are; draws nothing. Pure.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import polars as pl

from dalsegno_agents.gallery.finance.analysis.kpis import Measures
from dalsegno_agents.gallery.finance.model import GROUP, Anomaly, Figure, Kpi, Series
from dalsegno_agents.gallery.finance.reading.compare import Frames

QUARTERLY: Final[tuple[Kpi, ...]] = (
    "gross_margin",
    "operating_margin",
    "operating_income",
    "dso",
    "dpo",
    "current_ratio",
)


def charted(
    measures: Measures,
    figures: Sequence[Figure],
    anomalies: Iterable[Anomaly],
    frames: Frames,
    entities: Sequence[str],
    periods: Sequence[str],
) -> list[Series]:
    """Monthly revenue and operating income, quarterly ratios, and each account out of line."""
    units = (GROUP, *entities)
    series: list[Series] = []
    for entity in units:
        series.extend(_monthly(measures, entity, periods))
    for kpi in QUARTERLY:
        for entity in units:
            own = [one for one in figures if one.kpi == kpi and one.entity == entity]
            if own:
                series.append(
                    Series(
                        id=f"{kpi}/{entity}",
                        label=own[0].label,
                        entity=entity,
                        unit=own[0].unit,
                        periods=tuple(one.period for one in own),
                        values=tuple(one.value for one in own),
                    )
                )
    ledger = frames.get("ledger")
    if ledger is not None:
        series.extend(_accounts(ledger, anomalies, periods))
    return series


def _monthly(measures: Measures, entity: str, periods: Sequence[str]) -> list[Series]:
    """Revenue, budgeted revenue and cash, month by month."""
    made: list[Series] = []

    def add(name: str, label: str, values: list[int]) -> None:
        made.append(
            Series(
                id=f"{name}/{entity}",
                label=label,
                entity=entity,
                unit="cents",
                periods=tuple(periods),
                values=tuple(values),
            )
        )

    if "revenue" in measures.categories:
        flows = measures.flows
        add("revenue", "Revenue", [flows.get((entity, "revenue", one), 0) for one in periods])
    if measures.has_budget:
        planned = [measures.budget.get((entity, "revenue", one), 0) for one in periods]
        add("budget_revenue", "Budgeted revenue", planned)
    if "cash" in measures.categories:
        cash: list[int] = []
        balance = 0
        for month in periods:
            balance += measures.flows.get((entity, "cash", month), 0)
            cash.append(balance)
        add("cash", "Cash", cash)
    return made


def _accounts(
    ledger: pl.DataFrame, anomalies: Iterable[Anomaly], periods: Sequence[str]
) -> list[Series]:
    """The months of every account that was out of line or had a gap."""
    cells = dict.fromkeys(
        (one.evidence[0].entity, one.evidence[0].account)
        for one in anomalies
        if one.kind in {"outlier", "gap"} and one.evidence[0].account
    )
    made: list[Series] = []
    for entity, account in cells:
        months = dict(
            ledger.filter((pl.col("entity") == entity) & (pl.col("account") == account))
            .group_by("period")
            .agg(cents=pl.col("amount_cents").sum())
            .iter_rows()
        )
        made.append(
            Series(
                id=f"account/{entity}/{account}",
                label=f"Account {account} of {entity}",
                entity=entity,
                unit="cents",
                periods=tuple(periods),
                values=tuple(months.get(month) for month in periods),
            )
        )
    return made
