"""What a summary may speak of: the facts of an analysis, each with an id, in words.

Owns the choice and the wording of single facts; `prose` makes a text of them, and so does a model.
A fact never adds anything up: whatever number it holds stands in the analysis.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from dalsegno_agents.gallery.finance.model import GROUP, Analysis, AnomalyKind, Figure, Kpi, Trend
from dalsegno_agents.gallery.finance.units import Number, Unit, shown

ENTITY_KPIS: Final[tuple[Kpi, ...]] = (
    "revenue",
    "operating_income",
    "operating_margin",
    "budget_variance",
    "budget_variance_operating_income",
)
"""What is told of each entity; of the group, everything is."""
KIND_NAMES: Final[dict[AnomalyKind, str]] = {
    "duplicate": "Duplicate",
    "wrong_sign": "Wrong sign",
    "outlier": "Unusual amount",
    "gap": "Missing entry",
    "source_mismatch": "Sources disagree",
    "unknown_counterparty": "Unknown counterparty",
    "round_amounts": "Round amounts",
    "late_posting": "Late posting",
    "unbalanced": "Unbalanced entry",
    "benford": "Unnatural digits",
}
"""How each kind of anomaly is called."""
DIFFERENCES_TOLD: Final = 10
ANOMALIES_TOLD: Final = 40
_MILLION_CENTS: Final = 100_000_000
_COUNTS: Final = (
    "no",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One thing that is so."""

    id: str
    """The id of the figure, trend or anomaly; what a summary cites."""
    text: str


def brief(value: Number, unit: Unit, currency: str = "") -> str:
    """A value as prose writes it: millions to two digits, smaller sums in full units."""
    if unit != "cents":
        return shown(value, unit, currency)
    sign = "-" if value < 0 else ""
    cents = abs(round(value))
    if cents >= _MILLION_CENTS:
        return f"{currency} {sign}{cents / _MILLION_CENTS:,.2f} million".strip()
    return f"{currency} {sign}{cents / 100:,.0f}".strip()


def in_words(count: int) -> str:
    """`three`, `14`: small counts as words."""
    return _COUNTS[count] if count < len(_COUNTS) else f"{count:,}"


def counted(count: int, singular: str, plural: str = "") -> str:
    """`three anomalies`, `one entity`, `14 checks`."""
    return f"{in_words(count)} {singular if count == 1 else plural or singular + 's'}"


def listed(words: list[str]) -> str:
    """`a, b and c`."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def named(entity: str) -> str:
    """An entity as prose names it."""
    return "the group" if entity == GROUP else entity


class Lookup:
    """Figures and trends of the report's quarter by their names."""

    def __init__(self, analysis: Analysis) -> None:
        self.analysis = analysis
        self._figures = {figure.id: figure for figure in analysis.figures}
        self._trends = {trend.id: trend for trend in analysis.trends}

    def figure(self, kpi: Kpi, entity: str = GROUP) -> Figure | None:
        """A figure of the quarter that the report is on."""
        return self._figures.get(f"{kpi}/{entity}/{self.analysis.period}")

    def trend(self, kpi: Kpi, kind: str, entity: str = GROUP) -> Trend | None:
        """How that figure moved; `kind` is `qoq` or `yoy`."""
        return self._trends.get(f"{kpi}/{entity}/{self.analysis.period}/{kind}")

    def value(self, figure: Figure) -> str:
        """The figure as prose writes it."""
        return brief(figure.value, figure.unit, self.analysis.currency)


def facts_of(analysis: Analysis) -> list[Fact]:
    """What a model is told, the most important first. Holds no row and no name of a person."""
    return [
        *_figures(analysis),
        *_anomalies(analysis),
        *_books(analysis),
    ]


def _figures(analysis: Analysis) -> Iterator[Fact]:
    lookup = Lookup(analysis)
    for entity in (GROUP, *analysis.coverage.entities):
        for figure in analysis.figures:
            if figure.entity != entity or figure.period != analysis.period:
                continue
            if entity != GROUP and figure.kpi not in ENTITY_KPIS:
                continue
            value = shown(figure.value, figure.unit, analysis.currency)
            yield Fact(
                id=figure.id, text=f"{figure.label} of {named(entity)} in {figure.period}: {value}."
            )
            for kind in ("qoq", "yoy"):
                trend = lookup.trend(figure.kpi, kind, entity)
                if trend is not None:
                    yield Fact(id=trend.id, text=_moved(trend, analysis.currency))


def _moved(trend: Trend, currency: str) -> str:
    earlier = "the quarter before" if trend.kind == "qoq" else "the same quarter a year before"
    if trend.unit == "ratio":
        change = f"{trend.change * 100:+.1f} percentage points"
    elif trend.change_ratio is None:
        change = shown(trend.change, trend.unit, currency)
    else:
        change = f"{trend.change_ratio * 100:+.1f} %"
    previous = shown(trend.previous, trend.unit, currency)
    return f"{trend.label} of {named(trend.entity)} against {earlier} ({previous}): {change}."


def _anomalies(analysis: Analysis) -> Iterator[Fact]:
    yield Fact(id="anomalies", text=f"Anomalies found: {len(analysis.anomalies)}.")
    for anomaly in analysis.anomalies[:ANOMALIES_TOLD]:
        kind = KIND_NAMES[anomaly.kind].lower()
        yield Fact(
            id=anomaly.id, text=f"Anomaly, {anomaly.severity}, {kind}: {anomaly.explanation}"
        )


def _books(analysis: Analysis) -> Iterator[Fact]:
    for each in analysis.reconciliations:
        if each.compared:
            yield Fact(
                id=f"reconciliation/{each.check}",
                text=f"{each.label}: {each.differences} differences in {each.compared:,} compared.",
            )
    for difference in analysis.differences[:DIFFERENCES_TOLD]:
        where = " ".join(filter(None, (difference.entity, difference.period, difference.document)))
        left = shown(difference.left_cents, "cents", analysis.currency)
        right = shown(difference.right_cents, "cents", analysis.currency)
        yield Fact(
            id=f"reconciliation/{difference.check}",
            text=f"{where}: {left} in {difference.left}, {right} in {difference.right}.",
        )
    for omission in analysis.omitted:
        yield Fact(id=omission.id, text=f"Not available: {omission.label} ({omission.reason}).")
