"""The agent `finance.analyze`: key figures, trends and anomalies of reconciled books.

Start it with `dalsegno agent dalsegno_agents.gallery.finance.analyze:agent`. It needs the artifact
store, and neither the sources nor a model.
"""

from typing import Any, Final

import polars as pl

from dalsegno_agents.agent import Agent
from dalsegno_agents.context import TaskContext
from dalsegno_agents.gallery.finance.analysis.anomalies import examined
from dalsegno_agents.gallery.finance.analysis.charts import charted
from dalsegno_agents.gallery.finance.analysis.evidence import MATERIAL_SHARE, Evidence
from dalsegno_agents.gallery.finance.analysis.kpis import Measures, figures_of, measured
from dalsegno_agents.gallery.finance.analysis.trends import complete_quarters, trends_of
from dalsegno_agents.gallery.finance.model import (
    GROUP,
    Analysis,
    AnalyzeRequest,
    Books,
    Coverage,
)
from dalsegno_agents.gallery.finance.reading.compare import Frames
from dalsegno_agents.gallery.finance.reading.raw import listed, refuse
from dalsegno_agents.gallery.finance.sources import TABLES
from dalsegno_agents.gallery.finance.tables import read_table

YEAR_MONTHS: Final = 12

agent = Agent(
    "finance-analyze",
    version="1",
    description="Key figures with their formulas, trends, and anomalies of reconciled books",
    concurrency=2,
)


@agent.handles("finance.analyze")
def analyze(request: AnalyzeRequest, context: TaskContext[None]) -> Analysis:
    """Compute the key figures and trends, and test the books for anomalies.

    Raises:
        TaskRejected: The books do not cover the quarter that the report is on.
    """
    books, wanted = request.books, request.request
    quarters = complete_quarters(books.periods)
    if wanted.period not in quarters:
        raise refuse(
            f"the books do not cover {wanted.period}: they go from {books.periods[0]} to "
            f"{books.periods[-1]}; complete are {listed(quarters)}",
            "period",
        )
    context.progress(0.05, "reading the books")
    frames: Frames = {role: read_table(table, context) for role, table in books.tables.items()}
    context.progress(0.2, "key figures")
    measures = measured(frames, books.entities)
    upto = [quarter for quarter in quarters if quarter <= wanted.period]
    figures, omitted = figures_of(measures, books.entities, books.periods, upto)
    evidence = Evidence(
        frames=frames,
        entities=books.entities,
        periods=books.periods,
        currency=wanted.currency,
        material_cents=_material(measures, frames, books),
    )
    findings = examined(evidence, books, lambda label: context.progress(0.6, label.lower()))
    context.progress(0.95, f"{len(figures)} figures, {len(findings.anomalies)} anomalies")
    series = charted(measures, figures, findings.anomalies, frames, books.entities, books.periods)
    return Analysis(
        company=wanted.company,
        currency=wanted.currency,
        period=wanted.period,
        coverage=Coverage(
            entities=books.entities,
            periods=books.periods,
            quarters=tuple(upto),
            rows={role: table.rows for role, table in books.tables.items()},
            missing_tables=tuple(role for role in TABLES if role not in books.tables),
        ),
        figures=tuple(figures),
        omitted=(*omitted, *findings.omitted),
        trends=tuple(trends_of(figures, wanted.period)),
        anomalies=findings.anomalies,
        checks=findings.checks,
        reconciliations=books.reconciliations,
        differences=books.differences,
        series=(*series, *findings.series),
    )


def _material(measures: Measures, frames: Frames, books: Books) -> int:
    """What is material to the whole: a share of the last year's revenue, or of its invoices."""
    year = books.periods[-YEAR_MONTHS:]
    revenue = sum(measures.flows.get((GROUP, "revenue", month), 0) for month in year)
    invoices: Any = frames.get("invoices")
    if revenue <= 0 and invoices is not None:
        months = pl.col("date").dt.strftime("%Y-%m").is_in(list(year))
        sold = invoices.filter((pl.col("direction") == "sales") & months)
        revenue = int(sold["amount_cents"].sum())
    return round(max(revenue, 0) * MATERIAL_SHARE)
