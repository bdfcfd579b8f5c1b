"""The review as a whole: which rules apply, and how findings are numbered and bounded."""

from typing import Any

import pytest

from dalsegno_agents import TaskRejected
from dalsegno_agents.gallery.finance.review import agent


def test_books_in_order_break_no_rule(reviewed: Any, books: Any) -> None:
    found = reviewed.all(books)
    assert found.findings == ()
    assert (found.critical, found.high, found.medium, found.low) == (0, 0, 0, 0)
    assert set(found.rules) >= {"balance", "approvals", "late-postings", "personal-data"}


def test_rules_that_the_books_do_not_suffice_for_are_named_with_the_reason(
    reviewed: Any, books: Any
) -> None:
    books.tables = {"invoices": books.tables["invoices"]}
    for row in books.tables["invoices"]:
        del row["approved_by"]
    omitted = {one.id: one.reason for one in reviewed.all(books).omitted}
    assert omitted["balance"] == "the books have no table `ledger`"
    assert "the table `invoices` has no `approved_by`" in omitted["approvals"]
    assert omitted["reconciliation"] == "no two sources could be compared"


def test_a_rule_that_was_applied_in_part_says_to_what_it_was_not(reviewed: Any, books: Any) -> None:
    books.tables["purchase_orders"][0]["approved_by"] = None  # then nobody ever approved
    found = reviewed.all(books)
    assert "approvals" in found.rules
    omitted = {one.id: one for one in found.omitted}
    assert omitted["approvals"].label == "Approval is missing (in part)"
    assert omitted["approvals"].reason == "the table `purchase_orders` has no `approved_by`"


def test_rules_with_faults_are_refused(reviewed: Any, books: Any) -> None:
    with pytest.raises(TaskRejected, match=r"rules\.rules\.balance\.tolerance"):
        reviewed.all(books, {"rules": {"balance": {"tolerance": -1}}})


def test_beyond_the_bound_the_rest_is_one_finding(reviewed: Any, books: Any) -> None:
    order = books.tables["purchase_orders"][0]
    books.tables["purchase_orders"] = [
        {**order, "document": f"PO-{number}", "approved_by": None if number else "bert"}
        for number in range(9)
    ]
    found = reviewed.one(books, "approvals", findings_max=3)
    assert len(found) == 3
    assert found[-1].message == "Approval is missing: 6 more, EUR 120,000.00 together."
    assert found[-1].amount_cents == 12_000_000


def test_findings_are_numbered_by_rule_counted_and_sorted(reviewed: Any, books: Any) -> None:
    order = books.tables["purchase_orders"][0]
    books.tables["purchase_orders"].append({**order, "approved_by": None})
    books.tables["ledger"][2]["amount_cents"] += 700
    books.tables["payments"][0]["approved_by"] = "anna"
    found = reviewed.all(books)
    assert [(one.id, one.severity) for one in found.findings] == [
        ("balance/1", "critical"),
        ("approvals/1", "high"),
        ("segregation-of-duties/1", "high"),
    ]
    assert (found.critical, found.high) == (1, 2)


def test_the_agent_offers_one_capability() -> None:
    assert [one.name for one in agent.card.capabilities] == ["finance.review"]
