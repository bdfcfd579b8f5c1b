"""Rules about the books as a whole: what breaks them, and what does not."""

from datetime import date
from typing import Any

from dalsegno_agents.gallery.finance.model import (
    Anomaly,
    Difference,
    Reconciliation,
    Reference,
)


def difference(check: str, left: int, right: int, **more: Any) -> Difference:
    return Difference(
        check=check, left="ledger", right="balances", left_cents=left, right_cents=right, **more
    )


def reconciliation(check: str, compared: int, differences: int) -> Reconciliation:
    return Reconciliation(
        check=check, label="Ledger against balances", compared=compared, differences=differences
    )


def anomaly(kind: Any, severity: Any, cents: int | None) -> Anomaly:
    return Anomaly(
        id=f"{kind}/1",
        kind=kind,
        severity=severity,
        amount_cents=cents,
        evidence=(Reference(table="payments", document="PY-000001"),),
        explanation="Something is odd.",
        score=1.0,
        method="test",
    )


# --- balance --------------------------------------------------------------------------------------


def test_an_entry_that_does_not_balance_is_critical(reviewed: Any, books: Any) -> None:
    books.reconciliations = (reconciliation("ledger-documents", 3, 1),)
    books.differences = (
        difference("ledger-documents", 12_000, 10_200, document="GL-000002", entity="DE01"),
    )
    (found,) = reviewed.one(books, "balance")
    assert found.severity == "critical"
    assert found.amount_cents == 1_800
    assert "GL-000002" in found.message
    assert "EUR 18.00" in found.message
    assert found.evidence[0].document == "GL-000002"


def test_without_entries_each_month_must_balance(reviewed: Any, books: Any) -> None:
    books.tables["ledger"][2]["amount_cents"] += 700
    (found,) = reviewed.one(books, "balance")
    assert "2025-11" in found.message
    assert "EUR 7.00" in found.message


def test_a_difference_within_the_tolerance_is_let_pass(reviewed: Any, books: Any) -> None:
    books.tables["ledger"][2]["amount_cents"] += 700
    assert reviewed.one(books, "balance", tolerance=7) == []


def test_a_ledger_with_one_side_only_cannot_balance(reviewed: Any, books: Any) -> None:
    books.tables["ledger"] = [row for row in books.tables["ledger"] if row["amount_cents"] > 0]
    omitted = {one.id: one.reason for one in reviewed.all(books).omitted}
    assert omitted["balance"] == "the ledger holds one side of its entries only"


# --- reconciliation -------------------------------------------------------------------------------


def test_sources_that_disagree_are_one_finding_per_comparison(reviewed: Any, books: Any) -> None:
    books.reconciliations = (reconciliation("ledger-balances", 40, 2),)
    books.differences = (
        difference("ledger-balances", 900, 400, entity="DE01", account="6100", period="2025-10"),
        difference("ledger-balances", 300, 600, entity="DE01", account="6200", period="2025-10"),
    )
    (found,) = reviewed.one(books, "reconciliation")
    assert found.amount_cents == 800
    assert "2 of 40 differ, by EUR 8.00 in all" in found.message
    assert len(found.evidence) == 2
    assert reviewed.one(books, "reconciliation", tolerance=5) == []


def test_a_comparison_that_a_rule_leaves_out_is_not_looked_at(reviewed: Any, books: Any) -> None:
    books.reconciliations = (reconciliation("ledger-balances", 40, 1),)
    books.differences = (difference("ledger-balances", 900, 400),)
    assert reviewed.one(books, "reconciliation", **{"except": ["ledger-balances"]}) == []


def test_a_material_difference_is_graver(reviewed: Any, books: Any) -> None:
    books.reconciliations = (reconciliation("ledger-balances", 40, 1),)
    books.differences = (difference("ledger-balances", 90_000_000, 0, entity="DE01"),)
    (found,) = reviewed.one(books, "reconciliation")
    assert found.severity == "critical"


# --- materiality ----------------------------------------------------------------------------------


