"""Sheets of a workbook: frozen heads, filters, widths, number formats, pages that fit.

Knows no report: `appendix` says what stands in the sheets.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from dalsegno_agents.gallery.finance.units import Number, Unit

TEXT_CHARS_MAX: Final = 32_000
"""A cell holds little more."""
_FORMATS: Final[dict[Unit, str]] = {
    "cents": "#,##0.00;[Red]-#,##0.00",
    "ratio": "0.0%;[Red]-0.0%",
    "times": "0.00",
    "days": "0.0",
    "count": "#,##0",
}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """An amount in cents, or a value of another unit."""

    value: Number | None
    unit: Unit = "cents"


Field: TypeAlias = str | Cell
Heads: TypeAlias = Sequence[tuple[str, float]]
"""Titles of columns with their widths, in characters."""


def plain(text: str) -> str:
    """Text as a cell can hold it."""
    return text.encode("utf-8", "replace").decode()[:TEXT_CHARS_MAX]


class Sheets:
    """Adds sheets with a frozen head, filters, widths, and pages that fit."""

    def __init__(self, book: Any) -> None:
        self._book = book
        self._head = book.add_format(
            {
                "bold": True,
                "bg_color": "#1f4e79",
                "font_color": "#ffffff",
                "text_wrap": True,
                "valign": "vcenter",
            }
        )
        self.text = book.add_format({"text_wrap": True, "valign": "top"})
        self.formats = {
            unit: book.add_format({"num_format": code, "valign": "top"})
            for unit, code in _FORMATS.items()
        }

    def table(
        self,
        name: str,
        heads: Heads,
        rows: Iterable[Sequence[Field]],
        *,
        frozen_columns: int = 0,
    ) -> Any:
        """One sheet with one table; returns it."""
        sheet = self._book.add_worksheet(name)
        sheet.freeze_panes(1, frozen_columns)
        sheet.set_landscape()
        sheet.set_paper(9)
        sheet.fit_to_pages(1, 0)
        sheet.repeat_rows(0)
        sheet.set_footer("&L&A&RPage &P of &N")
        for column, (title, width) in enumerate(heads):
            sheet.write_string(0, column, title, self._head)
            sheet.set_column(column, column, width)
        last = 0
        for last, row in enumerate(rows, 1):
            for column, field in enumerate(row):
                self.write(sheet, last, column, field)
        if last:
            sheet.autofilter(0, 0, last, len(heads) - 1)
        return sheet

    def write(self, sheet: Any, row: int, column: int, field: Field) -> None:
        """One field: text as text, a number with the format of its unit."""
        if isinstance(field, str):
            if field:
                sheet.write_string(row, column, plain(field), self.text)
        elif field.value is not None:
            number = field.value / 100 if field.unit == "cents" else field.value
            sheet.write_number(row, column, number, self.formats[field.unit])
