"""How the key figures moved, against the quarter before and the one a year before. Pure."""

from collections.abc import Sequence
from typing import Final, Literal

from dalsegno_agents.gallery.finance.analysis.kpis import RATIO_DIGITS
from dalsegno_agents.gallery.finance.model import Figure, Trend
from dalsegno_agents.gallery.finance.units import months_of, quarter_of

BACK: Final[dict[Literal["qoq", "yoy"], int]] = {"qoq": 1, "yoy": 4}
"""How many quarters each kind of trend looks back."""


def trends_of(figures: Sequence[Figure], quarter: str) -> list[Trend]:
    """Every figure of `quarter` against the quarter before and the one a year before."""
    known = {figure.id: figure for figure in figures}
    trends: list[Trend] = []
    for figure in figures:
        if figure.period != quarter:
            continue
        for kind, quarters in BACK.items():
            earlier = _before(quarter, quarters)
            previous = known.get(f"{figure.kpi}/{figure.entity}/{earlier}")
            if previous is None:
                continue
            change = figure.value - previous.value
            relative = figure.unit != "ratio" and previous.value != 0
            trends.append(
                Trend(
                    id=f"{figure.id}/{kind}",
                    figure=figure.id,
                    kind=kind,
                    label=figure.label,
                    entity=figure.entity,
                    period=quarter,
                    previous_period=earlier,
                    value=figure.value,
                    previous=previous.value,
                    unit=figure.unit,
                    change=change if isinstance(change, int) else round(change, RATIO_DIGITS),
                    change_ratio=round(change / abs(previous.value), RATIO_DIGITS)
                    if relative
                    else None,
                )
            )
    return trends


def _before(quarter: str, count: int) -> str:
    number = int(quarter[:4]) * 4 + int(quarter[-1]) - 1 - count
    return f"{number // 4}-Q{number % 4 + 1}"


def complete_quarters(periods: Sequence[str]) -> list[str]:
    """The quarters of which the books have every month, the oldest first."""
    months = set(periods)
    quarters = dict.fromkeys(quarter_of(period) for period in periods)
    return [quarter for quarter in quarters if months.issuperset(months_of(quarter))]
