"""Says whether a number that somebody wrote is in the analysis.

Owns the collection of every number that an analysis answers for: figures and their inputs, trends,
anomalies, checks, reconciliations, differences, series, and how many there are of each. A number
counts as one of them when it is the nearest way to write it at the precision that was chosen:
`EUR 1.2 million` stands for anything from 1.15 to 1.25 million. Adds nothing up: a sum that the
analysis does not state is not in it.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

from dalsegno_agents.gallery.finance.model import Analysis
from dalsegno_agents.gallery.finance.summary.numbers import Kind, Written, numbers_in
from dalsegno_agents.gallery.finance.units import Number, Unit

_Entry: TypeAlias = tuple[Kind, float]

_SLACK: Final = 1e-9
"""Relative; for what binary fractions lose."""
_PLAIN_MONEY_MIN: Final = 1_000.0
"""A number without a unit and below this is a count, not money."""
_LOOKED_UP_IN: Final[dict[Kind, tuple[Kind, ...]]] = {
    "money": ("money",),
    "percent": ("percent",),
    "points": ("points",),
    "basis_points": ("basis_points",),
    "times": ("times", "plain"),
    "days": ("days",),
    "plain": ("plain", "times", "days", "money"),
}


class Known:
    """The numbers of one analysis."""

    def __init__(self, analysis: Analysis) -> None:
        self._values: dict[Kind, list[float]] = {}
        self._words: set[str] = set()
        self.currency = analysis.currency
        self.names = _names(analysis)
        for gather in (_figures, _books, _anomalies, _counts):
            for kind, value in gather(analysis):
                self._values.setdefault(kind, []).append(value)
        self._texts(analysis)
        for kind, values in self._values.items():
            self._values[kind] = sorted(values)
        periods = (*analysis.coverage.periods, *analysis.coverage.quarters, analysis.period)
        years = [int(period[:4]) for period in periods]
        self._years = range(min(years) - 1, max(years) + 2)

    def has(self, number: Written) -> bool:
        """Whether the analysis holds what is written."""
        if number.kind == "year":
            return int(number.value) in self._years
        if number.kind == "identifier":
            return number.text in self._words
        if number.currency and number.currency != self.currency:
            return False
        if number.kind == "plain" and number.text in self._words:
            return True
        return any(
            self._holds(kind, number)
            for kind in _LOOKED_UP_IN[number.kind]
            if kind != "money" or number.kind == "money" or number.value >= _PLAIN_MONEY_MIN
        )

    def unknown(self, texts: Iterable[str]) -> list[str]:
        """The numbers in `texts` that the analysis does not hold, as written, each once."""
        return list(
            dict.fromkeys(
                number.text
                for text in texts
                for number in numbers_in(text, names=self.names)
                if not self.has(number)
            )
        )

    def _holds(self, kind: Kind, number: Written) -> bool:
        values = self._values.get(kind, [])
        signs = (number.sign,) if number.sign else (1, -1)
        reach = number.precision + _SLACK * max(1.0, number.value)
        return any(_within(values, sign * number.value, reach) for sign in signs)

    def _texts(self, analysis: Analysis) -> None:
        """What is said in words in the analysis may be said again."""
        said = [
            *(anomaly.explanation for anomaly in analysis.anomalies),
            *(f"{check.method} {check.result}" for check in analysis.checks),
            *(reconciliation.note for reconciliation in analysis.reconciliations),
            *(omission.reason for omission in analysis.omitted),
        ]
        for number in (number for text in said for number in numbers_in(text, names=self.names)):
            if number.kind == "identifier":
                self._words.add(number.text)
            elif number.kind != "year":
                sign = number.sign or 1
                self._values.setdefault(number.kind, []).append(sign * number.value)
        for reference in (each for anomaly in analysis.anomalies for each in anomaly.evidence):
            self._words.update((reference.document, reference.account, reference.counterparty))
        for difference in analysis.differences:
            self._words.update((difference.document, difference.account))


def _within(values: Sequence[float], wanted: float, reach: float) -> bool:
    at = bisect_left(values, wanted - reach)
    return at < len(values) and values[at] <= wanted + reach


def _names(analysis: Analysis) -> tuple[str, ...]:
    names = {
        analysis.company,
        *analysis.coverage.entities,
        *(figure.label for figure in analysis.figures),
        *(check.label for check in analysis.checks),
        *(series.label for series in analysis.series),
        *(each.label for each in analysis.reconciliations),
        *(each.label for each in analysis.omitted),
    }
    return tuple(sorted(name for name in names if any(map(str.isdigit, name))))


def _money(cents: Number) -> _Entry:
    return "money", cents / 100


def _count(number: int) -> _Entry:
    return "plain", float(number)


def _in_kind(value: Number, unit: Unit) -> _Entry:
    match unit:
        case "cents":
            return _money(value)
        case "ratio":
            return "percent", value * 100
        case "times":
            return "times", float(value)
        case "days":
            return "days", float(value)
        case "count":
            return "plain", float(value)


def _figures(analysis: Analysis) -> Iterable[_Entry]:
    for figure in analysis.figures:
        yield _in_kind(figure.value, figure.unit)
        for name, value in figure.inputs.items():
            yield _in_kind(value, _unit_of(name))
    for trend in analysis.trends:
        yield _in_kind(trend.value, trend.unit)
        yield _in_kind(trend.previous, trend.unit)
        if trend.unit == "ratio":
            yield "points", trend.change * 100
            yield "basis_points", trend.change * 10_000
        else:
            yield _in_kind(trend.change, trend.unit)
        if trend.change_ratio is not None:
            yield "percent", trend.change_ratio * 100
    for series in analysis.series:
        yield from (_in_kind(value, series.unit) for value in series.values if value is not None)


def _unit_of(name: str) -> Unit:
    """The unit that an input's name tells: `revenue_cents`, `days`."""
    if name.endswith("cents"):
        return "cents"
    return "days" if name.endswith("days") else "count"


