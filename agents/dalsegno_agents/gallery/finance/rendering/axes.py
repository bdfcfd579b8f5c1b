"""Axes of the report's charts: scales, round ticks, the place of a value, labels kept apart.

Knows no chart: `plots` draws into a `Frame`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from dalsegno_agents.gallery.finance.rendering.drawing import INK, MUTED, RULE, Drawing, Label, Path
from dalsegno_agents.gallery.finance.rendering.typeface import Typeface
from dalsegno_agents.gallery.finance.units import Unit

SMALL: Final = 12.0
"""The size of text at an axis."""
TOP: Final = 34.0
BOTTOM: Final = 40.0
"""Free above and below the plot's area."""
TINY: Final = 1e-12
"""What is smaller than this is drawn as nothing."""
_LABEL_GAP: Final = 14.0
_TICKS: Final = 4
_PERIODS_LABELLED_MAX: Final = 12
_MILLION_CENTS: Final = 1e8
_THOUSAND_CENTS: Final = 1e5


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How values of one unit are written at an axis."""

    unit: Unit
    factor: float
    title: str

    def text(self, value: float, digits: int = 0) -> str:
        """A value at the axis."""
        return f"{value * self.factor:,.{digits}f}"


def scale_of(values: Sequence[float], unit: Unit, currency: str) -> Scale:
    """The scale in which the largest of `values` is short."""
    largest = max(map(abs, values), default=0.0)
    if unit == "cents" and largest >= 2 * _MILLION_CENTS:
        return Scale(unit=unit, factor=1 / _MILLION_CENTS, title=f"{currency} million")
    if unit == "cents" and largest >= 2 * _THOUSAND_CENTS:
        return Scale(unit=unit, factor=1 / _THOUSAND_CENTS, title=f"{currency} thousand")
    if unit == "cents":
        return Scale(unit=unit, factor=0.01, title=currency)
    if unit == "ratio":
        return Scale(unit=unit, factor=100, title="%")
    return Scale(unit=unit, factor=1, title="days" if unit == "days" else "")


def ticks(low: float, high: float, count: int = _TICKS) -> list[float]:
    """Round numbers that reach from at or below `low` to at or above `high`."""
    span = next(one for one in (high - low, abs(high), 1.0) if one > TINY)
    rough = span / count
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if rough <= m * magnitude * (1 + 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    last = max(last, first + 1)
    return [number * step for number in range(first, last + 1)]


class Frame:
    """The plot's area with its axes: turns values into places."""

    def __init__(
        self,
        drawing: Drawing,
        face: Typeface,
        *,
        marks: Sequence[float],
        scale: Scale,
        count: int,
        right: float = 6.0,
        digits: int | None = None,
    ) -> None:
        self.drawing = drawing
        self.low, self.high = marks[0], marks[-1]
        step = abs(marks[1] - marks[0]) * scale.factor
        if digits is None:
            digits = next(d for d in (0, 1, 2, 3) if d == 3 or abs(step - round(step, d)) < 1e-9)
        labels = [scale.text(mark, digits) for mark in marks]
        self.left = 8 + max(face.width(label, SMALL) for label in labels)
        self.right = drawing.width - right
        self.top, self.bottom = TOP, drawing.height - BOTTOM
        self.slot = (self.right - self.left) / max(1, count)
        for mark, label in zip(marks, labels, strict=True):
            y = self.y(mark)
            is_zero = abs(mark) < 1e-12
            drawing.add(
                Path(
                    points=((self.left, y), (self.right, y)),
                    stroke=MUTED if is_zero else RULE,
                    width=1.0,
                ),
                Label(x=self.left - 6, y=y + 4, text=label, size=SMALL, fill=MUTED, anchor="end"),
            )
        drawing.add(Label(x=0, y=12, text=scale.title, size=SMALL, fill=MUTED))

    def y(self, value: float) -> float:
        """Where a value is, from above."""
        share = (value - self.low) / (self.high - self.low)
        return self.bottom - share * (self.bottom - self.top)

    def x(self, position: int) -> float:
        """The middle of a slot."""
        return self.left + (position + 0.5) * self.slot

    def label_periods(self, periods: Sequence[str], *, last_is_strong: bool = True) -> None:
        """Quarters or months below the axis, and the year below the first one of each."""
        every = math.ceil(len(periods) / _PERIODS_LABELLED_MAX)
        year = ""
        for position, period in enumerate(periods):
            first, _, second = period.partition("-")
            later = len(periods) - 1 - position
            strong = later == 0 and last_is_strong
            if later % every == 0:
                self._below(position, 16, second or first, strong=strong)
            if second and first != year:
                year = first
                self._below(position, 31, year)

    def _below(self, position: int, down: float, text: str, *, strong: bool = False) -> None:
        self.drawing.add(
            Label(
                x=self.x(position),
                y=self.bottom + down,
                text=text,
                size=SMALL,
                fill=INK if strong else MUTED,
                anchor="middle",
                weight="semibold" if strong else "regular",
            )
        )


def spread(places: Sequence[float], low: float, high: float) -> list[float]:
    """The same places, moved apart as little as needed so that labels do not touch."""
    order = sorted(range(len(places)), key=lambda index: places[index])
    moved = [places[index] for index in order]
    for _ in range(50):
        touching = False
        for first, second in pairwise(range(len(moved))):
            short = _LABEL_GAP - (moved[second] - moved[first])
            if short > 0.01:
                touching = True
                moved[first] -= short / 2
                moved[second] += short / 2
        if not touching:
            break
    down = max(0.0, low - moved[0]) if moved else 0.0
    up = max(0.0, moved[-1] + down - high) if moved else 0.0
    result = [0.0] * len(places)
    for index, place in zip(order, moved, strict=True):
        result[index] = place + down - up
    return result
