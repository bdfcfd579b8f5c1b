"""Pages of a PDF: a cursor that goes down, breaks where it must, and draws text and shapes.

The only place that imports fpdf2. Units are points, the origin is at the top left. Knows nothing of
reports: `page_pdf` says what is drawn.
"""

import unicodedata
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from fpdf import FPDF
from fpdf.enums import RenderStyle

from dalsegno_agents.gallery.finance.rendering.drawing import INK, MUTED, RULE
from dalsegno_agents.gallery.finance.rendering.typeface import Typeface, Weight, font_path

MARGIN: Final = 44.0
TOP: Final = 46.0
FOOT: Final = 50.0
_FAMILY: Final = "report"
_STYLES: Final[dict[Weight, str]] = {"regular": "", "semibold": "B"}
_FOOTER_SIZE: Final = 8.0
_PAGE_NUMBER_WIDTH: Final = 90.0


class _Pages(FPDF):
    """Draws the footer when a page is full."""

    footer_text = ""

    def footer(self) -> None:
        if self.page_no() < 1:
            return
        y = self.h - 26
        self.set_draw_color(RULE)
        self.set_line_width(0.5)
        self.line(MARGIN, y - 11, self.w - MARGIN, y - 11)
        self.set_font(_FAMILY, "", _FOOTER_SIZE)
        self.set_text_color(MUTED)
        self.set_xy(MARGIN, y - _FOOTER_SIZE)  # a cell: in it, the number of pages is filled in
        self.cell(text=f"Page {self.page_no()} of {{nb}}", h=_FOOTER_SIZE * 1.2)
        width = self.get_string_width(self.footer_text)
        self.text(self.w - MARGIN - width, y, self.footer_text)


class Sheet:
    """A PDF while it is written. Is a `drawing.Pen` too.

    Args:
        face: Measures text.
        title: Of the document.
        author: Whose report it is.
        footer: Stands on every page.
        created: The document's date; fixed, so that the same report has the same bytes.
    """

    def __init__(
        self, face: Typeface, *, title: str, author: str, footer: str, created: datetime
    ) -> None:
        self.face = face
        self._pdf = _Pages(unit="pt", format="A4")
        for weight, style in _STYLES.items():
            self._pdf.add_font(_FAMILY, style, font_path(weight))
        self._pdf.set_auto_page_break(auto=False)
        self._pdf.set_margin(0)
        self._pdf.c_margin = 0
        room = self._pdf.w - 2 * MARGIN - _PAGE_NUMBER_WIDTH
        self._pdf.footer_text = face.shortened(self.showable(footer), _FOOTER_SIZE, room)
        self._pdf.set_title(self.showable(title))
        self._pdf.set_author(self.showable(author))
        self._pdf.set_creator("Dalsegno")
        self._pdf.set_producer("Dalsegno")
        self._pdf.set_lang("en")
        self._pdf.creation_date = created
        self._pdf.add_page()
        self.y = TOP

    @property
    def left(self) -> float:
        return MARGIN

    @property
    def width(self) -> float:
        """What can be written on, between the margins."""
        return self._pdf.w - 2 * MARGIN

    @property
    def room(self) -> float:
        """What is left of the page, downwards."""
        return self._pdf.h - FOOT - self.y

    @property
    def height(self) -> float:
        """How much a whole page holds."""
        return self._pdf.h - FOOT - TOP

    def need(self, height: float) -> bool:
        """Begin a new page unless `height` fits on this one; returns whether it did."""
        if height <= self.room or self.y <= TOP:
            return False
        self._pdf.add_page()
        self.y = TOP
        return True

    def bookmark(self, title: str) -> None:
        """An entry of the document's outline, here."""
        self._pdf.set_y(self.y)
        self._pdf.start_section(self.showable(title))

    def output(self) -> bytes:
        """The finished file."""
        return bytes(self._pdf.output())

    def showable(self, text: str) -> str:
        """The same text in characters that the typeface has."""
        return "".join(
            character
            if character in "\n\u00a0" or self.face.has(character)
            else self._plain(character)
            for character in text
        )

    def _plain(self, character: str) -> str:
        kept = [one for one in unicodedata.normalize("NFKD", character) if self.face.has(one)]
        return "".join(kept) or "?"

    # --- the pen ----------------------------------------------------------------------------------

    def box(self, x: float, y: float, width: float, height: float, fill: str) -> None:
        """A filled rectangle."""
        self._pdf.set_fill_color(fill)
        self._pdf.rect(x, y, width, height, style=RenderStyle.F)

    def path(
        self,
        points: Sequence[tuple[float, float]],
        stroke: str,
        width: float,
        dash: Sequence[float],
    ) -> None:
        """A line through points."""
        self._pdf.set_draw_color(stroke)
        self._pdf.set_line_width(width)
        with self._pdf.local_context():
            if dash:
                # fpdf2 draws every end with a cap that sticks out by half the line's width
                self._pdf.set_dash_pattern(dash=max(0.1, dash[0] - width), gap=dash[1] + width)
            self._pdf.polyline(list(points))

    def dot(self, x: float, y: float, radius: float, fill: str) -> None:
        """A filled circle with a white rim."""
        self._pdf.set_fill_color(fill)
        self._pdf.set_draw_color("#ffffff")
        self._pdf.set_line_width(0.5)
        self._pdf.circle(x, y, radius, style=RenderStyle.DF)

    def label(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        fill: str = INK,
        weight: Weight = "regular",
    ) -> None:
        """Text in one line, with its baseline at `y`."""
        self._pdf.set_font(_FAMILY, _STYLES[weight], size)
        self._pdf.set_text_color(fill)
        self._pdf.text(x, y, self.showable(text))

    def text_width(self, text: str, size: float, weight: Weight) -> float:
        """How wide a line of text is."""
        return self.face.width(self.showable(text), size, weight)

    # --- lines of text ----------------------------------------------------------------------------

    def wrapped(
        self, text: str, size: float, width: float, weight: Weight = "regular"
    ) -> list[str]:
        """`text` in lines that fit into `width`."""
        return self.face.wrapped(self.showable(text), size, width, weight)

    def lines(
        self,
        lines: Sequence[str],
        *,
        x: float,
        size: float,
        leading: float,
        fill: str = INK,
        weight: Weight = "regular",
    ) -> None:
        """Lines below one another, on as many pages as they take, never one line alone."""
        for number, line in enumerate(lines):
            rest = len(lines) - number
            together = 2 if number == 0 and rest > 1 else 2 if rest == 2 else 1
            self.need(together * leading)
            self.label(x, self.y + leading * 0.74, line, size, fill, weight)
            self.y += leading
