"""The report's charts, as drawings: columns with a plan, lines, bars to both sides.

Owns the placing of shapes and labels, so that none lies on another. Knows no company and no key
figure: it is given names and numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from dalsegno_agents.gallery.finance.rendering.axes import (
    SMALL,
    TINY,
    TOP,
    Frame,
    scale_of,
    spread,
    ticks,
)
from dalsegno_agents.gallery.finance.rendering.drawing import (
    ACCENT,
    BAD,
    DASHES,
    GOOD,
    INK,
    MUTED,
    PALE,
    SERIES,
    Box,
    Dot,
    Drawing,
    Label,
    Path,
)
from dalsegno_agents.gallery.finance.rendering.typeface import Typeface
from dalsegno_agents.gallery.finance.units import Unit, shown

WIDTH: Final = 430.0
HEIGHT: Final = 236.0
TEXT: Final = 12.5
_VALUES_LABELLED_MAX: Final = 12

Values: TypeAlias = Sequence[float | None]


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a chart."""

    name: str
    values: Values


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One bar of a chart."""

    name: str
    value: float
    note: str
    """What is written beside it."""


def columns(
    face: Typeface,
    periods: Sequence[str],
    values: Values,
    *,
    unit: Unit,
    currency: str,
    description: str,
    plan: Values = (),
    names: tuple[str, str] = ("Actual", "Budget"),
    marked: frozenset[str] | None = None,
) -> Drawing:
    """A column for each period with a bar across where the plan was.

    The last column is dark; with `marked` those of them, or all where it is empty.
    """
    drawing = Drawing(width=WIDTH, height=HEIGHT, description=description)
    known = [value for value in (*values, *plan) if value is not None]
    scale = scale_of(known, unit, currency)
    marks = ticks(min(0.0, *known, 0.0), max(0.0, *known, 0.0))
    frame = Frame(drawing, face, marks=marks, scale=scale, count=len(periods))
    digits = 0 if max(map(abs, known)) * scale.factor >= 100 else 1
    wide = frame.slot * 0.62
    for position, value in enumerate(values):
        if value is None:
            if periods[position] in (marked or ()):
                drawing.add(_absent(frame, position))
            continue
        middle, y, zero = frame.x(position), frame.y(value), frame.y(0.0)
        dark = _is_dark(periods, position, marked)
        drawing.add(
            Box(
                x=middle - wide / 2,
                y=min(y, zero),
                width=wide,
                height=max(0.5, abs(zero - y)),
                fill=ACCENT if dark else PALE,
                title=f"{periods[position]}: {shown(value, unit, currency)}",
            )
        )
        if len(values) > _VALUES_LABELLED_MAX and not (dark and marked):
            continue
        above = min([y, *(frame.y(planned) for planned in _at(plan, position))])
        drawing.add(
            Label(
                x=middle,
                y=above - 6 if value >= 0 else y + 14,
                text=scale.text(value, digits),
                size=SMALL,
                fill=INK,
                anchor="middle",
                weight="semibold" if dark else "regular",
            )
        )
    for position, value in enumerate(plan):
        if value is not None:
            middle, y = frame.x(position), frame.y(value)
            half = frame.slot * 0.4
            drawing.add(
                Path(points=((middle - half, y), (middle + half, y)), stroke=SERIES[1], width=2.5)
            )
    frame.label_periods(periods, last_is_strong=marked is None)
    if plan:
        _legend(drawing, face, names)
    return drawing


def _absent(frame: Frame, position: int) -> Label:
    return Label(
        x=frame.x(position),
        y=frame.bottom - 6,
        text="none",
        size=SMALL,
        fill=BAD,
        anchor="middle",
        weight="semibold",
    )


def _is_dark(periods: Sequence[str], position: int, marked: frozenset[str] | None) -> bool:
    if not marked:
        return marked is not None or position == len(periods) - 1
    return periods[position] in marked


def _at(values: Values, position: int) -> list[float]:
    value = values[position] if position < len(values) else None
    return [] if value is None else [value]


def _legend(drawing: Drawing, face: Typeface, names: tuple[str, str]) -> None:
    x = drawing.width - 6 - face.width(names[1], SMALL)
    drawing.add(
        Label(x=x, y=12, text=names[1], size=SMALL, fill=MUTED),
        Path(points=((x - 24, 8), (x - 6, 8)), stroke=SERIES[1], width=2.5),
    )
    x -= 40 + face.width(names[0], SMALL)
    drawing.add(
        Label(x=x, y=12, text=names[0], size=SMALL, fill=MUTED),
        Box(x=x - 18, y=2, width=12, height=11, fill=ACCENT),
    )


def lines(
    face: Typeface,
    periods: Sequence[str],
    series: Sequence[Line],
    *,
    unit: Unit,
    currency: str,
    description: str,
    from_zero: bool = False,
) -> Drawing:
    """A line for each series, named at its end, where its last value stands too."""
    drawing = Drawing(width=WIDTH, height=HEIGHT, description=description)
    drawn = [line for line in series if any(value is not None for value in line.values)]
    known = [value for line in drawn for value in line.values if value is not None]
    scale = scale_of(known, unit, currency)
    low, high = min(known), max(known)
    if from_zero or low < 0 < high:
        low, high = min(0.0, low), max(0.0, high)
    digits = 0 if max(map(abs, known)) * scale.factor >= 1000 else 1
    ends = [
        f"{line.name} {scale.text(_last(line.values), digits)}{'%' if unit == 'ratio' else ''}"
        for line in drawn
    ]
    right = 12 + max(face.width(end, SMALL, "semibold") for end in ends)
    frame = Frame(
        drawing, face, marks=ticks(low, high), scale=scale, count=len(periods), right=right
    )
    places: list[float] = []
    for number, line in enumerate(drawn):
        colour = SERIES[number % len(SERIES)]
        for points in _runs(frame, line.values):
            if len(points) > 1:
                drawing.add(
                    Path(
                        points=tuple(points),
                        stroke=colour,
                        width=2.2,
                        dash=DASHES[number % len(DASHES)],
                    )
                )
        drawing.add(
            *(
                Dot(
                    x=frame.x(position),
                    y=frame.y(value),
                    radius=3.4,
                    fill=colour,
                    title=f"{line.name}, {periods[position]}: {shown(value, unit, currency)}",
                )
                for position, value in enumerate(line.values)
                if value is not None
            )
        )
        places.append(frame.y(_last(line.values)))
    for number, (y, end) in enumerate(zip(spread(places, TOP, frame.bottom), ends, strict=True)):
        drawing.add(
            Label(
                x=frame.right - frame.slot / 2 + 10,
                y=y + 4,
                text=end,
                size=SMALL,
                fill=SERIES[number % len(SERIES)],
                weight="semibold",
            )
        )
    frame.label_periods(periods)
    return drawing


def _last(values: Values) -> float:
    return next(value for value in reversed(values) if value is not None)


def _runs(frame: Frame, values: Values) -> list[list[tuple[float, float]]]:
    """Points without a hole between them."""
    runs: list[list[tuple[float, float]]] = [[]]
    for position, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append((frame.x(position), frame.y(value)))
    return runs


def bars(face: Typeface, rows: Sequence[Bar], *, description: str, reach: float = 0.0) -> Drawing:
    """Bars to the right of a line for what is above it, to the left for what is below.

    Args:
        face: Measures the text.
        rows: The bars, from above.
        description: For those who cannot see it.
        reach: How far the axis reaches at least, so that a small value has a short bar.
    """
    row = 34.0
    drawing = Drawing(width=WIDTH, height=16 + row * len(rows), description=description)
    names = 10 + max(face.width(each.name, TEXT) for each in rows)
    notes = 10 + max(face.width(each.note, SMALL, "semibold") for each in rows)
    largest = max(reach, TINY, *(abs(each.value) for each in rows))
    half = (drawing.width - names - notes) / 2
    zero = names + half
    for position, each in enumerate(rows):
        y = 8 + position * row
        length = abs(each.value) / largest * half
        drawing.add(
            Label(x=0, y=y + 21, text=each.name, size=TEXT),
            Box(
                x=zero if each.value >= 0 else zero - length,
                y=y + 6,
                width=max(1.0, length),
                height=row - 12,
                fill=GOOD if each.value >= 0 else BAD,
                title=f"{each.name}: {each.note}",
            ),
            Label(
                x=drawing.width,
                y=y + 21,
                text=each.note,
                size=SMALL,
                fill=GOOD if each.value >= 0 else BAD,
                anchor="end",
                weight="semibold",
            ),
        )
    drawing.add(Path(points=((zero, 4), (zero, drawing.height - 4)), stroke=INK, width=1.2))
    return drawing
