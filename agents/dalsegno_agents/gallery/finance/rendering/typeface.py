"""The typeface of the report: how wide text is, and the font itself, as file and as data URI.

Source Sans Pro (SIL Open Font License) from the package `font-source-sans-pro`: Latin, Greek and
Cyrillic, with figures of equal width. HTML gets only the characters that it uses.
"""

import base64
import io
import logging
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, cast

from fontTools import (  # pyright: ignore[reportMissingTypeStubs]  # it has none
    subset,
    ttLib,  # pyright: ignore[reportMissingTypeStubs]
)

Weight: TypeAlias = Literal["regular", "semibold"]

FAMILY: Final = "Source Sans Pro"
_FILES: Final[dict[Weight, str]] = {
    "regular": "SourceSansPro-Regular.ttf",
    "semibold": "SourceSansPro-Semibold.ttf",
}
logging.getLogger("fontTools.subset").setLevel(logging.WARNING)  # it tells what it leaves out

_ALWAYS: Final = "".join(map(chr, range(0x20, 0x7F)))
_MISSING_EM: Final = 0.6
"""How wide a character is taken to be that the font does not have."""


def font_path(weight: Weight) -> Path:
    """The TrueType file of a weight."""
    return Path(str(files("font_source_sans_pro").joinpath("files", _FILES[weight])))


class Typeface:
    """Measures text. Reads a font once, when it is first asked for."""

    def __init__(self) -> None:
        self._advances: dict[Weight, dict[int, float]] = {}

    def width(self, text: str, size: float, weight: Weight = "regular") -> float:
        """How wide `text` is in one line, in the unit of `size`."""
        advances = self._of(weight)
        return size * sum(advances.get(ord(character), _MISSING_EM) for character in text)

    def has(self, character: str) -> bool:
        """Whether the typeface can show a character."""
        return ord(character) in self._of("regular")

    def shortened(
        self, text: str, size: float, width_max: float, weight: Weight = "regular"
    ) -> str:
        """`text`, or as much of it as fits with an ellipsis."""
        if self.width(text, size, weight) <= width_max:
            return text
        while text and self.width(f"{text}…", size, weight) > width_max:
            text = text[:-1]
        return f"{text.rstrip()}…"

    def wrapped(
        self, text: str, size: float, width_max: float, weight: Weight = "regular"
    ) -> list[str]:
        """`text` in lines that fit; a word that is too long for a line is broken."""
        lines: list[str] = []
        for paragraph in text.split("\n"):
            line = ""
            for word in filter(None, paragraph.split(" ")):  # a no-break space divides nothing
                longer = f"{line} {word}" if line else word
                if self.width(longer, size, weight) <= width_max:
                    line = longer
                    continue
                if line:
                    lines.append(line)
                *broken, line = self._broken(word, size, width_max, weight)
                lines.extend(broken)
            lines.append(line)
        return lines

    def _broken(self, word: str, size: float, width_max: float, weight: Weight) -> list[str]:
        """A word in pieces that fit; preferably after a hyphen or a slash."""
        pieces: list[str] = []
        piece = ""
        for character in word:
            if piece and self.width(piece + character, size, weight) > width_max:
                cut = max(piece.rfind(mark) for mark in "-/_") + 1
                cut = cut if cut > len(piece) // 3 else len(piece)
                pieces.append(piece[:cut])
                piece = piece[cut:]
            piece += character
        return [*pieces, piece]

    def _of(self, weight: Weight) -> dict[int, float]:
        """Widths in em by code point."""
        if weight not in self._advances:
            font: Any
            with ttLib.TTFont(font_path(weight), lazy=True) as font:
                em, metrics = font["head"].unitsPerEm, font["hmtx"]
                names = cast("dict[int, str]", font.getBestCmap())
                advances = {code: metrics[name][0] / em for code, name in names.items()}
            self._advances[weight] = advances
        return self._advances[weight]


def data_uri(weight: Weight, texts: Iterable[str]) -> str:
    """The font as WOFF in a `data:` URI, with the characters of `texts`; the same for the same."""
    options: Any = subset.Options()
    options.flavor = "woff"
    options.layout_features = ["kern"]
    options.name_IDs = [1, 2]
    options.notdef_outline = True
    subsetter: Any = subset.Subsetter(options)
    subsetter.populate(unicodes={ord(one) for text in (_ALWAYS, *texts) for one in text})
    body = io.BytesIO()
    font: Any
    with ttLib.TTFont(font_path(weight), lazy=True, recalcTimestamp=False) as font:
        subsetter.subset(font)
        font.flavor = "woff"
        font.save(body)
    return f"data:font/woff;base64,{base64.b64encode(body.getvalue()).decode()}"
