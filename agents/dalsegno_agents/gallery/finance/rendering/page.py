"""What a report is made of: sections of prose, tables, charts. The same for HTML and PDF.

Owns the vocabulary only. `report_content` fills it from figures and findings; `page_html` and
`page_pdf` show it.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from dalsegno_agents.gallery.finance.rendering.drawing import Drawing

Tone: TypeAlias = Literal["", "strong", "muted", "good", "bad", "critical", "high", "medium", "low"]
"""How something is meant, which decides how it looks; the last four are severities."""
SEVERITIES: Final[tuple[Tone, ...]] = ("critical", "high", "medium", "low")
_TIES: Final = re.compile(
    r"(?<=\d) (?=%|pp\b|million\b|m\b|days?\b|times\b)|(?<=\b[A-Z]{3}) (?=-?\d)"
)
NOTHING: Final = "\u2013"
"""What stands in a field without a value."""


@dataclass(frozen=True, kw_only=True)
class Delta:
    """A change beside a figure."""

    text: str
    against: str
    """`on the quarter`, `on the year`."""
    tone: Tone = ""


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A key figure at the top of the report."""

    label: str
    value: str
    deltas: tuple[Delta, ...]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One field of a table."""

    text: str
    tone: Tone = ""
    note: str = ""
    """A second, smaller line."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a table."""

    title: str
    share: float = 1.0
    """Of the width, relative to the other columns."""
    is_number: bool = False
    """Aligned to the right."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A table, or in its place a sentence where it would be empty."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    title: str = ""
    empty: str = "None."
    stacks: bool = False
    """On a phone each row becomes a card; without it, the table is scrolled sideways."""


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A drawing with its heading."""

    title: str
    drawing: Drawing
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Charts:
    """Charts beside one another."""

    charts: tuple[Chart, ...]


@dataclass(frozen=True, kw_only=True)
class Prose:
    """Paragraphs."""

    paragraphs: tuple[str, ...]
    tone: Tone = ""


@dataclass(frozen=True, kw_only=True)
class Notice:
    """Something that must not be overlooked."""

    title: str
    text: str
    tone: Tone


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """A record: names and what they are."""

    title: str
    pairs: tuple[tuple[str, str], ...]


Block: TypeAlias = Grid | Charts | Prose | Notice | Pairs


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the report with a heading."""

    id: str
    title: str
    blocks: tuple[Block, ...]
    lead: str = ""


@dataclass(frozen=True, kw_only=True)
class Page:
    """A report."""

    company: str
    title: str
    period: str
    """`Q4 2025`."""
    as_of: str
    """`31 December 2025`."""
    headline: str
    notice: Notice
    tiles: tuple[Tile, ...]
    sections: tuple[Section, ...]
    footer: str


def tied(text: str) -> str:
    """The same text, with no line break between a number and its unit or its currency."""
    return _TIES.sub("\u00a0", text)
