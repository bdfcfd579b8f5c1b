"""Tests of size: an account's month, or an invoice, out of line with the others.

The measure of "out of line" is the modified z-score of Iglewicz and Hoaglin (*How to Detect and
Handle Outliers*, 1993; NIST/SEMATECH e-Handbook 1.3.5.17): median and MAD in place of mean and
deviation, so that an outlier does not hide itself. It works on logarithms, because costs vary by
factors, after a robust trend (Theil and Sen) and the season that similar accounts share. The
threshold follows from how many values are tested at once, and from how little two dozen months say
of their own spread (`z_threshold`). Pure.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist, median
from typing import Final

import polars as pl

from dalsegno_agents.gallery.finance.analysis.evidence import (
    Detected,
    Evidence,
    left_out,
    passed,
    row_reference,
)
from dalsegno_agents.gallery.finance.model import Anomaly, Reference
from dalsegno_agents.gallery.finance.sources import PROFIT_AND_LOSS

MONTHS_MIN: Final = 12
"""A series with fewer months has no usual level."""
Z_MIN: Final = 3.5
"""The threshold of Iglewicz and Hoaglin for a single series."""
FALSE_ALARM_CHANCE: Final = 0.01
"""Of any false alarm among all values that are tested together."""
MAD_TO_SIGMA: Final = 1.4826
"""A normal distribution's standard deviation in terms of its MAD (1 / 0.6745)."""
MAD_EFFICIENCY: Final = 0.37
"""A MAD of n values says as much as a standard deviation of 0.37 n (Rousseeuw and Croux 1993)."""
SIGMA_MIN: Final = 0.05
"""A steady account may still move by 5 % without being odd."""
FACTOR_MIN: Final = 1.5
"""Nobody asks about a month that is less than half above or a third below the expected."""
SEASON_POOL_MIN: Final = 6
SEASON_MONTHS_MIN: Final = 24
INVOICES_MIN: Final = 100


def z_threshold(tests: int, sample: int) -> float:
    """From which modified z-score on a value is odd.

    The chance of a false alarm is shared among all values (Šidák 1967). As the spread is itself
    estimated, scores follow Student's t rather than the normal distribution; its quantile is taken
    by Wallace's approximation (1959).

    Args:
        tests: How many values are tested at once, in all series.
        sample: From how many values the spread was estimated.
    """
    chance = 1 - (1 - FALSE_ALARM_CHANCE) ** (1 / max(1, tests))
    normal = NormalDist().inv_cdf(1 - chance / 2)
    freedom = max(1.0, MAD_EFFICIENCY * (sample - 1))
    wallace = (normal * (8 * freedom + 3) / (8 * freedom + 1)) ** 2 / freedom
    return max(Z_MIN, math.sqrt(freedom * math.expm1(min(wallace, 700.0))))


@dataclass(frozen=True, kw_only=True)
class _Track:
    """One account of one entity: its months and how far each is from its own trend."""

    entity: str
    account: str
    category: str
    cents: dict[str, int]
    residuals: dict[str, float]
    """In natural logarithms."""


def outliers(evidence: Evidence) -> Detected:
    """An account's month that its trend, its season and its own spread do not explain."""
    check, label = "outliers", "Months out of line"
    ledger = evidence.table("ledger").filter(pl.col("category").is_in(PROFIT_AND_LOSS))
    if ledger.height == 0:
        return left_out(check, label, "the books have no ledger with categories")
    tracks = _tracks(ledger)
    tested = sum(len(track.cents) for track in tracks)
    if not tracks:
        return left_out(check, label, f"no account has entries in {MONTHS_MIN} months")
    explained = _explained(evidence, ledger)
    seasons = _seasons(tracks, len(evidence.periods))
    found: list[Anomaly] = []
    for track in tracks:
        threshold = z_threshold(tested, len(track.cents))
        for month, (expected, sigma) in _expected(track, seasons).items():

            def is_odd(
                cents: int, expected: int = expected, least: float = threshold * sigma
            ) -> bool:
                off = abs(math.log(max(1, cents) / expected))
                return off >= max(least, math.log(FACTOR_MIN)) and (
                    abs(cents - expected) >= evidence.trivial_cents
                )

            actual = abs(track.cents[month])
            rest = abs(track.cents[month] - explained.get((track.entity, track.account, month), 0))
            if is_odd(actual) and is_odd(rest):
                score = abs(math.log(actual / expected)) / (threshold * sigma)
                found.append(_outlier(evidence, ledger, track, month, expected, score))
    return passed(
        check,
        label,
        "modified z-score of the logarithm after trend and season (Iglewicz and Hoaglin 1993) "
        f"beyond what chance gives {tested} values, a factor of {FACTOR_MIN} and more than "
        f"{evidence.money(evidence.trivial_cents)}",
        tested,
        found,
    )


def _explained(evidence: Evidence, ledger: pl.DataFrame) -> dict[tuple[str, str, str], int]:
    """What of each account's month earlier tests have pointed at already."""
    told = ledger.filter(pl.col("document").is_in(sorted(evidence.explained)))
    sums = told.group_by("entity", "account", "period").agg(cents=pl.col("amount_cents").sum())
    return {(entity, account, month): cents for entity, account, month, cents in sums.iter_rows()}


def _expected(
    track: "_Track", seasons: Mapping[tuple[str, str], float]
) -> dict[str, tuple[int, float]]:
    """Each month's expected amount, and the spread of the logarithms around it."""
    season = {month: seasons.get((track.category, month[5:7]), 0.0) for month in track.residuals}
    adjusted = {month: track.residuals[month] - season[month] for month in track.residuals}
    middle, sigma = middle_and_spread(list(adjusted.values()))
    return {
        month: (max(1, round(abs(track.cents[month]) / math.exp(value - middle))), sigma)
        for month, value in adjusted.items()
    }


