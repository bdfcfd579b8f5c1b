"""Benford's law: how often amounts begin with each digit, and what it means when they do not.

Owns the first-digit test of subledgers. The measure is the mean absolute deviation (MAD) with the
limits of Nigrini (*Benford's Law*, 2012, p. 160: first digits conform closely up to 0.006,
acceptably up to 0.012, marginally up to 0.015). A small sample deviates by chance alone, so what
chance explains is taken off first, as Barney and Schulzke do (*Moderating "Cry Wolf" Events with
Excess MAD*, Journal of Forensic Accounting Research 1, 2016). Pure.
"""

import math
from collections.abc import Sequence
from typing import Any, Final

import polars as pl

from dalsegno_agents.gallery.finance.analysis.evidence import (
    Detected,
    Evidence,
    left_out,
    passed,
    row_reference,
)
from dalsegno_agents.gallery.finance.model import EVIDENCE_MAX, Anomaly, Reference, Series

FIRST_DIGITS: Final = tuple(math.log10(1 + 1 / digit) for digit in range(1, 10))
"""The shares that the law expects of the digits 1 to 9."""
ROWS_MIN: Final = 300
"""Below it the test says nothing: chance alone then gives a MAD near the limit (0.014 at 300)."""
MAD_LIMITS: Final = (
    (0.006, "close conformity"),
    (0.012, "acceptable conformity"),
    (0.015, "marginal conformity"),
)
MAD_MAX: Final = MAD_LIMITS[-1][0]
SPAN_MIN: Final = 100.0
"""Amounts must spread over two orders of magnitude, or the law does not apply."""
CENTS_MIN: Final = 1_000
"""Smaller amounts are left out: they have too few digits."""
_LABEL: Final = "First digits (Benford)"


def mean_absolute_deviation(shares: Sequence[float]) -> float:
    """The MAD of nine observed shares from what the law expects."""
    return math.fsum(map(abs, map(float.__sub__, shares, FIRST_DIGITS))) / 9


def expected_deviation(count: int) -> float:
    """The MAD that chance alone gives a sample of `count` amounts that follow the law.

    Each digit's count is binomial; a normal variable's mean distance is its sigma times sqrt(2/pi).
    """
    return math.fsum(
        math.sqrt(2 * share * (1 - share) / (math.pi * count)) for share in FIRST_DIGITS
    ) / len(FIRST_DIGITS)


def first_digits(cents: pl.Series) -> list[int]:
    """How many amounts begin with each digit, 1 to 9."""
    digits = cents.cast(pl.String).str.slice(0, 1).value_counts()
    counted = dict(digits.iter_rows())
    return [counted.get(str(digit), 0) for digit in range(1, 10)]


def benford(evidence: Evidence) -> tuple[Detected, list[Series]]:
    """Test each entity's sales and purchase invoices; also the points of a chart for each."""
    check = "benford"
    invoices = evidence.table("invoices").filter(pl.col("amount_cents") >= CENTS_MIN)
    found: list[Anomaly] = []
    series: list[Series] = []
    words: list[str] = []
    examined = 0
    groups = invoices.partition_by("entity", "direction", maintain_order=True)
    for group in sorted(groups, key=lambda one: one.select("entity", "direction").row(0)):
        entity, direction = group.select("entity", "direction").row(0)
        amounts = group["amount_cents"]
        low, high = amounts.quantile(0.01) or 1.0, amounts.quantile(0.99) or 1.0
        if group.height < ROWS_MIN or high / low < SPAN_MIN:
            continue
        examined += group.height
        counts = first_digits(amounts)
        shares = [count / group.height for count in counts]
        deviation = mean_absolute_deviation(shares)
        excess = deviation - expected_deviation(group.height)
        words.append(f"{entity} {direction} MAD {deviation:.4f} ({_verdict(excess)})")
        series.append(_points(f"benford/{entity}/{direction}", entity, shares, direction))
        if excess > MAD_MAX:
            found.append(_bent(evidence, group, shares, deviation, excess))
    if not examined:
        reason = f"no entity has {ROWS_MIN} invoices of one direction over two orders of magnitude"
        return left_out(check, _LABEL, reason), []
    series.insert(0, _points("benford/expected", "", FIRST_DIGITS, ""))
    method = (
        f"mean absolute deviation of the shares, less what chance explains, above {MAD_MAX} "
        "(Nigrini 2012; Barney and Schulzke 2016)"
    )
    return passed(check, _LABEL, method, examined, found, "; ".join(words)), series


def _verdict(excess: float) -> str:
    return next((word for limit, word in MAD_LIMITS if excess <= limit), "nonconformity")


def _points(name: str, entity: str, shares: Sequence[float], direction: str) -> Series:
    return Series(
        id=name,
        label=f"First digits of {direction} invoices, {entity}" if entity else "Benford's law",
        entity=entity,
        unit="ratio",
        periods=tuple(str(digit) for digit in range(1, 10)),
        values=tuple(round(share, 6) for share in shares),
    )


def _bent(
    evidence: Evidence,
    group: pl.DataFrame,
    shares: Sequence[float],
    deviation: float,
    excess: float,
) -> Anomaly:
    surplus = [share - expected for share, expected in zip(shares, FIRST_DIGITS, strict=True)]
    digit = max(range(1, 10), key=lambda one: surplus[one - 1])
    having = group.filter(pl.col("amount_cents").cast(pl.String).str.starts_with(str(digit)))
    partners = having["counterparty"].drop_nulls().value_counts(sort=True)
    partner = str(partners.row(0)[0]) if partners.height else ""
    rows: list[dict[str, Any]] = (
        having.filter(pl.col("counterparty") == partner) if partner else having
    ).to_dicts()
    entity, direction = group.select("entity", "direction").row(0)
    share, expected = shares[digit - 1], FIRST_DIGITS[digit - 1]
    of_whom = f", {len(rows)} of them with {partner}" if partner else ""
    return evidence.anomaly(
        "benford",
        "benford",
        f"{share:.1%} of the {direction} invoices of {entity} begin with {digit} where Benford's "
        f"law expects {expected:.1%} (MAD {deviation:.4f}, limit {MAD_MAX}){of_whom}.",
        [
            Reference(table="invoices", entity=entity, counterparty=partner),
            *(row_reference("invoices", row) for row in rows[: EVIDENCE_MAX - 1]),
        ],
        cents=sum(row["amount_cents"] for row in rows),
        score=excess / MAD_MAX,
        entity=entity,
        at_least="medium",
    )
