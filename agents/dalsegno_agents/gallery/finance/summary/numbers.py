"""Finds the numbers in English text, each with what it measures and how exactly it is written.

Owns reading only: whether a number is true is `known`'s business. Reads `1,234.5`, `EUR 1.2
million`, `$3bn`, `12.5 %`, `1.2 percentage points`, `35 bps`, `1.82x`, `41-day`, `(3.4)`, `twelve`.
Words that merely imply a number (doubled, a third, most) are not numbers here.

Periods (`2025-Q4`, `Q4`, `November 2025`, `2025-11-03`) and identifiers (`SI-DE01-000042`) are not
amounts; they come back as kinds of their own, so that an invented one is seen as well.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Kind: TypeAlias = Literal[
    "money",
    "percent",
    "points",
    "basis_points",
    "times",
    "days",
    "plain",
    "year",
    "identifier",
]
"""points: percentage points. plain: no unit. year: the year of a period, or a year alone."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """One number as it stands in a text."""

    text: str
    start: int
    kind: Kind
    value: float = 0.0
    """Without its sign, in the unit of its kind: whole currency units, percent, points, days."""
    precision: float = 0.0
    """Half a unit of the last digit that is written: how far off the true value may be."""
    sign: Literal[-1, 0, 1] = 0
    """As written; 0 where there is none, or parentheses, which may be a remark or a minus."""
    currency: str = ""
    """The currency written beside it, as a code."""


_SYMBOLS: Final = {"€": "EUR", "$": "USD", "£": "GBP", "¥": "JPY"}
_CODES: Final = (
    "COD|AED|AFN|AMD|AOA|ARS|AUD|AWG|AZN|BAM|BBD|BDT|BGN|BHD|BIF|BMD|BND|BOB|BRL|BSD|BTN|"
    "BWP|BYN|BZD|CAD|CDF|CHF|CLP|CNY|COP|CRC|CUP|CVE|CZK|DJF|DKK|DOP|DZD|EGP|ERN|ETB|EUR|FJD|"
    "FKP|GBP|GEL|GHS|GIP|GMD|GNF|GTQ|GYD|HKD|HNL|HTG|HUF|IDR|ILS|INR|IQD|IRR|ISK|JMD|JOD|JPY|"
    "KES|KGS|KHR|KMF|KPW|KRW|KWD|KYD|KZT|LAK|LBP|LKR|LRD|LSL|LYD|MDL|MGA|MKD|MMK|MNT|MOP|"
    "MRU|MUR|MVR|MWK|MXN|MYR|MZN|NAD|NGN|NIO|NOK|NPR|NZD|OMR|PAB|PEN|PGK|PHP|PKR|PLN|PYG|QAR|"
    "RON|RSD|RUB|RWF|SAR|SBD|SCR|SDG|SEK|SGD|SHP|SLE|SOS|SRD|SSP|STN|SVC|SYP|SZL|THB|TJS|TMT|"
    "TND|TTD|TWD|TZS|UAH|UGX|USD|UYU|UZS|VES|VND|VUV|WST|XAF|XCD|XOF|XPF|YER|ZAR|ZMW|"
    "ZWG"
)
"""ISO 4217, but for four that are words too (ALL, MAD, TOP, TRY)."""
_WORDS_CURRENCY: Final = {"euro": "EUR", "euros": "EUR", "dollar": "USD", "dollars": "USD"}
_SCALES: Final = {
    "k": 1e3,
    "thousand": 1e3,
    "m": 1e6,
    "mn": 1e6,
    "mio": 1e6,
    "million": 1e6,
    "millions": 1e6,
    "b": 1e9,
    "bn": 1e9,
    "billion": 1e9,
    "billions": 1e9,
    "tn": 1e12,
    "trillion": 1e12,
}
_MONTH: Final = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?"
    r"|Sept?(?:ember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)\.?"
)
_PERIOD: Final = re.compile(
    r"\b(?:"
    r"(?P<y1>\d{4})-\d{2}-\d{2}"
    r"|(?P<y2>\d{4})[-\s/]?[QH][1-4]"
    r"|[QH][1-4](?:[-\s/](?:FY\s?)?(?P<y3>(?:19|20)\d{2}))?"
    r"|(?P<y4>(?:19|20)\d{2})-(?:0[1-9]|1[0-2])"
    r"|FY\s?(?P<y5>\d{4})"
    rf"|(?:\d{{1,2}}(?:st|nd|rd|th)?\s)?{_MONTH}\s(?:\d{{1,2}}(?:st|nd|rd|th)?,?\s)?(?P<y6>(?:19|20)\d{{2}})"
    rf"|\d{{1,2}}(?:st|nd|rd|th)?\s{_MONTH}"
    r")(?![\w%]|[.,]\d)"
)
_YEAR: Final = re.compile(
    r"(?<![\w.,$€£¥+(-])(?P<year>(?:19|20)\d{2})"
    r"(?![\w%]|[.,]\d|\s?(?:%|per\s?cent|percent|bps|pp\b|days?\b|times\b|million|bn|thousand))"
)
_IDENTIFIER: Final = re.compile(r"(?<![\w-])(?=[\w/-]*\d)[A-Za-z][\w/-]*[\w](?![\w])")
_WORD_YEAR: Final = re.compile(r"[A-Za-z]+-(?P<year>(?:19|20)\d{2})")
_DIGITS: Final = re.compile(r"\S*\d\S*")
_CURRENCY_NUMBER: Final = re.compile(rf"(?:{_CODES})\d")
_SPACE: Final = " \u00a0\u2009\u202f"
_NUMBER: Final = re.compile(
    rf"""
    (?<![\w.,])
    (?P<before>(?:{_CODES})|[€$£¥])?[{_SPACE}]?
    (?P<open>\()?
    (?P<sign>[-\u2212\u2013+])?[{_SPACE}]?
    (?P<inner>(?:{_CODES})[{_SPACE}]?|[€$£¥])?
    (?P<whole>\d{{1,3}}(?:[,'{_SPACE}]\d{{3}})+(?!\d)|\d+)(?P<fraction>\.\d+)?
    (?:(?:st|nd|rd|th)\b)?
    (?:[{_SPACE}]?(?P<scale>thousand|millions?|billions?|trillion|mio|mn|bn|tn|[kKmMbB])(?![A-Za-z]))?
    (?:[{_SPACE}]?(?P<unit>%|per[ ]?cent\b|percentage[ ]points?\b|pp\b|p\.p\.
        |bps\b|basis[ ]points?\b|[x\u00d7](?!\w)|-?days?\b|-?times\b
        |(?:{_CODES})\b|[€$£¥]|euros?\b|dollars?\b)(?:[ ]points?\b)?)?
    (?P<close>\))?
    """,
    re.VERBOSE,
)
_UNITS: Final = {
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
    "eleven": 11,
    "twelve": 12,
    "thirteen": 13,
    "fourteen": 14,
    "fifteen": 15,
    "sixteen": 16,
    "seventeen": 17,
    "eighteen": 18,
    "nineteen": 19,
}
_TENS: Final = {
    word: 10 * position
    for position, word in enumerate(
        ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"), 2
    )
}
_WORD: Final = re.compile(
    r"\b(?P<tens>" + "|".join(_TENS) + r")?(?:(?<=y)-)?(?P<units>one|" + "|".join(_UNITS) + r")?\b"
    r"(?:\s(?P<scale>hundred|thousand|million|billion))?"
    r"(?:\s(?P<unit>per\s?cent|percentage\spoints?|basis\spoints?|days|times|euros?|dollars?))?",
    re.IGNORECASE,
)
_WORD_SCALES: Final = {"hundred": 1e2, "thousand": 1e3, "million": 1e6, "billion": 1e9}


def numbers_in(text: str, *, names: Iterable[str] = ()) -> list[Written]:
    """Every number in `text`, in order.

    Args:
        text: English prose.
        names: Words with digits that are no numbers here: companies, entities, labels.
    """
    found: list[Written] = []
    rest = text
    for name in sorted(names, key=len, reverse=True):
        rest = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", _blank, rest)
    for pattern, read in ((_PERIOD, _period), (_YEAR, _period), (_IDENTIFIER, _identifier)):
        for hit in pattern.finditer(rest):
            written = read(hit)
            if written is not None:
                found.extend(written)
                rest = rest[: hit.start()] + _blank(hit) + rest[hit.end() :]
    found.extend(_number(hit) for hit in _NUMBER.finditer(rest))
    rest = _NUMBER.sub(_blank, rest)
    found.extend(  # digits that make no number, such as 1,234,5678: nothing may slip through
        Written(text=hit[0], start=hit.start(), kind="identifier") for hit in _DIGITS.finditer(rest)
    )
    found.extend(_word(hit) for hit in _WORD.finditer(rest) if _is_number(hit))
    return sorted(found, key=lambda number: number.start)


def _blank(hit: re.Match[str]) -> str:
    return "_" * len(hit[0])


def _period(hit: re.Match[str]) -> list[Written] | None:
    year = next((group for group in hit.groups() if group), None)
    if year is None:  # `Q4` alone: no year to be wrong about
        return []
    return [Written(text=hit[0], start=hit.start(), kind="year", value=float(year))]


def _identifier(hit: re.Match[str]) -> list[Written] | None:
    if _CURRENCY_NUMBER.match(hit[0]):
        return None
    dated = _WORD_YEAR.fullmatch(hit[0])
    if dated:
        return [Written(text=hit[0], start=hit.start(), kind="year", value=float(dated["year"]))]
    return [Written(text=hit[0], start=hit.start(), kind="identifier")]


def _number(hit: re.Match[str]) -> Written:
    digits = re.sub(rf"[,'{_SPACE}]", "", hit["whole"])
    fraction = hit["fraction"] or ""
    scale = _SCALES[hit["scale"].lower()] if hit["scale"] else 1.0
    unit = (hit["unit"] or "").lstrip("-")
    before = (hit["before"] or hit["inner"] or "").strip(_SPACE)
    currency = _SYMBOLS.get(before, before) or _currency(unit)
    sign: Literal[-1, 0, 1] = 0
    if hit["sign"] and not hit["open"]:
        sign = 1 if hit["sign"] == "+" else -1
    return Written(
        text=hit[0].strip(),
        start=hit.start(),
        kind="money" if currency else _kind(unit, hit[0]),
        value=float(digits + fraction) * scale,
        precision=0.5 * 10.0 ** -max(0, len(fraction) - 1) * scale,
        sign=sign,
        currency=currency,
    )


def _is_number(hit: re.Match[str]) -> bool:
    """Not the pronoun `one`, and not the empty match."""
    if hit["tens"]:
        return True
    units = (hit["units"] or "").lower()
    return bool(units) and (units != "one" or hit["scale"] is not None)


def _word(hit: re.Match[str]) -> Written:
    units = (hit["units"] or "").lower()
    value = _TENS.get((hit["tens"] or "").lower(), 0) + (1 if units == "one" else 0)
    scale = _WORD_SCALES[hit["scale"].lower()] if hit["scale"] else 1.0
    unit = (hit["unit"] or "").lower()
    currency = _currency(unit)
    return Written(
        text=hit[0].strip(),
        start=hit.start(),
        kind="money" if currency else _kind(unit, hit[0]),
        value=(value + _UNITS.get(units, 0)) * scale,
        precision=0.5 * scale,
        currency=currency,
    )


def _currency(unit: str) -> str:
    if unit in _SYMBOLS:
        return _SYMBOLS[unit]
    if unit.lower() in _WORDS_CURRENCY:
        return _WORDS_CURRENCY[unit.lower()]
    return unit if re.fullmatch(_CODES, unit) else ""


def _kind(unit: str, text: str) -> Kind:
    match unit.lower():
        case "%" | "percent" | "per cent":
            return "points" if text.rstrip(")").endswith(("point", "points")) else "percent"
        case "pp" | "p.p." | "percentage point" | "percentage points":
            return "points"
        case "bps" | "basis point" | "basis points":
            return "basis_points"
        case "x" | "\u00d7" | "times":
            return "times"
        case "day" | "days":
            return "days"
        case _:
            return "plain"
