"""The report's sections on results: performance, budget, cash and working capital.

Owns which charts and tables tell of figures. Figures that the analysis lacks are left out, and a
section without any is not there.
"""

from typing import Final, Literal

from dalsegno_agents.gallery.finance.model import GROUP, Analysis, Figure, Kpi, Trend
from dalsegno_agents.gallery.finance.rendering.axes import scale_of
from dalsegno_agents.gallery.finance.rendering.page import (
    NOTHING,
    Cell,
    Chart,
    Charts,
    Column,
    Grid,
    Prose,
    Section,
)
from dalsegno_agents.gallery.finance.rendering.plots import Bar, Line, bars, columns, lines
from dalsegno_agents.gallery.finance.rendering.report_words import (
    MoneyScale,
    change_text,
    change_tone,
    figure_name,
    money_scale,
    number_cell,
    period_name,
    short_names,
    signed,
)
from dalsegno_agents.gallery.finance.rendering.typeface import Typeface
from dalsegno_agents.gallery.finance.units import Number, Unit, shown

ENTITIES_MAX: Final = 5
"""So many entities are drawn and listed, the largest first; the appendix has all."""
QUARTERS_MAX: Final = 12
_VARIANCE_REACH: Final = 0.05
_TABLE: Final[tuple[Kpi, ...]] = (
    "revenue",
    "gross_profit",
    "gross_margin",
    "operating_income",
    "operating_margin",
    "ebitda",
    "net_income",
    "cash",
    "dso",
    "dpo",
    "current_ratio",
)
_PLANNED: Final[tuple[tuple[Kpi, Kpi], ...]] = (
    ("budget_revenue", "budget_variance"),
    ("budget_operating_income", "budget_variance_operating_income"),
)
"""Each plan, and what was earned against it."""


class Results:
    """The analysis with its figures by name, and the typeface to draw with."""

    def __init__(self, analysis: Analysis, face: Typeface) -> None:
        self.analysis = analysis
        self.face = face
        self._figures = {figure.id: figure for figure in analysis.figures}
        self._trends = {trend.id: trend for trend in analysis.trends}
        ranked = sorted(
            analysis.coverage.entities, key=lambda entity: -abs(self.value("revenue", entity) or 0)
        )
        kept = set(ranked[:ENTITIES_MAX])
        self.names = short_names(analysis.coverage.entities)
        self.entities = tuple(one for one in analysis.coverage.entities if one in kept)
        self.is_shortened = len(kept) < len(ranked)
        self.quarters = [one for one in analysis.coverage.quarters if one <= analysis.period]
        self.quarters = self.quarters[-QUARTERS_MAX:]

    def figure(self, kpi: Kpi, entity: str = GROUP, period: str | None = None) -> Figure | None:
        """A figure, of the report's quarter unless `period` is given."""
        return self._figures.get(f"{kpi}/{entity}/{period or self.analysis.period}")

    def value(self, kpi: Kpi, entity: str = GROUP, period: str | None = None) -> float | None:
        """A figure's value."""
        found = self.figure(kpi, entity, period)
        return None if found is None else found.value

    def trend(self, kpi: Kpi, kind: Literal["qoq", "yoy"], entity: str = GROUP) -> Trend | None:
        """How a figure moved."""
        return self._trends.get(f"{kpi}/{entity}/{self.analysis.period}/{kind}")

    def history(self, kpi: Kpi, entity: str = GROUP) -> list[float | None]:
        """A figure's value in each quarter that is drawn."""
        return [self.value(kpi, entity, quarter) for quarter in self.quarters]

    def has(self, kpi: Kpi, entity: str = GROUP) -> bool:
        """Whether there is a point to draw."""
        return any(value is not None for value in self.history(kpi, entity))


def performance_section(results: Results) -> Section | None:
    """Revenue and margins by quarter and entity, and the table of key figures."""
    charts = [
        *_revenue_chart(results),
        *_by_entity(results, "revenue", "Revenue by entity", from_zero=True),
        *_margins_chart(results),
        *_by_entity(results, "operating_margin", "Operating margin by entity"),
    ]
    table = _key_figures(results)
    if not charts and not table.rows:
        return None
    notes = ["The group's figures leave out what its entities sell to one another."]
    if results.is_shortened:
        notes.append(f"The {ENTITIES_MAX} largest entities are shown; the appendix has all.")
    notes.extend(
        f"“{results.names[entity]}” is {entity}."
        for entity in results.entities
        if results.names[entity] != entity
    )
    return Section(
        id="performance",
        title="Performance",
        lead=" ".join(notes),
        blocks=(Charts(charts=tuple(charts)), table),
    )


