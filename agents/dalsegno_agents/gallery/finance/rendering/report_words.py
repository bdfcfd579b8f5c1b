"""How the report writes figures: tiles, deltas, table cells, dates, approvals.

Owns which way a figure is good. Every value itself is written by `units.shown` or scaled from it.
"""

import calendar
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from dalsegno_agents.gallery.finance.model import GROUP, Figure, Kpi, Reference, Review, Trend
from dalsegno_agents.gallery.finance.rendering.page import NOTHING, Cell, Delta, Tone
from dalsegno_agents.gallery.finance.units import Number, Unit, shown
from dalsegno_bus.messages import Json

LOWER_IS_BETTER: Final[frozenset[Kpi]] = frozenset({"dso"})
NEITHER_IS_BETTER: Final[frozenset[Kpi]] = frozenset({"dpo"})
AGAINST: Final[dict[str, str]] = {"qoq": "on the quarter", "yoy": "on the year"}
PLACES_MAX: Final = 4
NAME_CHARS_MAX: Final = 16
_THOUSANDS_FROM_CENTS: Final = 10_000_000
_FLAT: Final = 0.0005


def period_name(period: str) -> str:
    """`2025-Q4` is `Q4 2025`."""
    return f"{period[5:]} {period[:4]}"


def as_of(period: str) -> str:
    """The last day of a quarter: `31 December 2025`."""
    year, month = int(period[:4]), int(period[-1]) * 3
    return f"{calendar.monthrange(year, month)[1]} {calendar.month_name[month]} {year}"


def figure_name(figure: Figure) -> str:
    """A figure's label, short enough for a tile or a row."""
    return figure.label.removesuffix(" at the end of the quarter")


def entity_name(entity: str) -> str:
    """An entity as tables name it."""
    return "Group" if entity == GROUP else entity


def short_names(entities: Iterable[str]) -> dict[str, str]:
    """A name for each entity that fits into a chart; no two are the same."""
    short: dict[str, str] = {GROUP: "Group"}
    for entity in entities:
        name = (
            entity if len(entity) <= NAME_CHARS_MAX else f"{entity[: NAME_CHARS_MAX - 1].strip()}…"
        )
        if name in short.values():
            name = f"{name[: NAME_CHARS_MAX - 4].strip('… ')}… {len(short)}"
        short[entity] = name
    return short


def signed(value: float, digits: int = 1) -> str:
    """`+6.5`, `-0.9`, `0.0`: a change, without a sign where it rounds to nothing."""
    rounded = round(value, digits)
    return f"{rounded:+,.{digits}f}" if rounded else f"{0:.{digits}f}"


def change_text(trend: Trend) -> str:
    """`+6.5 %`, `-0.9 pp`, or the change itself where it has no ratio."""
    if trend.unit == "ratio":
        return f"{signed(trend.change * 100)} pp"
    if trend.change_ratio is not None:
        return f"{signed(trend.change_ratio * 100)} %"
    return shown(trend.change, trend.unit)


def change_tone(kpi: Kpi, trend: Trend) -> Tone:
    """Whether a change is good news."""
    moved = trend.change if trend.change_ratio is None else trend.change_ratio
    if abs(moved) < _FLAT or kpi in NEITHER_IS_BETTER:
        return "muted"
    return "good" if (moved > 0) != (kpi in LOWER_IS_BETTER) else "bad"


def delta_of(kpi: Kpi, trend: Trend) -> Delta:
    """A change as a tile shows it, with an arrow for those who see no colours."""
    moved = trend.change if trend.change_ratio is None else trend.change_ratio
    arrow = "" if abs(moved) < _FLAT else ("▲ " if moved > 0 else "▼ ")
    return Delta(
        text=f"{arrow}{change_text(trend)}",
        against=AGAINST[trend.kind],
        tone=change_tone(kpi, trend),
    )


@dataclass(frozen=True, kw_only=True)
class MoneyScale:
    """In what a table writes its money."""

    divisor: float
    title: str

    def text(self, value: Number, unit: Unit) -> str:
        """A value for a column of numbers, without its currency."""
        if unit != "cents":
            return shown(value, unit)
        return f"{value / self.divisor:,.0f}"


def money_scale(figures: Iterable[Figure], currency: str) -> MoneyScale:
    """Thousands where most of the figures are large, else whole units."""
    largest = max((abs(one.value) for one in figures if one.unit == "cents"), default=0)
    if largest >= _THOUSANDS_FROM_CENTS:
        return MoneyScale(divisor=100_000, title=f"{currency} thousand")
    return MoneyScale(divisor=100, title=currency)


def number_cell(text: str, value: Number) -> Cell:
    """A variance: what is below 0 is bad, what is above is good."""
    return Cell(text=text, tone="bad" if value < 0 else "good" if value > 0 else "")


def money_cell(cents: int | None, currency: str) -> Cell:
    """An amount at stake, or a dash."""
    return Cell(text=NOTHING if cents is None else shown(cents, "cents", currency))


def places(references: Iterable[Reference]) -> str:
    """Where to look, one to a line: documents, or accounts with their months."""
    words = dict.fromkeys(
        reference.document or " ".join(filter(None, (reference.account, reference.period)))
        for reference in references
    )
    words.pop("", None)
    lines = list(words)
    if len(lines) > PLACES_MAX:
        lines[PLACES_MAX - 1 :] = [f"and {len(lines) - PLACES_MAX + 1} more"]
    return "\n".join(lines)


@dataclass(frozen=True, kw_only=True)
class Approval:
    """What is on record about the approval of critical findings."""

    state: Literal["not needed", "approved", "refused", "missing"]
    by: str = ""
    at: str = ""
    comment: str = ""


def approval_of(signal: Json, review: Review) -> Approval:
    """Read what the signal `approval` carried: `{by, comment}`, perhaps `at` and `approved`."""
    if signal is None:
        return Approval(state="missing" if review.critical else "not needed")
    if not isinstance(signal, dict):
        return Approval(state="approved", comment=str(signal))
    said = cast("dict[str, Any]", signal)
    return Approval(
        state="refused" if said.get("approved") is False else "approved",
        by=str(said.get("by") or ""),
        at=str(said.get("at") or ""),
        comment=str(said.get("comment") or ""),
    )