def test_anomalies_that_are_material_together_are_critical(reviewed: Any, books: Any) -> None:
    several = tuple(anomaly("duplicate", "medium", 6_000_000) for _ in range(3))
    reviewed.analysis = reviewed.analysis.model_copy(update={"anomalies": several})
    (found,) = reviewed.one(books, "materiality")
    assert found.severity == "critical"
    assert found.amount_cents == 18_000_000
    assert "0.5 % of the last four quarters' revenue" in found.message


def test_anomalies_below_the_materiality_or_of_other_kinds_are_not(
    reviewed: Any, books: Any
) -> None:
    harmless = (anomaly("duplicate", "medium", 100), anomaly("outlier", "high", 900_000_000))
    reviewed.analysis = reviewed.analysis.model_copy(update={"anomalies": harmless})
    assert reviewed.one(books, "materiality") == []


def test_without_its_basis_there_is_no_materiality(reviewed: Any, books: Any) -> None:
    reviewed.analysis = reviewed.analysis.model_copy(update={"figures": ()})
    omitted = {one.id: one.reason for one in reviewed.all(books).omitted}
    assert omitted["materiality"] == "the analysis has no revenue of the group"


# --- missing periods ------------------------------------------------------------------------------


def test_a_month_without_rows_is_told_by_table_and_entity(reviewed: Any, books: Any) -> None:
    books.tables["payments"] = [
        row for row in books.tables["payments"] if row["document"] != "PY-000002"
    ]
    (found,) = reviewed.one(books, "missing-periods")
    assert found.message == "The table `payments` has no row of DE01 in 2025-11."
    assert [one.period for one in found.evidence] == ["2025-11"]


def test_months_before_the_first_row_are_not_missing(reviewed: Any, books: Any) -> None:
    books.tables["payments"] = books.tables["payments"][1:]
    assert reviewed.one(books, "missing-periods") == []


def test_the_end_of_the_quarter_is_missed(reviewed: Any, books: Any) -> None:
    books.tables["payments"] = books.tables["payments"][:1]
    (found,) = reviewed.one(books, "missing-periods")
    assert "2025-11, 2025-12" in found.message
    assert reviewed.one(books, "missing-periods", tables=["ledger"]) == []


# --- late postings --------------------------------------------------------------------------------


def test_an_entry_after_the_close_is_found_with_its_days(reviewed: Any, books: Any) -> None:
    for row in books.tables["ledger"][:2]:
        row["posted_on"] = date(2025, 11, 15)
    (found,) = reviewed.one(books, "late-postings")
    assert found.message == (
        "DE01 posted GL-000001 (EUR 5,000.00) into 2025-10 on 2025-11-15, "
        "5 days after the close of that month."
    )
    assert reviewed.one(books, "late-postings", grace_days=5) == []
    assert reviewed.one(books, "late-postings", above=6_000) == []


def test_an_entry_on_the_day_of_the_close_is_in_time(reviewed: Any, books: Any) -> None:
    for row in books.tables["ledger"][:2]:
        row["posted_on"] = date(2025, 11, 10)
    assert reviewed.one(books, "late-postings") == []


def test_an_entity_has_a_close_of_its_own(reviewed: Any, books: Any) -> None:
    for row in books.tables["ledger"][:2]:
        row["posted_on"] = date(2025, 11, 15)
    books.tables["closings"].append(
        {"period": "2025-10", "entity": "DE01", "closed_on": date(2025, 11, 20)}
    )
    assert reviewed.one(books, "late-postings") == []


# --- anomalies ------------------------------------------------------------------------------------


def test_an_anomaly_becomes_a_finding_of_the_same_severity(reviewed: Any, books: Any) -> None:
    reviewed.analysis = reviewed.analysis.model_copy(
        update={"anomalies": (anomaly("duplicate", "medium", 100),)}
    )
    (found,) = reviewed.one(books, "anomalies")
    assert (found.severity, found.title) == ("medium", "Anomaly: duplicate")
    assert reviewed.one(books, "anomalies", at_least="high") == []
    assert reviewed.one(books, "anomalies", kinds=["gap"]) == []
    assert reviewed.one(books, "anomalies", severity="critical")[0].severity == "critical"
