"""What stands in the report, from analysis, summary, review and approval.

Owns the order of the sections and what each is for. Shows nothing: it fills the vocabulary of
`page`. The same input gives the same page.
"""

from collections.abc import Iterator
from typing import Final

from dalsegno_agents.gallery.finance.model import Figure, Kpi, ReportTask, Review
from dalsegno_agents.gallery.finance.rendering.page import Notice, Page, Prose, Section, Tile
from dalsegno_agents.gallery.finance.rendering.report_control import (
    anomalies_section,
    compliance_section,
    method_section,
    reconciliation_section,
)
from dalsegno_agents.gallery.finance.rendering.report_results import (
    Results,
    budget_section,
    cash_section,
    performance_section,
)
from dalsegno_agents.gallery.finance.rendering.report_words import (
    Approval,
    approval_of,
    as_of,
    delta_of,
    figure_name,
    period_name,
)
from dalsegno_agents.gallery.finance.rendering.typeface import Typeface
from dalsegno_agents.gallery.finance.summary.facts import counted
from dalsegno_agents.gallery.finance.units import shown

HEADLINE_KPIS: Final[tuple[Kpi, ...]] = (
    "revenue",
    "gross_margin",
    "operating_income",
    "operating_margin",
    "ebitda",
    "net_income",
    "cash",
    "dso",
)
"""The figures at the top, and what the workflow hands back."""
_MILLION_CENTS: Final = 100_000_000


def page_of(task: ReportTask, face: Typeface) -> Page:
    """The whole report."""
    analysis = task.analysis
    results = Results(analysis, face)
    approval = approval_of(task.approval, task.review)
    sections = (
        _summary_section(task),
        performance_section(results),
        budget_section(results),
        cash_section(results),
        anomalies_section(results),
        compliance_section(task.review, approval, analysis.currency),
        reconciliation_section(analysis),
        method_section(results, task.summary),
    )
    return Page(
        company=analysis.company,
        title="Quarterly financial report",
        period=period_name(analysis.period),
        as_of=as_of(analysis.period),
        headline=task.summary.headline,
        notice=_notice(task.review, approval),
        tiles=tuple(_tiles(results)),
        sections=tuple(section for section in sections if section is not None),
        footer=f"{analysis.company} · Financial report {period_name(analysis.period)}",
    )


def headline_figures(task: ReportTask) -> tuple[Figure, ...]:
    """The group's figures that stand at the top."""
    found = (task.analysis.figure(kpi) for kpi in HEADLINE_KPIS)
    return tuple(figure for figure in found if figure is not None)


def _summary_section(task: ReportTask) -> Section:
    summary = task.summary
    source = (
        "Written from the figures without a language model."
        if summary.written_by == "deterministic"
        else f"Written by: {summary.written_by}."
    )
    return Section(
        id="summary",
        title="Executive summary",
        blocks=(
            Prose(paragraphs=summary.paragraphs),
            Prose(
                paragraphs=(f"{source} Every number was checked against the analysis.",),
                tone="muted",
            ),
        ),
    )


def _tiles(results: Results) -> Iterator[Tile]:
    for kpi in HEADLINE_KPIS:
        figure = results.figure(kpi)
        if figure is None:
            continue
        trends = (results.trend(kpi, "qoq"), results.trend(kpi, "yoy"))
        yield Tile(
            label=figure_name(figure),
            value=_short(figure, results.analysis.currency),
            deltas=tuple(delta_of(kpi, trend) for trend in trends if trend is not None),
        )


def _short(figure: Figure, currency: str) -> str:
    if figure.unit == "cents" and abs(figure.value) >= _MILLION_CENTS:
        return f"{currency} {figure.value / _MILLION_CENTS:,.2f} m"
    if figure.unit == "cents":
        return f"{currency} {figure.value / 100:,.0f}"
    return shown(figure.value, figure.unit)


def _notice(review: Review, approval: Approval) -> Notice:
    """The state of the report in one line: clean, approved, or not."""
    if not review.critical:
        found = counted(len(review.findings), "finding")
        return Notice(
            title="No critical findings",
            text=f"The compliance review came to {found}; none is critical."
            if review.findings
            else "The compliance review found nothing.",
            tone="good",
        )
    found = counted(review.critical, "critical finding")
    who = f" by {approval.by}" if approval.by else ""
    when = f" on {approval.at}" if approval.at else ""
    match approval.state:
        case "approved":
            return Notice(
                title=f"Approved{who}{when}",
                text=f"The compliance review came to {found}; publication was approved in "
                "knowledge of it.",
                tone="medium",
            )
        case "refused":
            return Notice(
                title=f"Approval refused{who}{when}",
                text=f"The compliance review came to {found}. This report is not released.",
                tone="critical",
            )
        case "missing" | "not needed":
            return Notice(
                title="No approval on record",
                text=f"The compliance review came to {found}, and nobody has approved.",
                tone="critical",
            )
