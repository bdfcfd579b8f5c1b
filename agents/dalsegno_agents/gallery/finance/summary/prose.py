"""Writes the executive summary from the facts alone, without a model.

Owns the wording: what changed and why it matters; `prose_books` tells what is anomalous, what
to do, and what it all rests on.
The same analysis gives the same text. Every number in it is one that the analysis states.
"""

from dataclasses import dataclass, field
from typing import Final

from dalsegno_agents.gallery.finance.model import GROUP, Analysis, Figure, Kpi, Trend
from dalsegno_agents.gallery.finance.summary.facts import Lookup, brief, listed
from dalsegno_agents.gallery.finance.summary.prose_books import actions, anomalous, basis, gravest

_FLAT_RATIO: Final = 0.0005
"""Less than this changes no digit that is written."""

_PROFITS: Final[tuple[tuple[Kpi, Kpi, str], ...]] = (
    ("gross_profit", "gross_margin", "Gross profit"),
    ("operating_income", "operating_margin", "operating income"),
)


@dataclass(frozen=True, kw_only=True)
class Text:
    """A summary before it is checked."""

    headline: str
    paragraphs: tuple[str, ...]
    cited: tuple[str, ...]


@dataclass(kw_only=True)
class _Writer:
    """Collects what is cited while sentences are made."""

    lookup: Lookup
    cited: dict[str, None] = field(default_factory=dict[str, None])

    @property
    def analysis(self) -> Analysis:
        return self.lookup.analysis

    def figure(self, kpi: Kpi, entity: str = GROUP) -> Figure | None:
        found = self.lookup.figure(kpi, entity)
        if found is not None:
            self.cited[found.id] = None
        return found

    def trend(self, kpi: Kpi, kind: str, entity: str = GROUP) -> Trend | None:
        found = self.lookup.trend(kpi, kind, entity)
        if found is not None:
            self.cited[found.id] = None
        return found

    def money(self, cents: float) -> str:
        return brief(cents, "cents", self.analysis.currency)


def written(analysis: Analysis) -> Text:
    """The summary of an analysis, in four to six short paragraphs."""
    writer = _Writer(lookup=Lookup(analysis))
    headline = _headline(writer)
    paragraphs = (
        _results(writer),
        _meaning(writer),
        _liquidity(writer),
        anomalous(analysis),
        actions(analysis),
        basis(analysis),
    )
    writer.cited.update((anomaly.id, None) for anomaly in gravest(analysis))
    return Text(
        headline=headline,
        paragraphs=tuple(filter(None, paragraphs)),
        cited=tuple(writer.cited),
    )


# --- what changed -------------------------------------------------------------------------------


def _headline(writer: _Writer) -> str:
    revenue = writer.figure("revenue")
    if revenue is None:
        return f"{writer.analysis.period}: the books do not hold what revenue is computed from"
    trend = writer.trend("revenue", "yoy") or writer.trend("revenue", "qoq")
    value = writer.lookup.value(revenue)
    if trend is None or trend.change_ratio is None:
        return f"Revenue came to {value} in {writer.analysis.period}"
    over = "on the year" if trend.kind == "yoy" else "on the quarter"
    start = f"Revenue {_verb(trend.change_ratio)}{_by(trend.change_ratio)} {over} to {value}"
    margin = writer.trend("operating_margin", trend.kind)
    if margin is None:
        return start
    joined = "and" if _same_way(trend.change_ratio, margin.change) else "while"
    verb = _verb(margin.change, ("widened to", "narrowed to", "held at"))
    return f"{start}, {joined} the operating margin {verb} {margin.value * 100:,.1f} %"


def _results(writer: _Writer) -> str:
    revenue = writer.figure("revenue")
    if revenue is None:
        return ""
    sentences = [
        f"In {writer.analysis.period} the group earned revenue of {writer.lookup.value(revenue)}"
        f"{_against(writer, 'revenue')}."
    ]
    sentences.extend(filter(None, (_movers(writer), _margins(writer), _earnings(writer))))
    return " ".join(sentences)


