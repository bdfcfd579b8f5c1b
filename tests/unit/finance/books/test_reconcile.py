"""Sources put together and held against one another, to the cent."""

from collections.abc import Callable
from datetime import date
from typing import Any

import polars as pl
import pytest

from dalsegno_agents import TaskContext
from dalsegno_agents.gallery.finance.model import Gathered, Table
from dalsegno_agents.gallery.finance.reading.compare import Comparison, compare_all
from dalsegno_agents.gallery.finance.reading.reconcile import months_between, reconciled, unified
from dalsegno_agents.gallery.finance.sources import Role
from dalsegno_agents.gallery.finance.tables import write_table
from dalsegno_bus.errors import TaskRejected
from dalsegno_bus.messages import Artifact

MakeTable = Callable[..., pl.DataFrame]


def kept(role: Role, **more: Any) -> Table:
    artifact = Artifact(sha256="0" * 64, size_bytes=0)
    return Table(role=role, rows=0, columns=(), sources=("s",), artifact=artifact, **more)


def compared(check: str, **frames: pl.DataFrame) -> Comparison:
    roles: Any = frames
    found = compare_all(roles, {role: (f"the {role}",) for role in roles})
    return next(one for one in found if one.reconciliation.check == check)


CATEGORIES = {"1": "receivables", "2": "payables", "4": "revenue", "6": "opex", "9": None}


def line(document: str, account: str, cents: int, **more: Any) -> dict[str, Any]:
    return {
        "entity": "A1",
        "document": document,
        "account": account,
        "category": CATEGORIES[account[0]],
        "amount_cents": cents,
        "period": "2025-01",
        **more,
    }


def document(number: str, cents: int, direction: str, **more: Any) -> dict[str, Any]:
    return {
        "entity": "A1",
        "document": number,
        "direction": direction,
        "date": date(2025, 1, 9),
        "amount_cents": cents,
        **more,
    }


def test_tables_of_one_role_are_added_together_with_a_debit_positive(table: MakeTable) -> None:
    chart = table("accounts", [{"account": "4", "category": "revenue"}])
    plain = table("ledger", [{"entity": "A1", "account": "4", "amount_cents": -5}])
    credit = table("ledger", [{"entity": "A1", "account": "4", "amount_cents": 7}])
    notes: list[str] = []
    frames = unified(
        {
            "ledger": [
                (kept("ledger"), plain),
                (kept("ledger", sign="credit"), credit),
                (kept("ledger", sign="natural"), credit),
            ],
            "accounts": [(kept("accounts"), chart)],
        },
        notes,
    )
    assert frames["ledger"]["amount_cents"].to_list() == [-5, -7, -7]
    assert frames["ledger"]["category"].to_list() == ["revenue"] * 3


def test_a_natural_sign_needs_to_know_what_an_account_is(table: MakeTable) -> None:
    plain = table("budget", [{"entity": "A1", "account": "4711", "amount_cents": 5}])
    with pytest.raises(TaskRejected, match="needs to know what account '4711' is"):
        unified({"budget": [(kept("budget", sign="natural"), plain)]}, [])


def test_an_account_listed_twice_counts_once_and_is_noted(table: MakeTable) -> None:
    row = {"account": "4", "category": "revenue"}
    notes: list[str] = []
    frames = unified({"accounts": [(kept("accounts"), table("accounts", [row, row]))]}, notes)
    assert frames["accounts"].height == 1
    assert notes == ["accounts: 1 rows repeat a account; the first one holds"]


def test_an_entry_whose_debits_are_not_its_credits_is_a_difference(table: MakeTable) -> None:
    rows = [
        line("J1", "6100", 10_00),
        line("J1", "2000", -10_00),
        line("J2", "6100", 10_00),
        line("J2", "2000", -10_01),
    ]
    outcome = compared("ledger-documents", ledger=table("ledger", rows))
    assert [(one.document, one.amount_cents) for one in outcome.differences] == [("J2", -1)]
    assert outcome.reconciliation.compared == 2


def test_a_ledger_of_costs_alone_cannot_balance_and_is_not_held_to_it(table: MakeTable) -> None:
    outcome = compared("ledger-documents", ledger=table("ledger", [line("J1", "6100", 10_00)]))
    assert outcome.reconciliation.compared == 0
    assert "both sides" in outcome.reconciliation.note


def test_an_account_outside_the_chart_is_a_difference(table: MakeTable) -> None:
    rows = [line("J1", "6100", 10_00), line("J1", "9", -10_00)]
    outcome = compared("ledger-accounts", ledger=table("ledger", rows))
    assert [one.account for one in outcome.differences] == ["9"]


def test_reported_balances_are_compared_by_entity_account_and_month(table: MakeTable) -> None:
    ledger = [line("J1", "6100", 10_00), line("J2", "6100", 5_00), line("J3", "4000", -7_00)]
    reported = [
        {"entity": "A1", "account": "6100", "period": "2025-01", "amount_cents": 15_00},
        {"entity": "A1", "account": "4000", "period": "2025-01", "amount_cents": -7_50},
    ]
    outcome = compared(
        "ledger-balances", ledger=table("ledger", ledger), balances=table("balances", reported)
    )
    assert [(one.account, one.left_cents, one.right_cents) for one in outcome.differences] == [
        ("4000", -7_00, -7_50)
    ]
    assert outcome.differences[0].sources == ("the ledger", "the balances")


def test_what_is_reported_but_not_booked_is_a_difference(table: MakeTable) -> None:
    reported = [{"entity": "A1", "account": "6100", "period": "2025-02", "amount_cents": 3_00}]
    outcome = compared(
        "ledger-balances",
        ledger=table("ledger", [line("J1", "6100", 10_00)]),
        balances=table("balances", reported),
    )
    assert [(one.period, one.left_cents) for one in outcome.differences] == [("2025-02", 0)]


