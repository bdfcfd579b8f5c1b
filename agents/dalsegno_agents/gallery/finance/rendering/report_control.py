"""The report's sections on trust: anomalies, compliance, reconciliation, method and formulas.

Owns which tables tell of what was found and how it was computed.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from dalsegno_agents.gallery.finance.model import (
    Analysis,
    Anomaly,
    Figure,
    Finding,
    Omission,
    Reconciliation,
    Review,
    Series,
    Summary,
)
from dalsegno_agents.gallery.finance.rendering.page import (
    NOTHING,
    Block,
    Cell,
    Chart,
    Charts,
    Column,
    Grid,
    Pairs,
    Prose,
    Section,
)
from dalsegno_agents.gallery.finance.rendering.plots import columns
from dalsegno_agents.gallery.finance.rendering.report_results import Results
from dalsegno_agents.gallery.finance.rendering.report_words import (
    Approval,
    money_cell,
    places,
)
from dalsegno_agents.gallery.finance.summary.facts import KIND_NAMES, counted, in_words, listed
from dalsegno_agents.gallery.finance.units import shown

ROWS_MAX: Final = 40
"""So many anomalies, findings and differences are listed; the appendix has all."""
CHARTS_MAX: Final = 4
_STATES: Final = {
    "approved": "Approved",
    "refused": "Refused",
    "missing": "None on record",
    "not needed": "Not needed: no finding is critical",
}


def anomalies_section(results: Results) -> Section:
    """What the tests of the books found, the gravest first, with a picture where one helps."""
    analysis = results.analysis
    found = analysis.anomalies
    rows = tuple(
        (
            Cell(text=one.severity.capitalize(), tone=one.severity),
            Cell(
                text=KIND_NAMES[one.kind],
                tone="strong",
                note=one.explanation,
            ),
            Cell(text=one.entity or NOTHING, note=one.period),
            Cell(text=places(one.evidence) or NOTHING, tone="muted"),
            money_cell(one.amount_cents, analysis.currency),
        )
        for one in found[:ROWS_MAX]
    )
    blocks: list[Block] = [
        Grid(
            columns=(
                Column(title="Severity", share=0.95),
                Column(title="What", share=4.2),
                Column(title="Where", share=0.9),
                Column(title="Evidence", share=1.7),
                Column(title="At stake", share=1.5, is_number=True),
            ),
            rows=rows,
            empty="The tests of the books found nothing.",
            stacks=True,
        )
    ]
    charts = _pictures(results, found)
    if charts:
        blocks.append(Charts(charts=tuple(charts)))
    return Section(
        id="anomalies",
        title="Anomalies",
        lead=_tally(found, "anomaly", "anomalies"),
        blocks=tuple(blocks),
    )


def _tally(found: Sequence[Anomaly] | Sequence[Finding], singular: str, plural: str) -> str:
    if not found:
        return ""
    parts = [
        f"{in_words(count)} {severity}"
        for severity in ("critical", "high", "medium", "low")
        if (count := sum(one.severity == severity for one in found))
    ]
    text = f"{counted(len(found), singular, plural)}: {listed(parts)}."
    more = f" The first {ROWS_MAX} are listed." if len(found) > ROWS_MAX else ""
    return f"{text[0].upper()}{text[1:]}{more}"


def _pictures(results: Results, found: Iterable[Anomaly]) -> list[Chart]:
    """Months of accounts out of line, and first digits that look unnatural."""
    series = {one.id: one for one in results.analysis.series}
    expected = series.get("benford/expected")
    charts: dict[str, Chart] = {}
    for one in found:
        first = one.evidence[0] if one.evidence else None
        if one.kind in {"outlier", "gap"} and first is not None:
            months = series.get(f"account/{first.entity}/{first.account}")
            if months is not None:
                charts.setdefault(months.id, _months(results, months, found))
        if one.kind == "benford" and expected is not None:
            for digits in _bent_digits(series.values(), one):
                charts.setdefault(digits.id, _digits(results, digits, expected))
    return list(charts.values())[:CHARTS_MAX]


def _bent_digits(series: Iterable[Series], anomaly: Anomaly) -> list[Series]:
    """The series of first digits that an anomaly is about."""
    own = [one for one in series if one.id.startswith(f"benford/{anomaly.entity}/")]
    named = [one for one in own if one.id.rpartition("/")[2] in anomaly.explanation]
    return (named or own)[:1]


def _months(results: Results, series: Series, found: Iterable[Anomaly]) -> Chart:
    _, entity, account = series.id.split("/", 2)
    marked = frozenset(
        reference.period
        for one in found
        if one.kind in {"outlier", "gap"}
        for reference in one.evidence
        if reference.account == account and reference.entity == entity
    )
    return Chart(
        title=series.label,
        drawing=columns(
            results.face,
            series.periods,
            series.values,
            unit=series.unit,
            currency=results.analysis.currency,
            description=f"{series.label}, by month; out of line: {', '.join(sorted(marked))}",
            marked=marked,
        ),
        note=f"Out of line: {', '.join(sorted(marked))}" if marked else "",
    )


def _digits(results: Results, series: Series, expected: Series) -> Chart:
    return Chart(
        title=series.label,
        drawing=columns(
            results.face,
            series.periods,
            series.values,
            unit="ratio",
            currency=results.analysis.currency,
            plan=expected.values,
            names=("Found", "Benford's law"),
            description=f"{series.label}, against Benford's law",
            marked=frozenset(),
        ),
    )


def compliance_section(review: Review, approval: Approval, currency: str) -> Section:
    """Findings of the review, the record of the approval, and which rules were applied."""
    rows = tuple(
        (
            Cell(text=one.severity.capitalize(), tone=one.severity),
            Cell(text=one.title, tone="strong", note=one.message),
            Cell(text=one.rule, tone="muted"),
            money_cell(one.amount_cents, currency),
        )
        for one in review.findings[:ROWS_MAX]
    )
    record = [("Approval", _STATES[approval.state])]
    record.extend(
        (name, value)
        for name, value in (
            ("By", approval.by),
            ("When", approval.at),
            ("Comment", approval.comment),
        )
        if value
    )
    blocks: list[Block] = [
        Pairs(title="Approval record", pairs=tuple(record)),
        Grid(
            title="Findings",
            columns=(
                Column(title="Severity", share=0.95),
                Column(title="Finding", share=5.6),
                Column(title="Rule", share=1.6),
                Column(title="Amount", share=1.5, is_number=True),
            ),
            rows=rows,
            empty="No rule was broken.",
            stacks=True,
        ),
        Prose(paragraphs=(f"Rules applied: {', '.join(review.rules) or 'none'}.",), tone="muted"),
        *_omissions("Rules that could not be applied", review.omitted),
    ]
    return Section(
        id="compliance",
        title="Compliance",
        lead=_tally(review.findings, "finding", "findings"),
        blocks=tuple(blocks),
    )


def _omissions(title: str, omitted: Sequence[Omission]) -> list[Grid]:
    if not omitted:
        return []
    return [
        Grid(
            title=title,
            columns=(Column(title="What", share=1), Column(title="Why", share=2.4)),
            rows=tuple((Cell(text=one.label), Cell(text=one.reason)) for one in omitted),
            stacks=True,
        )
    ]


def reconciliation_section(analysis: Analysis) -> Section:
    """How far the sources agree, and the largest differences."""
    currency = analysis.currency
    rows = tuple(
        (
            Cell(text=one.label, note=one.note),
            Cell(text=f"{one.compared:,}" if one.compared else NOTHING),
            _differences_cell(one),
            Cell(text=shown(one.left_cents, "cents") if one.compared else NOTHING),
            Cell(text=shown(one.right_cents, "cents") if one.compared else NOTHING),
        )
        for one in analysis.reconciliations
    )
    blocks: list[Block] = [
        Grid(
            title=f"Comparisons between sources, {currency}",
            columns=(
                Column(title="Comparison", share=3),
                Column(title="Compared", is_number=True),
                Column(title="Differences", is_number=True),
                Column(title="Left", is_number=True, share=1.6),
                Column(title="Right", is_number=True, share=1.6),
            ),
            rows=rows,
            empty="No two sources could be compared.",
            stacks=True,
        )
    ]
    labels = {one.check: one.label for one in analysis.reconciliations}
    if analysis.differences:
        blocks.append(
            Grid(
                title=f"Largest differences, {currency}",
                columns=(
                    Column(title="Comparison", share=2.6),
                    Column(title="Where", share=2),
                    Column(title="Left", is_number=True, share=1.8),
                    Column(title="Right", is_number=True, share=1.8),
                    Column(title="Difference", is_number=True, share=1.3),
                ),
                rows=tuple(
                    (
                        Cell(text=labels.get(one.check, one.check)),
                        Cell(
                            text=one.document or " ".join(filter(None, (one.account, one.period))),
                            note=one.entity,
                        ),
                        Cell(text=shown(one.left_cents, "cents"), note=one.left.replace("_", " ")),
                        Cell(
                            text=shown(one.right_cents, "cents"), note=one.right.replace("_", " ")
                        ),
                        Cell(text=shown(one.amount_cents, "cents"), tone="strong"),
                    )
                    for one in analysis.differences[:ROWS_MAX]
                ),
                stacks=True,
            )
        )
    return Section(
        id="reconciliation",
        title="Reconciliation",
        lead="Sources that should agree were compared to the cent.",
        blocks=tuple(blocks),
    )


def _differences_cell(one: Reconciliation) -> Cell:
    if not one.compared:
        return Cell(text="not made", tone="muted")
    return Cell(text=f"{one.differences:,}", tone="bad" if one.differences else "good")


def method_section(results: Results, summary: Summary) -> Section:
    """Which tests were made, and how each of the group's figures was computed."""
    analysis = results.analysis
    coverage = analysis.coverage
    checks = Grid(
        title="Tests of the books",
        columns=(
            Column(title="Test", share=1.6),
            Column(title="Method", share=3.2),
            Column(title="Examined", is_number=True, share=0.9),
            Column(title="Result", share=1.9),
        ),
        rows=tuple(
            (
                Cell(text=one.label),
                Cell(text=one.method, tone="muted"),
                Cell(text=f"{one.examined:,}"),
                Cell(text=one.result),
            )
            for one in analysis.checks
        ),
        empty="No test was made.",
        stacks=True,
    )
    own = [
        one for one in analysis.figures if one.entity == "group" and one.period == analysis.period
    ]
    formulas = Grid(
        title="Formulas of the group's figures",
        columns=(
            Column(title="Figure", share=1.5),
            Column(title="Formula and inputs", share=4.2),
            Column(title="Value", is_number=True, share=1.6),
        ),
        rows=tuple(
            (
                Cell(text=one.label),
                Cell(text=one.formula.replace("_cents", ""), note=_inputs(one)),
                Cell(text=shown(one.value, one.unit, analysis.currency), tone="strong"),
            )
            for one in own
        ),
        stacks=True,
    )
    rows = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in coverage.rows.items())
    missing = (
        f" Not given: {', '.join(name.replace('_', ' ') for name in coverage.missing_tables)}."
        if coverage.missing_tables
        else ""
    )
    texts = (
        f" The summary took {counted(summary.attempts, 'text')}." if summary.attempts > 1 else ""
    )
    about = (
        f"Books of {', '.join(coverage.entities)} from {coverage.periods[0]} to "
        f"{coverage.periods[-1]}. Rows: {rows}.{missing} The appendix (xlsx) has every figure with "
        f"its formula and inputs, for each entity and quarter.{texts}"
    )
    return Section(
        id="method",
        title="Method and formulas",
        blocks=(
            Prose(paragraphs=(about,)),
            checks,
            *_omissions("What could not be computed", analysis.omitted),
            formulas,
        ),
    )


def _inputs(figure: Figure) -> str:
    return ", ".join(
        f"{name.removesuffix('_cents')} = {_input(name, value)}"
        for name, value in figure.inputs.items()
    )


def _input(name: str, value: float) -> str:
    return shown(value, "cents") if name.endswith("_cents") else f"{value:,}"
