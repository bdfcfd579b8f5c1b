"""Tables on the pages of a PDF: columns that fit, rows that stay whole, heads that are repeated.

Owns the measuring and drawing of one table.
"""

from dataclasses import dataclass
from typing import Final

from dalsegno_agents.gallery.finance.rendering.drawing import ACCENT, BAD, GOOD, INK, MUTED, RULE
from dalsegno_agents.gallery.finance.rendering.page import (
    SEVERITIES,
    Cell,
    Column,
    Grid,
    Tone,
    tied,
)
from dalsegno_agents.gallery.finance.rendering.pdf_sheet import Sheet
from dalsegno_agents.gallery.finance.rendering.typeface import Weight

SIZE: Final = 8.8
NOTE_SIZE: Final = 8.2
HEAD_SIZE: Final = 8.2
LEADING: Final = 11.6
GAP: Final = 9.0
PADDING: Final = 4.2
LINES_MAX: Final = 45
"""A row is never higher than a page: what is beyond is cut, with an ellipsis."""
COLOURS: Final[dict[Tone, str]] = {
    "": INK,
    "strong": INK,
    "muted": MUTED,
    "good": GOOD,
    "bad": BAD,
}
CHIPS: Final[dict[Tone, tuple[str, str]]] = {
    "critical": ("#8b1a1a", "#ffffff"),
    "high": ("#fbdcc8", "#7a2e05"),
    "medium": ("#f8ebb8", "#5c4700"),
    "low": ("#e4e9f0", "#3a4656"),
}


@dataclass(frozen=True, kw_only=True)
class _Field:
    """A cell in lines."""

    cell: Cell
    lines: list[str]
    notes: list[str]

    @property
    def height(self) -> float:
        return (len(self.lines) + len(self.notes)) * LEADING + 2 * PADDING


class Table:
    """One table on a sheet."""

    def __init__(self, sheet: Sheet, grid: Grid) -> None:
        self._sheet = sheet
        self._grid = grid
        free = sheet.width - GAP * (len(grid.columns) - 1)
        shares = sum(column.share for column in grid.columns)
        self._widths = [free * column.share / shares for column in grid.columns]
        self._heads = [
            sheet.wrapped(column.title, HEAD_SIZE, width, "semibold")
            for column, width in zip(grid.columns, self._widths, strict=True)
        ]
        self._rows = [self._measured(row) for row in grid.rows]

    @property
    def first_height(self) -> float:
        """How much must fit below a heading: the head and the first row."""
        return self._head_height + sum(_height(row) for row in self._rows[:1])

    def draw(self) -> None:
        """Draw it at the cursor, on as many pages as it takes."""
        sheet = self._sheet
        sheet.need(min(self.first_height, sheet.height))
        self._draw_head()
        for row in self._rows:
            if sheet.need(_height(row)):
                self._draw_head()
            self._draw_row(row)

    @property
    def _head_height(self) -> float:
        return max(len(lines) for lines in self._heads) * LEADING + 5

    def _measured(self, row: tuple[Cell, ...]) -> list[_Field]:
        fields: list[_Field] = []
        for cell, width in zip(row, self._widths, strict=True):
            lines = self._sheet.wrapped(tied(cell.text), SIZE, width, _weight(cell.tone))
            notes = self._sheet.wrapped(tied(cell.note), NOTE_SIZE, width) if cell.note else []
            if len(lines) + len(notes) > LINES_MAX:
                lines, notes = lines[:LINES_MAX], notes[: max(0, LINES_MAX - len(lines) - 1)]
                notes.append("…")
            fields.append(_Field(cell=cell, lines=lines, notes=notes))
        return fields

    def _draw_head(self) -> None:
        sheet, height = self._sheet, self._head_height
        x = sheet.left
        for column, width, lines in zip(self._grid.columns, self._widths, self._heads, strict=True):
            y = sheet.y + height - 5 - len(lines) * LEADING
            for line in lines:
                y += LEADING
                self._put(line, x, y - 2.5, column, width, HEAD_SIZE, MUTED, "semibold")
            x += width + GAP
        sheet.y += height
        right = sheet.left + sheet.width
        sheet.path([(sheet.left, sheet.y), (right, sheet.y)], INK, 0.8, ())

    def _draw_row(self, row: list[_Field]) -> None:
        sheet, height = self._sheet, _height(row)
        x = sheet.left
        for field, column, width in zip(row, self._grid.columns, self._widths, strict=True):
            y = sheet.y + PADDING
            tone = field.cell.tone
            for line in field.lines:
                baseline = y + LEADING * 0.76
                if tone in SEVERITIES:
                    self._chip(line, x, baseline, tone)
                else:
                    colour, weight = COLOURS[tone], _weight(tone)
                    self._put(line, x, baseline, column, width, SIZE, colour, weight)
                y += LEADING
            for line in field.notes:
                self._put(line, x, y + LEADING * 0.74, column, width, NOTE_SIZE, MUTED, "regular")
                y += LEADING
            x += width + GAP
        sheet.y += height
        right = sheet.left + sheet.width
        sheet.path([(sheet.left, sheet.y), (right, sheet.y)], RULE, 0.5, ())

    def _put(
        self,
        text: str,
        x: float,
        y: float,
        column: Column,
        width: float,
        size: float,
        fill: str,
        weight: Weight,
    ) -> None:
        if column.is_number:
            x += width - self._sheet.text_width(text, size, weight)
        self._sheet.label(x, y, text, size, fill, weight)

    def _chip(self, text: str, x: float, baseline: float, tone: Tone) -> None:
        back, front = CHIPS.get(tone, (ACCENT, "#ffffff"))
        size = SIZE - 1
        width = self._sheet.text_width(text, size, "semibold") + 8
        self._sheet.box(x, baseline - 8.4, width, 11.4, back)
        self._sheet.label(x + 4, baseline - 0.2, text, size, front, "semibold")


def _height(row: list[_Field]) -> float:
    return max(field.height for field in row)


def _weight(tone: Tone) -> Weight:
    return "semibold" if tone == "strong" else "regular"