def _books(analysis: Analysis) -> Iterable[_Entry]:
    for each in analysis.reconciliations:
        yield from map(_count, (each.compared, each.differences))
        sides = (each.left_cents, each.right_cents)
        yield from map(_money, (*sides, each.left_cents - each.right_cents))
    for each in analysis.differences:
        yield from map(_money, (each.left_cents, each.right_cents, each.amount_cents))
    coverage = analysis.coverage
    counted = (coverage.entities, coverage.periods, coverage.quarters, coverage.missing_tables)
    yield from (_count(len(each)) for each in counted)
    yield from map(_count, (*coverage.rows.values(), sum(coverage.rows.values())))


def _anomalies(analysis: Analysis) -> Iterable[_Entry]:
    for anomaly in analysis.anomalies:
        yield _count(len(anomaly.evidence))
        if anomaly.amount_cents is not None:
            yield _money(anomaly.amount_cents)
    for check in analysis.checks:
        yield from map(_count, (check.examined, check.anomalies))


def _counts(analysis: Analysis) -> Iterable[_Entry]:
    """How many there are: of everything, by severity, kind and entity."""
    of_all = (analysis.anomalies, analysis.checks, analysis.reconciliations, analysis.omitted)
    yield from (_count(len(each)) for each in of_all)
    for names in (
        (anomaly.severity for anomaly in analysis.anomalies),
        (anomaly.kind for anomaly in analysis.anomalies),
        (anomaly.entity for anomaly in analysis.anomalies),
    ):
        yield from map(_count, Counter(names).values())
    made = sum(1 for each in analysis.reconciliations if each.compared)
    clean = sum(1 for each in analysis.reconciliations if each.compared and not each.differences)
    yield from map(_count, (made, clean, made - clean))