def _revenue_chart(results: Results) -> list[Chart]:
    if not results.has("revenue"):
        return []
    plan = results.history("budget_revenue") if results.has("budget_revenue") else []
    return [
        Chart(
            title="Revenue of the group",
            drawing=columns(
                results.face,
                results.quarters,
                results.history("revenue"),
                unit="cents",
                currency=results.analysis.currency,
                plan=plan,
                description=_described(results, "Revenue of the group by quarter", "revenue"),
            ),
        )
    ]


def _by_entity(results: Results, kpi: Kpi, title: str, *, from_zero: bool = False) -> list[Chart]:
    drawn = [entity for entity in results.entities if results.has(kpi, entity)]
    if len(drawn) < 2:
        return []
    unit: Unit = next(one.unit for one in results.analysis.figures if one.kpi == kpi)
    return [
        Chart(
            title=title,
            drawing=lines(
                results.face,
                results.quarters,
                [
                    Line(name=results.names[entity], values=results.history(kpi, entity))
                    for entity in drawn
                ],
                unit=unit,
                currency=results.analysis.currency,
                description=f"{title}, by quarter",
                from_zero=from_zero,
            ),
        )
    ]


def _margins_chart(results: Results) -> list[Chart]:
    margins: tuple[tuple[str, Kpi], ...] = (
        ("Gross", "gross_margin"),
        ("Operating", "operating_margin"),
    )
    drawn: list[tuple[str, Kpi]] = [(name, kpi) for name, kpi in margins if results.has(kpi)]
    if not drawn:
        return []
    return [
        Chart(
            title="Margins of the group",
            drawing=lines(
                results.face,
                results.quarters,
                [Line(name=name, values=results.history(kpi)) for name, kpi in drawn],
                unit="ratio",
                currency=results.analysis.currency,
                description="Margins of the group by quarter",
                from_zero=True,
            ),
        )
    ]


def _described(results: Results, what: str, kpi: Kpi) -> str:
    figure = results.figure(kpi)
    now = "" if figure is None else shown(figure.value, figure.unit, results.analysis.currency)
    return f"{what}; {period_name(results.analysis.period)}: {now}"


def _key_figures(results: Results) -> Grid:
    present: list[Kpi] = [kpi for kpi in _TABLE if results.figure(kpi) is not None]
    told = [
        figure
        for kpi in present
        for entity in (GROUP, *results.entities)
        if (figure := results.figure(kpi, entity)) is not None
    ]
    scale = money_scale(told, results.analysis.currency)
    rows: list[tuple[Cell, ...]] = []
    for kpi in present:
        group = results.figure(kpi)
        if group is None:
            continue
        unit = f" ({scale.title})" if group.unit == "cents" else ""
        cells = [
            Cell(text=f"{figure_name(group)}{unit}"),
            Cell(text=scale.text(group.value, group.unit), tone="strong"),
        ]
        for kind in ("qoq", "yoy"):
            trend = results.trend(kpi, kind)
            cells.append(
                Cell(text=NOTHING)
                if trend is None
                else Cell(text=change_text(trend), tone=change_tone(kpi, trend))
            )
        for entity in results.entities:
            own = results.figure(kpi, entity)
            cells.append(Cell(text=NOTHING if own is None else scale.text(own.value, own.unit)))
        rows.append(tuple(cells))
    names = (
        "Group",
        "On the quarter",
        "On the year",
        *(results.names[entity] for entity in results.entities),
    )
    return Grid(
        title=f"Key figures of {period_name(results.analysis.period)}",
        columns=(
            Column(title="", share=2.9),
            *(Column(title=name, is_number=True, share=1.15) for name in names),
        ),
        rows=tuple(rows),
    )


