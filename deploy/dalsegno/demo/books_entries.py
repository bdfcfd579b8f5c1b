"""The demo company's bookkeeping: every row of its ERP and its manual journal, kept in memory.

Owns double entry: whatever is sold, bought or paid is posted with it. Money is in cents. Rows are
plain mappings under the ERP's own column names, which are not those of the documented shape.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from random import Random
from typing import Any, Final, TypeAlias

from dalsegno.demo.books_plan import ENTITIES, ITEMS, MONTHS, Entity

Row: TypeAlias = dict[str, Any]

BOOKS_END: Final = date(2025, 12, 31)
TABLES: Final = (
    "companies",
    "gl_accounts",
    "business_partners",
    "sales_invoices",
    "sales_invoice_lines",
    "purchase_orders",
    "vendor_invoices",
    "payments",
    "payroll",
    "gl_entries",
    "period_closings",
)


def day_in(month: str, day: int) -> date:
    """A date; a day past the month's end is its last one."""
    first = date(int(month[:4]), int(month[5:7]), 1)
    following = (first + timedelta(days=32)).replace(day=1)
    return min(first + timedelta(days=day - 1), following - timedelta(days=1))


def month_end(month: str) -> date:
    """The last day of a month."""
    return day_in(month, 31)


def entity_of(code: str) -> Entity:
    """The entity with this code."""
    return next(entity for entity in ENTITIES if entity.code == code)


