"""Rules about people: who enters, who approves, and whose data stands in free text."""

from datetime import date
from typing import Any

# --- segregation of duties ------------------------------------------------------------------------


def test_who_approves_their_own_entries_is_told_once_per_table(reviewed: Any, books: Any) -> None:
    for row in books.tables["invoices"][:2]:
        row["approved_by"] = "Anna "
    (found,) = reviewed.one(books, "segregation-of-duties")
    assert "entered and approved 2 invoices of DE01, EUR 10,000.00 together" in found.message
    assert {one.document for one in found.evidence} == {"VI-000001", "VI-000002"}


def test_the_ledger_does_not_repeat_the_document_of_an_invoice(reviewed: Any, books: Any) -> None:
    books.tables["invoices"][0]["approved_by"] = "anna"
    for row in books.tables["ledger"][:2]:
        row.update(document="VI-000001", approved_by="anna")
    assert len(reviewed.one(books, "segregation-of-duties")) == 1
    for row in books.tables["ledger"][2:4]:
        row["approved_by"] = "anna"
    assert len(reviewed.one(books, "segregation-of-duties")) == 2


def test_nobody_is_not_the_same_person_as_nobody(reviewed: Any, books: Any) -> None:
    for row in books.tables["invoices"]:
        row.update(created_by="", approved_by="")
    books.tables["invoices"][0].update(created_by=None, approved_by="bert")
    assert reviewed.one(books, "segregation-of-duties") == []


def test_some_people_may_and_small_documents_are_let_pass(reviewed: Any, books: Any) -> None:
    books.tables["payments"][0]["approved_by"] = "anna"
    rule = "segregation-of-duties"
    assert reviewed.one(books, rule, except_people=["ANNA"]) == []
    assert reviewed.one(books, rule, above=5_000.01) == []
    assert len(reviewed.one(books, rule, above=5_000)) == 1


# --- approvals ------------------------------------------------------------------------------------


def test_a_large_order_without_approval_is_found(reviewed: Any, books: Any) -> None:
    books.tables["purchase_orders"].append(
        {
            "entity": "DE01",
            "document": "PO-000002",
            "date": date(2025, 11, 3),
            "amount_cents": 12_000_000,
            "counterparty": "V2",
            "created_by": "anna",
            "approved_by": None,
        }
    )
    (found,) = reviewed.one(books, "approvals")
    assert found.severity == "critical"
    assert found.message == (
        "Purchase order PO-000002 of DE01 to V2 over EUR 120,000.00 has no approval; "
        "above EUR 10,000.00 one is needed."
    )


def test_an_order_at_the_limit_needs_no_approval(reviewed: Any, books: Any) -> None:
    books.tables["purchase_orders"].append(
        {**books.tables["purchase_orders"][0], "amount_cents": 1_000_000, "approved_by": " "}
    )
    assert reviewed.one(books, "approvals") == []
    assert len(reviewed.one(books, "approvals", limits={"purchase_orders": 9_999.99})) == 1


def test_money_received_and_sales_need_no_approval(reviewed: Any, books: Any) -> None:
    books.tables["payments"][0].update(direction="in", amount_cents=90_000_000, approved_by=None)
    books.tables["invoices"][0].update(direction="sales", amount_cents=90_000_000, approved_by=None)
    assert reviewed.one(books, "approvals") == []


def test_an_own_approval_counts_as_none_where_the_rule_says_so(reviewed: Any, books: Any) -> None:
    books.tables["purchase_orders"][0]["approved_by"] = "ANNA"
    assert reviewed.one(books, "approvals") == []
    (found,) = reviewed.one(books, "approvals", own_approvals=True)
    assert "was approved by whoever entered it" in found.message
    assert found.severity == "high"


# --- personal data --------------------------------------------------------------------------------


def test_personal_data_is_found_by_kind_and_shown_masked(reviewed: Any, books: Any) -> None:
    secret = "FR14 2004 1010 0505 0001 3M02 606"
    for row in books.tables["ledger"][:2]:
        row["text"] = f"Advance to Claire, IBAN {secret}, claire.laurent@example.org"
    found = reviewed.one(books, "personal-data")
    assert {one.message for one in found} == {
        "The text of 1 journal entry (GL-000001) holds an IBAN: FR•••06.",
        "The text of 1 journal entry (GL-000001) holds an e-mail address: cl•••rg.",
    }
    everything = "".join(one.model_dump_json() for one in found)
    assert "2004" not in everything
    assert "laurent" not in everything


def test_kinds_and_columns_can_be_chosen(reviewed: Any, books: Any) -> None:
    books.tables["payments"][0]["text"] = "Mail to anna.meier@example.org"
    rule = "personal-data"
    assert len(reviewed.one(books, rule)) == 1
    assert reviewed.one(books, rule, kinds=["iban"]) == []
    assert reviewed.one(books, rule, columns={"ledger": ["text"]}) == []
