"""Shows a report as one HTML file that needs nothing else: no script, no font, no picture outside.

Owns the templates (`templates/`). Everything that comes from the books is escaped.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, Final, assert_never

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from dalsegno_agents.gallery.finance.rendering.drawing import Drawing, Label, as_svg
from dalsegno_agents.gallery.finance.rendering.page import (
    SEVERITIES,
    Block,
    Charts,
    Grid,
    Notice,
    Page,
    Pairs,
    Prose,
    tied,
)
from dalsegno_agents.gallery.finance.rendering.typeface import data_uri

_PACKAGE: Final = "dalsegno_agents.gallery.finance.rendering"
_DOCUMENT: Final = re.compile(r"(?<![\w-])[A-Za-z]\w{0,5}(?:-\w{1,12}){1,3}(?<=\d)(?![\w-])")
_UNSHOWABLE: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def html_of(page: Page) -> bytes:
    """The report as an HTML file; the same bytes for the same page."""
    environment = Environment(
        loader=PackageLoader(_PACKAGE, "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        finalize=_clean,
    )
    environment.filters["tied"] = _tied
    blocks: Any = environment.get_template(
        "blocks.html.j2",
        globals={"severities": SEVERITIES, "svg": as_svg, "total": _shares},
    ).module

    def show(block: Block) -> Markup:
        return Markup(_macro(blocks, block)(block))  # noqa: S704  # the macro has escaped it

    texts = list(_texts(page))
    html = environment.get_template("report.html.j2").render(
        page=page,
        show=show,
        css=_source(environment, "report.css"),
        fonts={400: data_uri("regular", texts), 600: data_uri("semibold", texts)},
    )
    return html.encode("utf-8", "replace")


def _clean(value: Any) -> Any:
    """Without characters that HTML cannot hold."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return _UNSHOWABLE.sub("\ufffd", value)
    return value


def _tied(text: str) -> Markup:
    """Text of the report: numbers stay with their units, and document numbers in one piece."""
    escaped = str(escape(tied(_UNSHOWABLE.sub("\ufffd", text))))
    return Markup(_DOCUMENT.sub(r'<span class="id">\g<0></span>', escaped))  # noqa: S704  # escaped


def _macro(blocks: Any, block: Block) -> Callable[[Block], str]:
    match block:
        case Grid():
            return blocks.grid
        case Charts():
            return blocks.charts
        case Prose():
            return blocks.prose
        case Notice():
            return blocks.notice
        case Pairs():
            return blocks.pairs
        case _:
            assert_never(block)


def _source(environment: Environment, name: str) -> str:
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def _shares(grid: Grid) -> float:
    return sum(column.share for column in grid.columns)


def _texts(page: Page) -> Iterator[str]:
    """Every text, for the characters that the fonts must have."""
    yield from (page.company, page.title, page.headline, page.footer, page.as_of, page.period)
    yield from (page.notice.title, page.notice.text)
    for tile in page.tiles:
        yield from (tile.label, tile.value, *(delta.text for delta in tile.deltas))
    for section in page.sections:
        yield from (section.title, section.lead)
        for block in section.blocks:
            yield from _texts_of(block)


def _texts_of(block: Block) -> Iterator[str]:
    match block:
        case Grid():
            yield from (block.title, block.empty, *(column.title for column in block.columns))
            yield from (f"{cell.text}{cell.note}" for row in block.rows for cell in row)
        case Charts():
            for chart in block.charts:
                yield from (chart.title, chart.note, *_labels(chart.drawing))
        case Prose():
            yield from block.paragraphs
        case Notice():
            yield from (block.title, block.text)
        case Pairs():
            yield from (block.title, *(f"{name}{value}" for name, value in block.pairs))
        case _:
            assert_never(block)


def _labels(drawing: Drawing) -> Iterator[str]:
    yield from (shape.text for shape in drawing.shapes if isinstance(shape, Label))
