"""Key figures: a formula gives its value, sums are exact, and what lacks something says so."""

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dalsegno_agents.gallery.finance.analysis.kpis import (
    DEFINITIONS,
    evaluated,
    figures_of,
    measured,
)
from dalsegno_agents.gallery.finance.analysis.trends import complete_quarters, trends_of
from dalsegno_agents.gallery.finance.model import GROUP, Figure, Omission

QUARTERS = ["2025-Q1", "2025-Q2"]
MONTHS = [f"2025-{month:02}" for month in range(1, 7)]


def line(entity: str, month: str, category: str, cents: int, partner: str = "") -> dict[str, Any]:
    return {
        "entity": entity,
        "account": category,
        "amount_cents": cents,
        "period": month,
        "category": category,
        "counterparty": partner or None,
    }


def figures(frames: dict[Any, pl.DataFrame]) -> tuple[dict[str, Figure], list[Omission]]:
    made, omitted = figures_of(measured(frames, ["A1", "B2"]), ["A1", "B2"], MONTHS, QUARTERS)
    return {one.id: one for one in made}, omitted


@pytest.fixture
def ledger(table: Callable[..., pl.DataFrame]) -> pl.DataFrame:
    return table(
        "ledger",
        [
            line("A1", "2025-01", "receivables", 40_000_00),
            line("A1", "2025-01", "cash", 10_000_00),
            line("A1", "2025-01", "payables", -20_000_00),
            line("A1", "2025-02", "revenue", -100_000_01),
            line("A1", "2025-03", "revenue", 4_000_00),
            line("A1", "2025-02", "cogs", 60_000_00),
            line("A1", "2025-03", "opex", 20_000_00),
            line("A1", "2025-03", "depreciation", 5_000_00),
            line("A1", "2025-03", "tax", 1_000_00),
            line("A1", "2025-05", "revenue", -110_000_00),
            line("B2", "2025-03", "revenue", -7_000_00, "A1"),
            line("A1", "2025-03", "opex", 7_000_00, "B2"),
        ],
    )


@pytest.mark.slow
def test_every_figure_is_what_its_formula_gives_for_its_inputs(demo: Callable[..., Any]) -> None:
    made = demo(1).analysis.figures
    assert {one.kpi for one in made} == {one.kpi for one in DEFINITIONS}
    for one in made:
        assert evaluated(one.formula, one.inputs) == pytest.approx(one.value, abs=1e-6), one.id
        if one.unit == "cents":
            assert isinstance(one.value, int)
            assert evaluated(one.formula, one.inputs) == one.value


@pytest.mark.slow
def test_every_figure_is_there_for_the_group_and_each_entity_in_each_quarter(
    demo: Callable[..., Any],
) -> None:
    analysis = demo(1).analysis
    assert len(analysis.figures) == len(DEFINITIONS) * 4 * 8
    assert analysis.figure("revenue").entity == GROUP
    assert analysis.figure("revenue", "DE01", "2024-Q1").id == "revenue/DE01/2024-Q1"
    assert analysis.figure("revenue", "nobody") is None


@pytest.mark.slow
def test_revenue_is_that_of_the_invoices_to_the_cent(demo: Callable[..., Any]) -> None:
    import sqlite3

    run = demo(1)
    with sqlite3.connect(run.made.folder / "erp.sqlite") as database:
        rows = database.execute(
            "select cast(round(sum(round(net_amount * 100))) as integer) from sales_invoices "
            "where invoice_date between '2025-10-01' and '2025-12-31'"
        ).fetchone()
    database.close()
    assert run.analysis.figure("revenue").value == rows[0]


def test_the_usual_figures_come_out_as_by_hand(ledger: pl.DataFrame) -> None:
    found, _ = figures({"ledger": ledger})
    assert found["revenue/A1/2025-Q1"].value == 96_000_01
    assert found["gross_profit/A1/2025-Q1"].value == 36_000_01
    assert found["operating_income/A1/2025-Q1"].value == 4_000_01
    assert found["ebitda/A1/2025-Q1"].value == 9_000_01
    assert found["net_income/A1/2025-Q1"].value == 3_000_01
    assert found["gross_margin/A1/2025-Q1"].value == pytest.approx(0.375, abs=1e-6)
    assert found["dso/A1/2025-Q1"].value == pytest.approx(40_000 / 96_000.01 * 90)
    assert found["dpo/A1/2025-Q1"].value == pytest.approx(20_000 / 60_000 * 90)
    assert found["current_ratio/A1/2025-Q1"].value == pytest.approx(2.5)
    assert found["cash/A1/2025-Q2"].value == 10_000_00