@dataclass(kw_only=True)
class Bookkeeper:
    """Collects rows; every method that posts keeps debits equal to credits."""

    random: Random
    erp: dict[str, list[Row]] = field(default_factory=lambda: {name: [] for name in TABLES})
    manual: list[Row] = field(default_factory=list[Row])
    """The manual journal, in a workbook of its own."""
    bank: list[Row] = field(default_factory=list[Row])
    counters: dict[str, int] = field(default_factory=dict[str, int])

    def number(self, kind: str, entity: str) -> str:
        """The next number of a kind of document: `SI-DE01-000042`."""
        key = f"{kind}-{entity}"
        self.counters[key] = self.counters.get(key, 0) + 1
        return f"{key}-{self.counters[key]:06}"

    def clerk(self, entity: str) -> str:
        """Somebody who enters documents there."""
        return self.random.choice(entity_of(entity).clerks)

    def approver(self, entity: str) -> str:
        """Somebody who approves there; never a clerk."""
        return self.random.choice(entity_of(entity).approvers)

    def post(
        self,
        document: str,
        entity: str,
        on: date,
        lines: Sequence[tuple[str, int]],
        *,
        partner: str | None = None,
        text: str = "",
        entered_on: date | None = None,
        entered_by: str | None = None,
        approved_by: str | None = None,
    ) -> None:
        """Post a journal entry: pairs of account and cents (debit positive)."""
        by = entered_by or self.clerk(entity)
        entered = entered_on or on + timedelta(days=self.random.randint(0, 2))
        for position, (account, cents) in enumerate(lines, 1):
            self.erp["gl_entries"].append(
                {
                    "entry_no": document,
                    "line_no": position,
                    "company": entity,
                    "acct_no": account,
                    "posting_date": on,
                    "entered_on": entered,
                    "debit": max(cents, 0),
                    "credit": max(-cents, 0),
                    "partner": partner,
                    "entered_by": by,
                    "approved_by": approved_by,
                    "text": text or None,
                }
            )

    def sell(
        self, entity: str, customer: str, account: str, on: date, lines: Sequence[tuple[int, int]]
    ) -> Row:
        """An invoice to a customer; `lines` are pairs of quantity and price in cents."""
        return self._sale(entity, customer, account, on, lines, "INV")

    def credit(self, entity: str, customer: str, account: str, on: date, cents: int) -> Row:
        """A credit note to a customer over `cents` (positive)."""
        return self._sale(entity, customer, account, on, [(1, -cents)], "CRN")

    def _sale(
        self,
        entity: str,
        customer: str,
        account: str,
        on: date,
        lines: Sequence[tuple[int, int]],
        doc_type: str,
    ) -> Row:
        number = self.number("SI" if doc_type == "INV" else "CN", entity)
        amount = sum(quantity * price for quantity, price in lines)
        by = self.clerk(entity)
        invoice: Row = {
            "invoice_no": number,
            "company": entity,
            "customer": customer,
            "invoice_date": on,
            "due_date": on + timedelta(days=30),
            "net_amount": amount,
            "doc_type": doc_type,
            "entered_by": by,
            "note": None,
        }
        self.erp["sales_invoices"].append(invoice)
        for position, (quantity, price) in enumerate(lines, 1):
            self.erp["sales_invoice_lines"].append(
                {
                    "invoice_no": number,
                    "line_no": position,
                    "product": self.random.choice(ITEMS),
                    "qty": quantity,
                    "unit_price": price,
                    "line_amount": quantity * price,
                }
            )
        self.post(
            number,
            entity,
            on,
            [("1200", amount), (account, -amount)],
            partner=customer,
            entered_by=by,
        )
        return invoice

    def buy(
        self,
        entity: str,
        vendor: str,
        account: str,
        on: date,
        cents: int,
        *,
        order: str | None = None,
        reference: str | None = None,
    ) -> Row:
        """An invoice from a vendor."""
        number = self.number("VI", entity)
        by, approver = self.clerk(entity), self.approver(entity)
        invoice: Row = {
            "voucher_no": number,
            "company": entity,
            "vendor": vendor,
            "vendor_ref": reference or f"RE-{self.random.randint(10_000, 99_999)}",
            "invoice_date": on,
            "due_date": on + timedelta(days=30),
            "amount": cents,
            "po_no": order,
            "entered_by": by,
            "approved_by": approver,
        }
        self.erp["vendor_invoices"].append(invoice)
        self.post(
            number,
            entity,
            on,
            [(account, cents), ("2000", -cents)],
            partner=vendor,
            entered_by=by,
            approved_by=approver,
        )
        return invoice

    def order(self, entity: str, vendor: str, on: date, cents: int, *, approved: bool) -> Row:
        """A purchase order."""
        order: Row = {
            "po_no": self.number("PO", entity),
            "company": entity,
            "vendor": vendor,
            "po_date": on,
            "amount": cents,
            "requested_by": self.clerk(entity),
            "approved_by": self.approver(entity) if approved else None,
            "note": None,
        }
        self.erp["purchase_orders"].append(order)
        return order

    def pay(
        self,
        entity: str,
        direction: str,
        partner: str,
        on: date,
        cents: int,
        *,
        invoice: str | None,
        account: str,
        remark: str | None = None,
    ) -> Row:
        """Money received (`RCV`) or sent (`PAY`), posted against `account`.

        The bank's statement shows it too.
        """
        number = self.number("PY", entity)
        by, approver = self.clerk(entity), self.approver(entity)
        payment: Row = {
            "payment_no": number,
            "company": entity,
            "direction": direction,
            "partner": partner,
            "pay_date": on,
            "amount": cents,
            "invoice_no": invoice,
            "entered_by": by,
            "approved_by": approver,
            "remark": remark,
        }
        self.erp["payments"].append(payment)
        signed = cents if direction == "RCV" else -cents
        self.bank.append(
            {
                "company": entity,
                "date": on,
                "amount": signed,
                "reference": number,
                "partner": partner,
            }
        )
        self.post(
            number,
            entity,
            on,
            [("1000", signed), (account, -signed)],
            partner=partner,
            entered_by=by,
            approved_by=approver,
            entered_on=on,
        )
        return payment

    def journal(
        self,
        entity: str,
        on: date,
        lines: Sequence[tuple[str, int]],
        text: str,
        *,
        entered_on: date | None = None,
    ) -> str:
        """An entry of the manual journal; returns its number."""
        number = self.number("MJ", entity)
        prepared, approved = self.clerk(entity), self.approver(entity)
        for account, cents in lines:
            self.manual.append(
                {
                    "doc": number,
                    "company": entity,
                    "date": on,
                    "entered": entered_on or on + timedelta(days=self.random.randint(0, 4)),
                    "account": account,
                    "debit": max(cents, 0),
                    "credit": max(-cents, 0),
                    "prepared": prepared,
                    "approved": approved,
                    "text": text,
                }
            )
        return number

    def movements(self) -> dict[tuple[str, str, str], int]:
        """Cents by entity, account and month, ERP and manual journal together."""
        sums: dict[tuple[str, str, str], int] = {}
        for row in self.erp["gl_entries"]:
            key = (row["company"], row["acct_no"], row["posting_date"].strftime("%Y-%m"))
            sums[key] = sums.get(key, 0) + row["debit"] - row["credit"]
        for row in self.manual:
            key = (row["company"], row["account"], row["date"].strftime("%Y-%m"))
            sums[key] = sums.get(key, 0) + row["debit"] - row["credit"]
        return sums

    def rows(self) -> int:
        """How many rows the ERP database has."""
        return sum(map(len, self.erp.values()))


def month_index(month: str) -> int:
    """How many months after the first one of the books, 0 to 23."""
    return MONTHS.index(month)