def budget_section(results: Results) -> Section | None:
    """Where revenue and operating income stand against the plan."""
    units = (GROUP, *results.entities)
    plans = [
        figure
        for entity in units
        for planned, _ in _PLANNED
        if (figure := results.figure(planned, entity)) is not None
    ]
    scale = money_scale(plans, results.analysis.currency)
    rows = [row for entity in units if (row := _against_plan(results, entity, scale))]
    if not rows:
        return None
    charts = [
        *_variance_chart(results, "budget_variance", "Revenue against budget", _VARIANCE_REACH),
        *_variance_chart(
            results, "budget_variance_operating_income", "Operating income against budget", 0.0
        ),
    ]
    return Section(
        id="budget",
        title="Budget",
        lead="Budgets are held against what is earned outside the group: sales of the entities to "
        "one another do not count.",
        blocks=(
            Charts(charts=tuple(charts)),
            Grid(
                title=f"Actual and budget, {scale.title}",
                columns=(
                    Column(title="", share=1.1),
                    Column(title="Revenue", is_number=True),
                    Column(title="Budget", is_number=True),
                    Column(title="Variance", is_number=True),
                    Column(title="Operating income", is_number=True, share=1.3),
                    Column(title="Budget", is_number=True),
                    Column(title="Variance", is_number=True),
                ),
                rows=tuple(rows),
            ),
        ),
    )


def _actual(plan: Figure, variance: Figure) -> Number:
    """What the plan was held against: an entity's own figure counts sales to the others too."""
    if variance.unit == "cents":
        return plan.value + variance.value
    outside = variance.inputs.get("outside_revenue_cents")
    return plan.value * (1 + variance.value) if outside is None else outside


def _against_plan(results: Results, entity: str, scale: MoneyScale) -> tuple[Cell, ...]:
    cells = [Cell(text=results.names[entity], tone="strong" if entity == GROUP else "")]
    found = False
    for planned, varied in _PLANNED:
        plan, variance = results.figure(planned, entity), results.figure(varied, entity)
        if plan is None or variance is None:
            cells.extend([Cell(text=NOTHING)] * 3)
            continue
        found = True
        text = (
            f"{signed(variance.value * 100)} %"
            if variance.unit == "ratio"
            else signed(variance.value / scale.divisor, 0)
        )
        cells.extend(
            (
                Cell(text=scale.text(_actual(plan, variance), "cents")),
                Cell(text=scale.text(plan.value, "cents")),
                number_cell(text, variance.value),
            )
        )
    return tuple(cells) if found else ()


def _variance_chart(results: Results, kpi: Kpi, title: str, reach: float) -> list[Chart]:
    found = [
        figure
        for entity in (GROUP, *results.entities)
        if (figure := results.figure(kpi, entity)) is not None
    ]
    if not found:
        return []
    scale = scale_of([one.value for one in found], found[0].unit, results.analysis.currency)
    sign = "%" if found[0].unit == "ratio" else scale.title.removeprefix(results.analysis.currency)
    digits = 0 if sign.strip() == "thousand" else 1
    rows = [
        Bar(
            name=results.names[one.entity],
            value=one.value,
            note=f"{signed(one.value * scale.factor, digits)} {sign.strip()}".strip(),
        )
        for one in found
    ]
    unit = "" if found[0].unit == "ratio" else f" ({results.analysis.currency})"
    return [
        Chart(
            title=f"{title}{unit}",
            drawing=bars(results.face, rows, description=title, reach=reach),
        )
    ]


def cash_section(results: Results) -> Section | None:
    """Cash, and how fast customers pay and suppliers are paid."""
    charts: list[Chart] = []
    if results.has("cash"):
        charts.append(
            Chart(
                title="Cash at the end of the quarter",
                drawing=columns(
                    results.face,
                    results.quarters,
                    results.history("cash"),
                    unit="cents",
                    currency=results.analysis.currency,
                    description=_described(results, "Cash of the group by quarter", "cash"),
                ),
            )
        )
    terms: tuple[tuple[str, Kpi], ...] = (("DSO", "dso"), ("DPO", "dpo"))
    drawn: list[tuple[str, Kpi]] = [(name, kpi) for name, kpi in terms if results.has(kpi)]
    if drawn:
        charts.append(
            Chart(
                title="Days until customers pay (DSO) and we pay (DPO)",
                drawing=lines(
                    results.face,
                    results.quarters,
                    [Line(name=name, values=results.history(kpi)) for name, kpi in drawn],
                    unit="days",
                    currency=results.analysis.currency,
                    description="Days sales and payables outstanding by quarter",
                ),
            )
        )
    if not charts:
        return None
    ratio = results.figure("current_ratio")
    text = (
        f"Current assets are {ratio.value:,.2f} times current liabilities."
        if ratio is not None
        else ""
    )
    blocks = (Charts(charts=tuple(charts)), *((Prose(paragraphs=(text,)),) if text else ()))
    return Section(id="cash", title="Cash and working capital", blocks=blocks)