def test_what_the_entities_sell_to_one_another_is_not_revenue_of_the_group(
    ledger: pl.DataFrame,
) -> None:
    found, _ = figures({"ledger": ledger})
    assert found["revenue/B2/2025-Q1"].value == 7_000_00
    assert found["revenue/group/2025-Q1"].value == 96_000_01
    assert found["operating_income/group/2025-Q1"].value == 11_000_01


def test_a_figure_is_left_out_with_the_reason_where_something_is_missing(
    ledger: pl.DataFrame,
) -> None:
    found, omitted = figures({"ledger": ledger.filter(pl.col("category") != "receivables")})
    reasons = {one.id: one.reason for one in omitted}
    assert "dso/A1/2025-Q1" not in found
    assert reasons["dso"] == "the ledger has no account of the category 'receivables'"
    assert reasons["budget_variance"] == "the books have no budget"
    assert "would divide by 0" in reasons["operating_margin/B2/2025-Q2"]


def test_books_without_a_ledger_have_no_figures_but_reasons() -> None:
    found, omitted = figures({})
    assert found == {}
    assert len(omitted) == len(DEFINITIONS)


def test_a_budget_is_compared_with_what_is_earned_outside_the_group(
    ledger: pl.DataFrame, table: Callable[..., pl.DataFrame]
) -> None:
    planned = line("A1", "2025-02", "revenue", -80_000_00)
    del planned["counterparty"]
    budget = table("budget", [planned])
    found, _ = figures({"ledger": ledger, "budget": budget})
    assert found["budget_revenue/A1/2025-Q1"].value == 80_000_00
    assert found["budget_variance/A1/2025-Q1"].value == pytest.approx(0.2, abs=1e-6)
    assert found["budget_variance/group/2025-Q1"].value == pytest.approx(0.2, abs=1e-6)


def test_a_trend_compares_with_the_quarter_before(ledger: pl.DataFrame) -> None:
    made, _ = figures_of(measured({"ledger": ledger}, ["A1"]), ["A1"], MONTHS, QUARTERS)
    trends = {one.id: one for one in trends_of(made, "2025-Q2")}
    trend = trends["revenue/A1/2025-Q2/qoq"]
    assert (trend.previous_period, trend.previous, trend.value) == ("2025-Q1", 9600001, 11000000)
    assert trend.change == 1399999
    assert trend.change_ratio == pytest.approx(1399999 / 9600001, abs=1e-6)
    assert not any(one.kind == "yoy" for one in trends.values())


@pytest.mark.slow
def test_the_demo_has_trends_of_both_kinds_and_none_of_a_ratio_in_percent(
    demo: Callable[..., Any],
) -> None:
    trends = demo(1).analysis.trends
    assert {one.kind for one in trends} == {"qoq", "yoy"}
    assert all((one.change_ratio is None) == (one.unit == "ratio") for one in trends)


def test_a_quarter_counts_when_the_books_have_all_its_months() -> None:
    assert complete_quarters(["2024-12", *MONTHS[:5]]) == ["2025-Q1"]


@given(st.lists(st.integers(-(10**15), 10**15), min_size=1, max_size=50))
def test_sums_of_cents_are_exact(amounts: list[int]) -> None:
    rows = [line("A1", "2025-01", "revenue", -cents) for cents in amounts]
    frame = pl.DataFrame(rows, schema_overrides={"counterparty": pl.String})
    found, _ = figures({"ledger": frame})
    assert found["revenue/A1/2025-Q1"].value == sum(amounts)


def test_a_formula_is_nothing_but_arithmetic() -> None:
    with pytest.raises(ValueError, match="arithmetic over names"):
        evaluated("__import__('os')", {})
