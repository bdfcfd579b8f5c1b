"""First digits: what the law expects, what chance explains, and what is left to ask about."""

import math
import random
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest

from dalsegno_agents.gallery.finance.analysis import benford as benford_test
from dalsegno_agents.gallery.finance.analysis.benford import (
    FIRST_DIGITS,
    benford,
    expected_deviation,
    first_digits,
    mean_absolute_deviation,
)
from dalsegno_agents.gallery.finance.analysis.evidence import Evidence

Rows = list[dict[str, Any]]
Table = Callable[..., pl.DataFrame]
Make = Callable[..., Evidence]


def invoice(document: str, cents: int, **more: Any) -> dict[str, Any]:
    return {
        "entity": "A1",
        "document": document,
        "direction": "purchase",
        "date": date(2025, 3, 4),
        "amount_cents": cents,
        "counterparty": "V1",
        **more,
    }


def conforming(count: int, seed: int) -> Rows:
    chance = random.Random(seed)
    return [
        invoice(
            f"I{n}",
            round(10 ** chance.uniform(3, 7)),
            date=date(2025, 1, 1) + timedelta(days=n % 300),
        )
        for n in range(count)
    ]


def test_the_law_expects_nine_shares_that_add_up_to_one() -> None:
    assert math.fsum(FIRST_DIGITS) == pytest.approx(1)
    assert FIRST_DIGITS[0] == pytest.approx(0.30103, abs=1e-5)
    assert mean_absolute_deviation(FIRST_DIGITS) == 0


def test_digits_are_counted_by_their_first(table: Table) -> None:
    assert first_digits(pl.Series([1, 19, 250, 9, 99])) == [2, 1, 0, 0, 0, 0, 0, 0, 2]


def test_what_chance_explains_shrinks_with_the_number_of_rows() -> None:
    assert expected_deviation(300) == pytest.approx(0.0136, abs=0.0001)
    assert expected_deviation(30_000) == pytest.approx(expected_deviation(300) / 10)


@pytest.mark.parametrize("seed", range(10))
def test_amounts_that_follow_the_law_are_left_in_peace(
    table: Table, evidence: Make, seed: int
) -> None:
    outcome, series = benford(evidence(invoices=table("invoices", conforming(400, seed))))
    assert outcome.anomalies == ()
    assert [one.id for one in series] == ["benford/expected", "benford/A1/purchase"]


def test_many_amounts_below_a_limit_bend_the_digits_and_name_the_partner(
    table: Table, evidence: Make
) -> None:
    rows = [
        *conforming(600, 1),
        *(invoice(f"L{n}", 495_000 + n, counterparty="V7") for n in range(120)),
    ]
    outcome, _ = benford(evidence(invoices=table("invoices", rows)))
    assert [one.kind for one in outcome.anomalies] == ["benford"]
    assert outcome.anomalies[0].evidence[0].counterparty == "V7"
    assert "begin with 4" in outcome.anomalies[0].explanation


def test_too_few_amounts_are_not_tested(table: Table, evidence: Make) -> None:
    rows = conforming(benford_test.ROWS_MIN - 1, 1)
    outcome, series = benford(evidence(invoices=table("invoices", rows)))
    assert outcome.omission is not None
    assert series == []