def _against(writer: _Writer, kpi: Kpi) -> str:
    """`, 2.1 % more than in the quarter before and 6.3 % more than a year earlier`."""
    parts: list[str] = []
    for kind, earlier in (("qoq", "in the quarter before"), ("yoy", "a year earlier")):
        trend = writer.trend(kpi, kind)
        if trend is None or trend.change_ratio is None:
            continue
        if _is_flat(trend.change_ratio):
            parts.append(f"as much as {earlier}")
        else:
            more = "more" if trend.change_ratio > 0 else "less"
            parts.append(f"{abs(trend.change_ratio) * 100:,.1f} % {more} than {earlier}")
    return f", {' and '.join(parts)}" if parts else ""


def _movers(writer: _Writer) -> str:
    """Which entity moved the group's revenue most, and which one went the other way."""
    kind = "yoy" if writer.lookup.trend("revenue", "yoy") else "qoq"
    trends = [
        trend
        for entity in writer.analysis.coverage.entities
        if (trend := writer.lookup.trend("revenue", kind, entity)) is not None
        and trend.change_ratio is not None
    ]
    if len(trends) < 2:
        return ""
    trends.sort(key=lambda trend: abs(trend.change), reverse=True)
    first = trends[0]
    over = "over the year" if kind == "yoy" else "over the quarter"
    told = [first]
    text = (
        f"The largest change {over} was at {first.entity}, where revenue "
        f"{_verb(first.change_ratio or 0)}{_by(first.change_ratio or 0)} "
        f"to {writer.money(first.value)}"
    )
    others = [each for each in trends[1:] if not _same_way(each.change, first.change)]
    if others:
        other = others[0]
        told.append(other)
        text += (
            f", while {other.entity} went the other way ({(other.change_ratio or 0) * 100:+,.1f} %)"
        )
    writer.cited.update((trend.id, None) for trend in told)
    return f"{text}."


def _margins(writer: _Writer) -> str:
    parts: list[str] = []
    for profit, margin, name in _PROFITS:
        figure, ratio = writer.figure(profit), writer.figure(margin)
        if figure is None or ratio is None:
            continue
        year = writer.trend(margin, "yoy")
        before = f" (a year earlier {year.previous * 100:,.1f} %)" if year else ""
        verb = "was" if parts else "came to"
        parts.append(
            f"{name} {verb} {writer.lookup.value(figure)}, "
            f"a margin of {ratio.value * 100:,.1f} %{before}"
        )
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def _earnings(writer: _Writer) -> str:
    ebitda, net = writer.figure("ebitda"), writer.figure("net_income")
    if ebitda is None and net is None:
        return ""
    parts: list[str] = []
    if ebitda is not None:
        parts.append(f"EBITDA was {writer.lookup.value(ebitda)}")
    if net is not None:
        kind = "a net loss of" if net.value < 0 else "net income of"
        lead = f"and {kind}" if parts else f"The quarter ended with {kind}"
        parts.append(
            f"{lead} {writer.money(abs(net.value))} remained"
            if ebitda
            else f"{lead} {writer.money(abs(net.value))}"
        )
    return f"{' '.join(parts)}."


# --- why it matters -----------------------------------------------------------------------------


def _meaning(writer: _Writer) -> str:
    return " ".join(filter(None, (_growth_and_margin(writer), _budget(writer))))


def _growth_and_margin(writer: _Writer) -> str:
    kind = "yoy" if writer.lookup.trend("revenue", "yoy") else "qoq"
    revenue = writer.trend("revenue", kind)
    operating = writer.trend("operating_margin", kind)
    gross = writer.trend("gross_margin", kind)
    if revenue is None or operating is None:
        return ""
    grew, widened = revenue.change > 0, operating.change > 0
    points = f"{abs(operating.change) * 100:,.1f} percentage points"
    if _is_flat(operating.change):
        return "The operating margin held, so that result and sales moved together."
    if grew and widened:
        despite = gross is not None and gross.change < -_FLAT_RATIO
        return (
            f"Growth reached the result: the operating margin gained {points}, because "
            f"{'overheads' if despite else 'costs'} rose more slowly than sales"
            f"{', although the gross margin fell' if despite else ''}."
        )
    if grew:
        place = (
            "The pressure comes from the cost of what is sold, for the gross margin fell too."
            if gross is not None and gross.change < -_FLAT_RATIO
            else "The gross margin did not fall, so the pressure comes from overheads."
        )
        return (
            f"Growth did not reach the result: the operating margin lost {points}, because costs "
            f"rose faster than sales. {place}"
        )
    if widened:
        return (
            f"Lower sales were more than offset by lower costs: the operating margin gained "
            f"{points}."
        )
    return (
        f"Costs did not follow sales downwards: the operating margin lost {points}, and each "
        "further fall in sales will weigh more on the result."
    )