def _tracks(ledger: pl.DataFrame) -> list[_Track]:
    cells = (
        ledger.group_by("entity", "account", "category", "period")
        .agg(cents=pl.col("amount_cents").sum())
        .filter(pl.col("cents") != 0)
        .sort("entity", "account", "period")
    )
    tracks: list[_Track] = []
    for group in cells.partition_by("entity", "account", "category", maintain_order=True):
        first = group.row(0, named=True)
        usual = 1 if int((group["cents"] > 0).sum()) * 2 >= group.height else -1
        cents = {
            period: value
            for period, value in group.select("period", "cents").iter_rows()
            if value * usual > 0  # a month on the other side is a matter of sign, not of size
        }
        if len(cents) < MONTHS_MIN:
            continue
        tracks.append(
            _Track(
                entity=first["entity"],
                account=first["account"],
                category=first["category"],
                cents=cents,
                residuals=residuals({month: abs(value) for month, value in cents.items()}),
            )
        )
    return tracks


def residuals(amounts: Mapping[str, int]) -> dict[str, float]:
    """How far each month's logarithm is from the series' own robust trend (Theil and Sen)."""
    places = {month: int(month[:4]) * 12 + int(month[5:7]) for month in amounts}
    logs = {month: math.log(amount) for month, amount in amounts.items()}
    slope = median(
        (logs[after] - logs[before]) / (places[after] - places[before])
        for before, after in combinations(amounts, 2)
    )
    level = median(logs[month] - slope * places[month] for month in amounts)
    return {month: logs[month] - slope * places[month] - level for month in amounts}


def _seasons(tracks: Sequence[_Track], months: int) -> dict[tuple[str, str], float]:
    """By category and month of the year: the median deviation that its accounts share."""
    if months < SEASON_MONTHS_MIN:
        return {}
    pools: dict[tuple[str, str], list[float]] = {}
    for track in tracks:
        for month, residual in track.residuals.items():
            pools.setdefault((track.category, month[5:7]), []).append(residual)
    return {key: median(pool) for key, pool in pools.items() if len(pool) >= SEASON_POOL_MIN}


def middle_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """The median, and the sigma that the MAD stands for (at least `SIGMA_MIN`)."""
    middle = median(values)
    spread = median(abs(value - middle) for value in values)
    return middle, max(MAD_TO_SIGMA * spread, SIGMA_MIN)


def _outlier(
    evidence: Evidence,
    ledger: pl.DataFrame,
    track: _Track,
    month: str,
    expected: int,
    score: float,
) -> Anomaly:
    actual = abs(track.cents[month])
    cell = ledger.filter(
        (pl.col("entity") == track.entity)
        & (pl.col("account") == track.account)
        & (pl.col("period") == month)
    ).sort(pl.col("amount_cents").abs(), descending=True)
    place = Reference(table="ledger", entity=track.entity, period=month, account=track.account)
    rows = cell.head(3).to_dicts()
    largest = f"; the largest entry is {rows[0]['document']}" if rows[0]["document"] else ""
    return evidence.anomaly(
        "outlier",
        "outliers",
        f"Account {track.account} of {track.entity} comes to {evidence.money(actual)} in {month}, "
        f"where about {evidence.money(expected)} was to be expected{largest}.",
        [place, *(row_reference("ledger", row) for row in rows)],
        cents=abs(actual - expected),
        score=score,
        entity=track.entity,
        period=month,
        at_least="medium",
    )


# --- single invoices out of line --------------------------------------------------------------


def large_invoices(evidence: Evidence) -> Detected:
    """An invoice far outside of what the entity sells or buys."""
    check, label = "large-invoices", "Invoices of unusual size"
    invoices = evidence.table("invoices").filter(pl.col("amount_cents") > 0)
    log = pl.col("amount_cents").log()
    keys = ["entity", "direction"]
    sized = (
        invoices.with_columns(log=log, count=pl.len().over(keys))
        .filter(pl.col("count") >= INVOICES_MIN)
        .with_columns(middle=pl.col("log").median().over(keys))
        .with_columns(spread=(pl.col("log") - pl.col("middle")).abs().median().over(keys))
    )
    if sized.height == 0:
        return left_out(check, label, f"no entity has {INVOICES_MIN} invoices of one direction")
    counts = sized["count"].unique().to_list()
    limits = {count: z_threshold(sized.height, count) for count in counts}
    limit = pl.col("count").replace_strict(limits, return_dtype=pl.Float64)
    sigma = pl.max_horizontal(pl.col("spread") * MAD_TO_SIGMA, pl.lit(SIGMA_MIN))
    odd = sized.with_columns(z=(pl.col("log") - pl.col("middle")) / sigma / limit).filter(
        (pl.col("z") >= 1)
        & (pl.col("amount_cents") >= evidence.trivial_cents)
        & ~pl.col("document").is_in(list(evidence.explained))
    )
    found = [
        evidence.anomaly(
            "outlier",
            check,
            f"{row['document']} over {evidence.money(row['amount_cents'])} is "
            f"{math.exp(row['log'] - row['middle']):,.0f} times the median {row['direction']} "
            f"invoice of {row['entity']}.",
            [row_reference("invoices", row)],
            cents=row["amount_cents"],
            score=row["z"],
            entity=row["entity"],
            period=f"{row['date']:%Y-%m}",
        )
        for row in odd.sort("z", descending=True).iter_rows(named=True)
    ]
    return passed(
        check,
        label,
        "modified z-score of the logarithm (Iglewicz and Hoaglin 1993) beyond what chance gives "
        f"{sized.height} invoices",
        sized.height,
        found,
    )
