"""Small books for the compliance rules: in order as they are, so that a test adds one fault."""

from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl
import pytest

from dalsegno_agents import TaskContext
from dalsegno_agents.gallery.finance.model import (
    Analysis,
    Books,
    Difference,
    Finding,
    Reconciliation,
    Review,
    ReviewRequest,
    Table,
)
from dalsegno_agents.gallery.finance.review import review
from dalsegno_agents.gallery.finance.sources import ReportRequest, Role
from dalsegno_agents.gallery.finance.tables import schema_of, write_table

Rows = list[dict[str, Any]]


@dataclass
class BooksInOrder:
    """Tables of one entity over a quarter, without a fault; a test changes them and builds."""

    tables: dict[Role, Rows]
    reconciliations: tuple[Reconciliation, ...] = ()
    differences: tuple[Difference, ...] = ()

    def build(self, context: TaskContext[Any]) -> Books:
        """The books, with their rows in the context's artifacts."""
        return Books(
            entities=("DE01",),
            periods=("2025-10", "2025-11", "2025-12"),
            tables={role: self._table(role, rows, context) for role, rows in self.tables.items()},
            reconciliations=self.reconciliations,
            differences=self.differences,
        )

    @staticmethod
    def _table(role: Role, rows: Rows, context: TaskContext[Any]) -> Table:
        frame = pl.DataFrame(rows, schema=schema_of(role))
        filled = [column.name for column in frame if column.null_count() < frame.height]
        return write_table(frame, role=role, sources=("erp",), columns=filled, context=context)


def _ledger_rows() -> Rows:
    rows: Rows = []
    for number, month in enumerate(("2025-10", "2025-11", "2025-12"), 1):
        for account, cents in (("6100", 500_000), ("2000", -500_000)):
            rows.append(
                {
                    "entity": "DE01",
                    "account": account,
                    "amount_cents": cents,
                    "date": date.fromisoformat(f"{month}-05"),
                    "period": month,
                    "category": "opex" if account == "6100" else "payables",
                    "document": f"GL-{number:06}",
                    "posted_on": date.fromisoformat(f"{month}-06"),
                    "created_by": "anna",
                    "approved_by": "bert",
                    "text": "Rent RE-48213, order 4500012345",
                }
            )
    return rows


def books_in_order() -> BooksInOrder:
    """Ledger, purchase invoices, payments, orders and closings of one quarter."""
    by = {"entity": "DE01", "counterparty": "V1", "created_by": "anna", "approved_by": "bert"}
    months = ("2025-10", "2025-11", "2025-12")
    days = [date.fromisoformat(f"{month}-05") for month in months]
    return BooksInOrder(
        tables={
            "ledger": _ledger_rows(),
            "invoices": [
                {
                    **by,
                    "document": f"VI-{number:06}",
                    "direction": "purchase",
                    "date": day,
                    "amount_cents": 500_000,
                }
                for number, day in enumerate(days, 1)
            ],
            "payments": [
                {
                    **by,
                    "document": f"PY-{number:06}",
                    "direction": "out",
                    "date": day,
                    "amount_cents": 500_000,
                    "text": f"For VI-{number:06}",
                }
                for number, day in enumerate(days, 1)
            ],
            "purchase_orders": [
                {**by, "document": "PO-000001", "date": days[0], "amount_cents": 2_000_000}
            ],
            "closings": [
                {"period": month, "closed_on": date.fromisoformat(closed)}
                for month, closed in zip(
                    months, ("2025-11-10", "2025-12-10", "2026-01-10"), strict=True
                )
            ],
        }
    )


@pytest.fixture
def books() -> BooksInOrder:
    return books_in_order()


class Reviewed:
    """Applies rules to books."""

    def __init__(
        self, analysis: Analysis, request: ReportRequest, context: TaskContext[None]
    ) -> None:
        self.analysis = analysis.model_copy(update={"anomalies": ()})
        self._request = request
        self._context = context

    def all(self, books: BooksInOrder, rules: Any = None) -> Review:
        """What all rules come to, with some of them changed."""
        request = self._request.model_copy(update={"rules": rules})
        asked = ReviewRequest(
            request=request, books=books.build(self._context), analysis=self.analysis
        )
        return review(asked, self._context)

    def one(self, books: BooksInOrder, rule: str, **changes: Any) -> list[Finding]:
        """The findings of one rule, with some of its fields changed."""
        rules = {"rules": {rule: changes}} if changes else None
        return [one for one in self.all(books, rules).findings if one.rule == rule]


@pytest.fixture
def reviewed(
    analysis: Analysis, request_of_report: ReportRequest, context: TaskContext[None]
) -> Reviewed:
    return Reviewed(analysis, request_of_report, context)
