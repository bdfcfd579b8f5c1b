"""Finds personal data in free text, and masks it.

Owns the patterns. What looks like a document number must not be taken for a person's: an IBAN, a
card or a national number counts only when its check digits are right (python-stdnum), and a number
without a form of its own (a tax id, a phone number without `+`) only after a word that says so.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from stdnum import luhn
from stdnum.de import idnr
from stdnum.es import dni, nie
from stdnum.fr import nir
from stdnum.gb import nhs
from stdnum.iban import is_valid as is_iban
from stdnum.it import codicefiscale
from stdnum.nl import bsn
from stdnum.pl import pesel
from stdnum.us import itin, ssn

from dalsegno_agents.gallery.finance.compliance.rules import PersonalKind

MASK: Final = "•••"
NAMES: Final[dict[PersonalKind, tuple[str, str]]] = {
    "iban": ("an IBAN", "IBANs"),
    "email": ("an e-mail address", "e-mail addresses"),
    "phone": ("a phone number", "phone numbers"),
    "card": ("a card number", "card numbers"),
    "national_id": ("a national or tax number", "national or tax numbers"),
}
SUSPECT: Final = r"@|(?:\d[^0-9A-Za-z]{0,2}){6}|[A-Z]{6}\d{2}[A-Z]\d{2}[A-Z]"
"""What a text without personal data need not have; for a quick look at many rows (RE2 syntax)."""

_TAKEN: Final = "\0"
_EDGE: Final = r"(?<![\w/#-])"
_END: Final = r"(?![\w/-])"
_EMAIL: Final = re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,}")
_IBAN: Final = re.compile(rf"{_EDGE}[A-Za-z]{{2}}\d{{2}}(?:[ ]?[A-Za-z0-9]){{11,30}}")
_CARD: Final = re.compile(
    rf"{_EDGE}[3-6]\d{{3}}(?:([ -])\d{{4}}\1\d{{4}}\1\d{{1,7}}|\d{{9,15}}){_END}"
)
_PHONE_INTERNATIONAL: Final = re.compile(
    r"(?<![\w+/.,-])(?:\+|00(?=\d{1,3}[ ./()-]))\d{1,3}(?:[ ./()-]{0,2}\d){7,13}(?![\w,]|[.-]\d)"
)
_CARD_CUE: Final = re.compile(r"\b(?:card|visa|mastercard|amex)\b\D{0,12}$", re.IGNORECASE)
_MONEY_AFTER: Final = re.compile(r"\s?(?:[A-Z]{3}\b|[€$£¥%])")
_PHONE_DIGITS: Final = range(9, 16)
_PHONE_AMERICAN: Final = re.compile(rf"(?<![\w+])\(\d{{3}}\) ?\d{{3}}-\d{{4}}{_END}")
_PHONE_CUE: Final = re.compile(
    r"\b(?:tel(?:ephone|efon|\.)?|phone|mob(?:ile|il|\.)?|cell|handy|fax)\b\W{0,3}"
    r"(?:no\.?|number|nr\.?)?\W{0,3}(?P<number>\(?\d(?:[ ./()-]{0,2}\d){6,13})(?![\w])",
    re.IGNORECASE,
)
_NATIONAL_CUE: Final = re.compile(
    r"\b(?:ssn|itin|social[ ]security|tax[ ](?:id|no|number)|tin|national[ ](?:id|insurance)|nino"
    r"|steuer-?(?:id\w*|nummer|nr)|idnr|n(?:umé|u)?(?:méro)?[ ]?(?:de[ ])?sécu\w*|nir|dni|nie|nif"
    r"|bsn|pesel|nhs|codice[ ]fiscale|c\.?f\.?)\b[^0-9A-Za-z]{0,3}(?:(?:no|nr|number|is)\b\W{0,3})?"
    r"(?P<number>[A-Za-z]?\d(?:[ ./-]?[0-9A-Za-z]){6,20})",
    re.IGNORECASE,
)
_SSN: Final = re.compile(rf"{_EDGE}\d{{3}}-\d{{2}}-\d{{4}}{_END}")
_NINO: Final = re.compile(
    rf"{_EDGE}(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]"
    rf" \d{{2}} \d{{2}} \d{{2}} [A-D]{_END}"
)
_NIR: Final = re.compile(rf"{_EDGE}[12] ?\d\d ?\d\d ?\d[0-9AB] ?\d{{3}} ?\d{{3}} ?\d\d{_END}")
_FISCAL: Final = re.compile(rf"{_EDGE}[A-Z]{{6}}\d\d[A-Z]\d\d[A-Z]\d{{3}}[A-Z]{_END}")
_NATIONAL: Final[tuple[Callable[[str], bool], ...]] = (
    ssn.is_valid,
    itin.is_valid,
    idnr.is_valid,
    nir.is_valid,
    dni.is_valid,
    nie.is_valid,
    bsn.is_valid,
    pesel.is_valid,
    nhs.is_valid,
    codicefiscale.is_valid,
)
"""Numbers with check digits; they count after a word that says what they are."""


@dataclass(frozen=True, kw_only=True)
class Match:
    """Personal data at one place of a text."""

    kind: PersonalKind
    masked: str
    """With its first and last characters only."""


def masked(value: str) -> str:
    """The first and the last characters of a value; the rest is not shown to anybody."""
    plain = re.sub(r"[\s./()-]", "", value)
    shown = 2 if len(plain) >= 10 else 1
    return f"{plain[:shown]}{MASK}{plain[-shown:]}"


def personal_data_in(text: str) -> list[Match]:
    """All personal data in a text, each place once; an IBAN is not a card number as well."""
    found: list[Match] = []
    rest = text
    for kind, find in _FINDERS:
        for start, end in list(find(rest)):
            if _TAKEN in rest[start:end]:
                continue
            found.append(Match(kind=kind, masked=masked(rest[start:end])))
            rest = rest[:start] + _TAKEN * (end - start) + rest[end:]
    return found


def _emails(text: str) -> Iterator[tuple[int, int]]:
    yield from (hit.span() for hit in _EMAIL.finditer(text))


def _ibans(text: str) -> Iterator[tuple[int, int]]:
    """The longest beginning of a candidate that is an IBAN: words may follow after a blank."""
    position = 0
    while (hit := _IBAN.search(text, position)) is not None:
        position = hit.start() + 1
        for end in range(hit.end(), hit.start() + 14, -1):
            whole = end == len(text) or not text[end].isalnum()
            if whole and text[end - 1] != " " and is_iban(text[hit.start() : end]):
                yield hit.start(), end
                position = end
                break


def _cards(text: str) -> Iterator[tuple[int, int]]:
    for hit in _CARD.finditer(text):
        digits = re.sub(r"\D", "", hit[0])
        told = hit[1] or _CARD_CUE.search(text, 0, hit.start())
        if 13 <= len(digits) <= 19 and told and luhn.is_valid(digits):
            yield hit.span()


def _phones(text: str) -> Iterator[tuple[int, int]]:
    for hit in _PHONE_INTERNATIONAL.finditer(text):
        digits = sum(map(str.isdigit, hit[0].removeprefix("00")))
        if digits in _PHONE_DIGITS and not _MONEY_AFTER.match(text, hit.end()):
            yield hit.span()
    yield from (hit.span() for hit in _PHONE_AMERICAN.finditer(text))
    for hit in _PHONE_CUE.finditer(text):
        yield hit.span("number")


def _nationals(text: str) -> Iterator[tuple[int, int]]:
    for hit in _SSN.finditer(text):
        if ssn.is_valid(hit[0]) or itin.is_valid(hit[0]):
            yield hit.span()
    yield from (hit.span() for hit in _NINO.finditer(text))
    for pattern, is_valid in ((_NIR, nir.is_valid), (_FISCAL, codicefiscale.is_valid)):
        yield from (hit.span() for hit in pattern.finditer(text) if is_valid(hit[0]))
    for hit in _NATIONAL_CUE.finditer(text):
        start, end = hit.span("number")
        for stop in range(end, start + 6, -1):
            if any(is_valid(text[start:stop]) for is_valid in _NATIONAL):
                yield start, stop
                break


_FINDERS: Final[tuple[tuple[PersonalKind, Callable[[str], Iterator[tuple[int, int]]]], ...]] = (
    ("email", _emails),
    ("iban", _ibans),
    ("card", _cards),
    ("national_id", _nationals),
    ("phone", _phones),
)