def _budget(writer: _Writer) -> str:
    variance = writer.figure("budget_variance")
    operating = writer.figure("budget_variance_operating_income")
    parts: list[str] = []
    if variance is not None:
        parts.append(f"revenue is {_off(variance, writer)} budget")
    if operating is not None:
        parts.append(f"operating income {'' if parts else 'is '}{_off(operating, writer)} budget")
    if not parts:
        return ""
    worst = _worst_entity(writer)
    text = f"Against the plan, {listed(parts)}."
    return f"{text} {worst}" if worst else text


def _off(figure: Figure, writer: _Writer) -> str:
    if figure.value == 0 or (figure.unit == "ratio" and _is_flat(figure.value)):
        return "on"
    side = "above" if figure.value > 0 else "below"
    return f"{brief(abs(figure.value), figure.unit, writer.analysis.currency)} {side}"


def _worst_entity(writer: _Writer) -> str:
    found = [
        figure
        for entity in writer.analysis.coverage.entities
        if (figure := writer.lookup.figure("budget_variance_operating_income", entity)) is not None
        and figure.value < 0
    ]
    if not found or len(writer.analysis.coverage.entities) < 2:
        return ""
    worst = min(found, key=lambda figure: figure.value)
    writer.cited[worst.id] = None
    return f"The shortfall is largest at {worst.entity}, by {writer.money(abs(worst.value))}."


def _liquidity(writer: _Writer) -> str:
    sentences: list[str] = []
    cash = writer.figure("cash")
    ratio = writer.figure("current_ratio")
    if cash is not None:
        year = writer.trend("cash", "yoy")
        before = f", against {writer.money(year.previous)} a year earlier" if year else ""
        sentences.append(f"Cash stood at {writer.lookup.value(cash)}{before}.")
    if ratio is not None:
        covered = (
            "so that short-term obligations are covered"
            if ratio.value >= 1
            else "so that short-term obligations are not covered and financing needs attention"
        )
        sentences.append(
            f"Current assets are {ratio.value:,.2f} times current liabilities, {covered}."
        )
    sentences.append(_terms(writer))
    return " ".join(filter(None, sentences))


def _terms(writer: _Writer) -> str:
    dso, dpo = writer.figure("dso"), writer.figure("dpo")
    if dso is None:
        return ""
    text = f"Customers take {dso.value:,.1f} days to pay"
    year = writer.trend("dso", "yoy")
    if year is not None and abs(year.change) >= 0.05:
        longer = "longer" if year.change > 0 else "less"
        effect = "ties up" if year.change > 0 else "frees"
        text += (
            f", {abs(year.change):,.1f} days {longer} than a year earlier, which {effect} "
            "working capital"
        )
    if dpo is not None:
        text += f"; suppliers are paid after {dpo.value:,.1f} days"
    return f"{text}."


# --- words --------------------------------------------------------------------------------------


def _is_flat(ratio: float) -> bool:
    return abs(ratio) < _FLAT_RATIO


def _same_way(one: float, other: float) -> bool:
    return (one > 0) == (other > 0)


def _verb(change: float, words: tuple[str, str, str] = ("rose", "fell", "was unchanged")) -> str:
    if _is_flat(change):
        return words[2]
    return words[0] if change > 0 else words[1]


def _by(ratio: float) -> str:
    """` 6.3 %`, or nothing where nothing moved."""
    return "" if _is_flat(ratio) else f" {abs(ratio) * 100:,.1f} %"
