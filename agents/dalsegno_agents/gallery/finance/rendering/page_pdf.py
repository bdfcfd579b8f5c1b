"""Shows a report as PDF: the same sections, tables and drawings as the HTML, on A4 pages.

Owns the layout: what stands together, and where a page may break. The same page and date give the
same bytes.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, assert_never

from dalsegno_agents.gallery.finance.rendering.drawing import (
    ACCENT,
    BAD,
    GOOD,
    INK,
    MUTED,
    SOFT,
    draw,
)
from dalsegno_agents.gallery.finance.rendering.page import (
    Block,
    Chart,
    Charts,
    Delta,
    Grid,
    Notice,
    Page,
    Pairs,
    Prose,
    Section,
    Tile,
    Tone,
    tied,
)
from dalsegno_agents.gallery.finance.rendering.pdf_sheet import Sheet
from dalsegno_agents.gallery.finance.rendering.pdf_table import COLOURS, Table
from dalsegno_agents.gallery.finance.rendering.typeface import Typeface

BODY: Final = 10.2
LEADING: Final = 14.4
LEAD_SIZE: Final = 9.6
GUTTER: Final = 26.0
TILE_HEIGHT: Final = 62.0
TILES_IN_ROW: Final = 4
_NOTICES: Final[dict[Tone, tuple[str, str]]] = {
    "good": (GOOD, "#edf6f0"),
    "medium": ("#8a6a00", "#fbf4dd"),
    "critical": (BAD, "#fcebea"),
}


def pdf_of(page: Page, face: Typeface, *, created: datetime) -> bytes:
    """The report as a PDF file.

    Args:
        page: What stands in it.
        face: Measures text.
        created: The document's date (aware of its time zone).
    """
    sheet = Sheet(
        face,
        title=f"{page.title} {page.period}, {page.company}",
        author=page.company,
        footer=page.footer,
        created=created,
    )
    _top(sheet, page)
    for section in page.sections:
        _section(sheet, section)
    return sheet.output()


def _top(sheet: Sheet, page: Page) -> None:
    sheet.box(sheet.left, 26, sheet.width, 4, ACCENT)
    sheet.y = 46
    _text(sheet, page.company, 11.5, fill=ACCENT, strong=True)
    _text(sheet, f"{page.title} {page.period}", 24, strong=True)
    _text(sheet, f"As of {page.as_of}", 10, fill=MUTED)
    sheet.y += 12
    _text(sheet, f"{page.headline}.", 14)
    sheet.y += 10
    _notice(sheet, page.notice)
    sheet.y += 12
    _tiles(sheet, page.tiles)


def _text(sheet: Sheet, text: str, size: float, *, fill: str = INK, strong: bool = False) -> None:
    weight = "semibold" if strong else "regular"
    lines = sheet.wrapped(tied(text), size, sheet.width, weight)
    sheet.lines(lines, x=sheet.left, size=size, leading=size * 1.36, fill=fill, weight=weight)


def _tiles(sheet: Sheet, tiles: Sequence[Tile]) -> None:
    gap = 9.0
    width = (sheet.width - gap * (TILES_IN_ROW - 1)) / TILES_IN_ROW
    for start in range(0, len(tiles), TILES_IN_ROW):
        sheet.need(TILE_HEIGHT)
        for position, tile in enumerate(tiles[start : start + TILES_IN_ROW]):
            _tile(sheet, tile, sheet.left + position * (width + gap), width)
        sheet.y += TILE_HEIGHT + gap


def _tile(sheet: Sheet, tile: Tile, x: float, width: float) -> None:
    y, room = sheet.y, width - 18
    sheet.box(x, y, width, TILE_HEIGHT, SOFT)
    sheet.box(x, y, 2, TILE_HEIGHT, ACCENT)
    x += 10
    label = sheet.face.shortened(sheet.showable(tile.label), 8.6, room)
    sheet.label(x, y + 14, label, 8.6, MUTED)
    size = 14.5
    while size > 8 and sheet.text_width(tile.value, size, "semibold") > room:
        size -= 0.5
    sheet.label(x, y + 31, tile.value, size, INK, "semibold")
    for position, delta in enumerate(tile.deltas):
        _delta(sheet, delta, x, y + 44 + 11 * position)


def _delta(sheet: Sheet, delta: Delta, x: float, y: float) -> None:
    sheet.label(x, y, delta.text, 8.2, COLOURS.get(delta.tone, INK), "semibold")
    x += sheet.text_width(f"{delta.text} ", 8.2, "semibold")
    sheet.label(x, y, delta.against, 8.2, MUTED)


def _section(sheet: Sheet, section: Section) -> None:
    lead = sheet.wrapped(section.lead, LEAD_SIZE, sheet.width) if section.lead else []
    head = 34 + len(lead) * 13
    sheet.y += 20
    sheet.need(head + _first_height(sheet, section.blocks))
    right = sheet.left + sheet.width
    sheet.path([(sheet.left, sheet.y), (right, sheet.y)], INK, 1.2, ())
    sheet.bookmark(section.title)
    sheet.y += 8
    _text(sheet, section.title, 16, strong=True)
    sheet.y += 3
    sheet.lines(lead, x=sheet.left, size=LEAD_SIZE, leading=13, fill=MUTED)
    for position, block in enumerate(section.blocks):
        sheet.y += 4 if position == 0 else 9
        _show(sheet, block)


def _first_height(sheet: Sheet, blocks: Sequence[Block]) -> float:
    """How much of a section must stand below its heading."""
    if not blocks:
        return 0.0
    match blocks[0]:
        case Charts(charts=charts):
            return max((_chart_height(sheet, chart) for chart in charts[:2]), default=0.0)
        case Grid() as grid:
            return min(Table(sheet, grid).first_height, sheet.height / 2) + 18
        case Prose():
            return 3 * LEADING
        case Notice() | Pairs():
            return 60.0
        case _ as other:
            assert_never(other)


def _show(sheet: Sheet, block: Block) -> None:
    match block:
        case Grid():
            _grid(sheet, block)
        case Charts():
            _charts(sheet, block.charts)
        case Prose():
            _prose(sheet, block)
        case Notice():
            _notice(sheet, block)
        case Pairs():
            _pairs(sheet, block)
        case _:
            assert_never(block)


def _grid(sheet: Sheet, grid: Grid) -> None:
    table = Table(sheet, grid) if grid.rows else None
    if grid.title:
        below = min(table.first_height, sheet.height - 30) if table else LEADING
        sheet.need(24 + below)
        sheet.y += 4
        _text(sheet, grid.title, 11, strong=True)
        sheet.y += 3
    if table is None:
        _text(sheet, grid.empty, BODY)
        return
    table.draw()


def _prose(sheet: Sheet, block: Prose) -> None:
    size = LEAD_SIZE - 0.8 if block.tone == "muted" else BODY
    leading = size * LEADING / BODY
    for text in block.paragraphs:
        lines = sheet.wrapped(tied(text), size, sheet.width)
        fill = COLOURS.get(block.tone, INK)
        sheet.lines(lines, x=sheet.left, size=size, leading=leading, fill=fill)
        sheet.y += 6


def _notice(sheet: Sheet, block: Notice) -> None:
    front, back = _NOTICES.get(block.tone, (ACCENT, SOFT))
    room = sheet.width - 26
    title = sheet.wrapped(tied(block.title), BODY, room, "semibold")
    text = sheet.wrapped(tied(block.text), BODY, room)
    height = (len(title) + len(text)) * LEADING + 13
    sheet.need(height)
    sheet.box(sheet.left, sheet.y, sheet.width, height, back)
    sheet.box(sheet.left, sheet.y, 3, height, front)
    end = sheet.y + height
    sheet.y += 6
    sheet.lines(title, x=sheet.left + 14, size=BODY, leading=LEADING, weight="semibold")
    sheet.lines(text, x=sheet.left + 14, size=BODY, leading=LEADING)
    sheet.y = end


def _pairs(sheet: Sheet, block: Pairs) -> None:
    names = max(sheet.text_width(name, BODY, "regular") for name, _ in block.pairs) + 18
    wrapped = [
        (name, sheet.wrapped(tied(value), BODY, sheet.width - names - 24, "semibold"))
        for name, value in block.pairs
    ]
    height = sum(len(lines) for _, lines in wrapped) * LEADING + 13
    sheet.need(height + 24)
    sheet.y += 4
    _text(sheet, block.title, 11, strong=True)
    sheet.y += 3
    sheet.box(sheet.left, sheet.y, sheet.width, height, SOFT)
    sheet.y += 6
    for name, lines in wrapped:
        sheet.label(sheet.left + 12, sheet.y + LEADING * 0.74, name, BODY, MUTED)
        sheet.lines(lines, x=sheet.left + 12 + names, size=BODY, leading=LEADING, weight="semibold")
    sheet.y += 9


def _charts(sheet: Sheet, charts: Sequence[Chart]) -> None:
    width = (sheet.width - GUTTER) / 2
    for start in range(0, len(charts), 2):
        row = charts[start : start + 2]
        height = max(_chart_height(sheet, chart) for chart in row)
        sheet.need(height)
        for position, chart in enumerate(row):
            x = sheet.left + position * (width + GUTTER)
            title = sheet.face.shortened(sheet.showable(chart.title), BODY, width, "semibold")
            sheet.label(x, sheet.y + 12, title, BODY, INK, "semibold")
            below = sheet.y + 20
            below += draw(chart.drawing, sheet, x=x, y=below, width=width)
            if chart.note:
                sheet.label(x, below + 8, chart.note, 8.4, MUTED)
        sheet.y += height


def _chart_height(sheet: Sheet, chart: Chart) -> float:
    width = (sheet.width - GUTTER) / 2
    drawn = chart.drawing.height * width / chart.drawing.width
    return 20 + drawn + (14 if chart.note else 0) + 12