def test_lines_add_up_to_their_invoice_and_purchases_without_lines_are_no_matter(
    table: MakeTable,
) -> None:
    outcome = compared(
        "invoices-lines",
        invoices=table(
            "invoices",
            [
                document("S1", 10_00, "sales"),
                document("S2", 20_00, "sales"),
                document("S3", 30_00, "sales"),
                document("V1", 99_00, "purchase"),
            ],
        ),
        invoice_lines=table(
            "invoice_lines",
            [
                {"document": "S1", "amount_cents": 4_00},
                {"document": "S1", "amount_cents": 6_00},
                {"document": "S2", "amount_cents": 19_00},
                {"document": "??", "amount_cents": 1_00},
            ],
        ),
    )
    differing = {one.document: one.amount_cents for one in outcome.differences}
    assert differing == {"S2": 1_00, "S3": 30_00, "??": -1_00}


def test_an_invoice_that_is_not_in_the_ledger_with_its_amount_is_a_difference(
    table: MakeTable,
) -> None:
    ledger = [
        line("S1", "1200", 10_00),
        line("S1", "4000", -10_00),
        line("V1", "6100", 7_00),
        line("V1", "2000", -7_00),
        line("V2", "2000", -8_00),
    ]
    invoices = [
        document("S1", 10_00, "sales"),
        document("V1", 7_00, "purchase"),
        document("V2", 9_00, "purchase"),
        document("V3", 5_00, "purchase"),
    ]
    outcome = compared(
        "ledger-invoices", ledger=table("ledger", ledger), invoices=table("invoices", invoices)
    )
    assert {one.document: one.amount_cents for one in outcome.differences} == {
        "V2": -1_00,
        "V3": -5_00,
    }


def test_a_ledger_that_names_no_invoices_is_not_compared_with_them(table: MakeTable) -> None:
    outcome = compared(
        "ledger-invoices",
        ledger=table("ledger", [line("J1", "1200", 10_00)]),
        invoices=table("invoices", [document("S1", 10_00, "sales")]),
    )
    assert outcome.reconciliation.compared == 0


def test_paying_too_much_or_for_nothing_is_a_difference_and_paying_less_is_not(
    table: MakeTable,
) -> None:
    outcome = compared(
        "payments-invoices",
        invoices=table(
            "invoices", [document("I1", 10_00, "purchase"), document("I2", 10_00, "purchase")]
        ),
        payments=table(
            "payments",
            [
                document("P1", 6_00, "out", invoice="I1"),
                document("P2", 6_00, "out", invoice="I1"),
                document("P3", 6_00, "out", invoice="I2"),
                document("P4", 1_00, "out", invoice="I9"),
            ],
        ),
    )
    assert {one.document: one.amount_cents for one in outcome.differences} == {
        "I1": 2_00,
        "I9": 1_00,
    }


@pytest.mark.parametrize("named", [True, False])
def test_the_bank_is_compared_by_document_or_else_by_month(table: MakeTable, named: bool) -> None:
    payments = [
        document("P1", 10_00, "in"),
        document("P2", 4_00, "out"),
        document("P3", 1_00, "out", date=date(2025, 2, 1)),
    ]
    bank = [
        {"entity": "A1", "date": date(2025, 1, 9), "amount_cents": 10_00, "document": "P1"},
        {"entity": "A1", "date": date(2025, 1, 9), "amount_cents": -5_00, "document": "P2"},
        {"entity": "A1", "date": date(2025, 2, 2), "amount_cents": -1_00, "document": "P3"},
    ]
    frame = table("bank", bank)
    if not named:
        frame = frame.with_columns(document=pl.lit(None, dtype=pl.String))
    outcome = compared("payments-bank", payments=table("payments", payments), bank=frame)
    assert [one.document for one in outcome.differences] == (["P2"] if named else [""])
    assert [(one.period, one.amount_cents) for one in outcome.differences] == [("2025-01", 1_00)]


def test_income_from_another_entity_is_cost_there(table: MakeTable) -> None:
    rows = [
        line("X", "4900", -10_00, counterparty="B2"),
        line("Y", "6900", 9_00, entity="B2", counterparty="A1"),
    ]
    outcome = compared("intercompany", ledger=table("ledger", rows))
    assert [(one.entity, one.amount_cents) for one in outcome.differences] == [("A1 and B2", 1_00)]


def test_comparisons_that_lack_a_table_say_what_they_need() -> None:
    for one in compare_all({}, {}):
        assert one.reconciliation.compared == 0
        assert one.reconciliation.note


def test_books_without_a_month_are_refused(context: TaskContext[None], table: MakeTable) -> None:
    chart = table("accounts", [{"account": "4", "category": "revenue"}])
    kept_chart = write_table(chart, role="accounts", sources=["s"], columns=[], context=context)
    gathered = Gathered(source="s", kind="csv", location="x", tables=(kept_chart,))
    with pytest.raises(TaskRejected, match="nothing to report on"):
        reconciled([gathered], context)


def test_a_year_with_a_typing_error_is_refused(
    context: TaskContext[None], table: MakeTable
) -> None:
    rows = [line("J1", "6100", 1), line("J2", "6100", 1, period="0205-01")]
    ledger = write_table(
        table("ledger", rows), role="ledger", sources=["s"], columns=[], context=context
    )
    gathered = Gathered(source="s", kind="csv", location="x", tables=(ledger,))
    with pytest.raises(TaskRejected, match="is the year of a date wrong"):
        reconciled([gathered], context)


def test_months_run_over_the_turn_of_the_year() -> None:
    assert months_between("2024-11", "2025-02") == ("2024-11", "2024-12", "2025-01", "2025-02")
