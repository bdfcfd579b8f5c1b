"""Vector drawings: a few shapes, a palette, and the same drawing as SVG or on a PDF page.

Owns how a shape looks in either form; `plots` decides what is drawn. Coordinates are in units of
the drawing with the origin at the top left; text sits on its baseline.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Final, Literal, Protocol, TypeAlias, assert_never

from dalsegno_agents.gallery.finance.rendering.typeface import Weight

INK: Final = "#1b2430"
MUTED: Final = "#56616f"
RULE: Final = "#d5dbe3"
SOFT: Final = "#f3f5f8"
ACCENT: Final = "#1f4e79"
PALE: Final = "#b9cbdd"
GOOD: Final = "#1b6e3c"
BAD: Final = "#a9261d"
SERIES: Final = ("#1f4e79", "#b8500f", "#0f766e", "#6b3fa0", "#a3195b", "#56616f")
"""Each at least 4.5 : 1 on white; lines differ by dashes too, so that colour is not all."""
DASHES: Final[tuple[tuple[float, ...], ...]] = ((), (6, 3), (2, 2.5), (8, 3, 2, 3), (4, 2), (1, 2))


@dataclass(frozen=True, kw_only=True)
class Box:
    """A filled rectangle."""

    x: float
    y: float
    width: float
    height: float
    fill: str
    title: str = ""
    """What a reader hears of it, or sees when pointing at it."""


@dataclass(frozen=True, kw_only=True)
class Path:
    """A line through points."""

    points: tuple[tuple[float, float], ...]
    stroke: str
    width: float = 1.0
    dash: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Dot:
    """A filled circle with a white rim."""

    x: float
    y: float
    radius: float
    fill: str
    title: str = ""


@dataclass(frozen=True, kw_only=True)
class Label:
    """Text in one line."""

    x: float
    y: float
    text: str
    size: float = 12.0
    fill: str = INK
    anchor: Literal["start", "middle", "end"] = "start"
    weight: Weight = "regular"


Shape: TypeAlias = Box | Path | Dot | Label


@dataclass(kw_only=True)
class Drawing:
    """Shapes on a sheet, with a description for those who cannot see it."""

    width: float
    height: float
    description: str
    shapes: list[Shape] = field(default_factory=list[Shape])

    def add(self, *shapes: Shape) -> None:
        """Put shapes on top."""
        self.shapes.extend(shapes)


def as_svg(drawing: Drawing) -> str:
    """The drawing as an `svg` element that fits the width of its place; needs no other file."""
    body = "".join(_svg(shape) for shape in drawing.shapes)
    return (
        f'<svg viewBox="0 0 {_n(drawing.width)} {_n(drawing.height)}" role="img" '
        f'xmlns="http://www.w3.org/2000/svg"><title>{escape(drawing.description)}</title>'
        f"{body}</svg>"
    )


def _svg(shape: Shape) -> str:
    match shape:
        case Box():
            return (
                f'<rect x="{_n(shape.x)}" y="{_n(shape.y)}" width="{_n(shape.width)}" '
                f'height="{_n(shape.height)}" fill="{shape.fill}"{_close("rect", shape.title)}'
            )
        case Path():
            points = " ".join(f"{_n(x)},{_n(y)}" for x, y in shape.points)
            dash = f' stroke-dasharray="{" ".join(map(_n, shape.dash))}"' if shape.dash else ""
            return (
                f'<polyline points="{points}" fill="none" stroke="{shape.stroke}" '
                f'stroke-width="{_n(shape.width)}"{dash} stroke-linejoin="round"/>'
            )
        case Dot():
            return (
                f'<circle cx="{_n(shape.x)}" cy="{_n(shape.y)}" r="{_n(shape.radius)}" '
                f'fill="{shape.fill}" stroke="#fff"{_close("circle", shape.title)}'
            )
        case Label():
            anchor = "" if shape.anchor == "start" else f' text-anchor="{shape.anchor}"'
            weight = ' font-weight="600"' if shape.weight == "semibold" else ""
            return (
                f'<text x="{_n(shape.x)}" y="{_n(shape.y)}" font-size="{_n(shape.size)}" '
                f'fill="{shape.fill}"{anchor}{weight}>{escape(shape.text)}</text>'
            )
        case _:
            assert_never(shape)


def _close(tag: str, title: str) -> str:
    return f"><title>{escape(title)}</title></{tag}>" if title else "/>"


def _n(number: float) -> str:
    """A coordinate with at most two digits after the point."""
    return f"{number:.2f}".rstrip("0").rstrip(".")


class Pen(Protocol):
    """Draws on a page, in the page's units."""

    def box(self, x: float, y: float, width: float, height: float, fill: str) -> None: ...
    def path(
        self,
        points: Sequence[tuple[float, float]],
        stroke: str,
        width: float,
        dash: Sequence[float],
    ) -> None: ...
    def dot(self, x: float, y: float, radius: float, fill: str) -> None: ...
    def label(
        self, x: float, y: float, text: str, size: float, fill: str, weight: Weight
    ) -> None: ...
    def text_width(self, text: str, size: float, weight: Weight) -> float: ...


def draw(drawing: Drawing, pen: Pen, *, x: float, y: float, width: float) -> float:
    """Draw on a page with the top left corner at (x, y); returns the height that it took."""
    scale = width / drawing.width
    for shape in drawing.shapes:
        match shape:
            case Box():
                pen.box(
                    x + shape.x * scale,
                    y + shape.y * scale,
                    shape.width * scale,
                    shape.height * scale,
                    shape.fill,
                )
            case Path():
                points = [(x + px * scale, y + py * scale) for px, py in shape.points]
                dash = [length * scale for length in shape.dash]
                pen.path(points, shape.stroke, shape.width * scale, dash)
            case Dot():
                pen.dot(x + shape.x * scale, y + shape.y * scale, shape.radius * scale, shape.fill)
            case Label():
                size = shape.size * scale
                share = {"start": 0.0, "middle": 0.5, "end": 1.0}[shape.anchor]
                left = x + shape.x * scale - share * pen.text_width(shape.text, size, shape.weight)
                pen.label(left, y + shape.y * scale, shape.text, size, shape.fill, shape.weight)
            case _:
                assert_never(shape)
    return drawing.height * scale
