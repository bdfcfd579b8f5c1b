"""What is wrong with the demo company's books: sixteen things, planted on purpose and written down.

Owns the planting and the list of it (`anomalies.json`, beside the books), against which the tests
hold the agents. Each function changes the books and returns what it did.
"""

from collections.abc import Callable
from datetime import date, timedelta
from random import Random
from typing import Final

from dalsegno.demo.books_entries import BOOKS_END, Bookkeeper, Row, day_in
from dalsegno.demo.books_partners import vendors_for, vendors_of
from dalsegno.demo.books_plan import ENTITIES, MONTHS
from dalsegno.demo.books_planted import Planted, swappable, swapped

CLAIMS: Final = 150
"""Expense claims just below the limit: enough to bend the first digits of a subledger."""


class Planter:
    """Plants every anomaly once, each into documents of its own. Changes the books in place."""

    def __init__(self, books: Bookkeeper, random: Random) -> None:
        self._books = books
        self._random = random
        self._used: set[str] = set()
        self._entries: dict[str, list[Row]] = {}
        for row in books.erp["gl_entries"]:
            self._entries.setdefault(row["entry_no"], []).append(row)

    def plant(self) -> list[Planted]:
        """All but `misreport`, in a fixed order."""
        plans: tuple[Callable[[], Planted], ...] = (
            self._duplicate_invoice,
            self._double_payment,
            self._wrong_sign,
            self._spike,
            self._missing_month,
            self._unknown_vendor,
            self._round_payments,
            self._late_posting,
            self._unbalanced,
            self._lines_disagree,
            self._not_in_bank,
            self._claims_below_limit,
            self._self_approved,
            self._unapproved_order,
            self._personal_data,
        )
        return [plan() for plan in plans]

    def misreport(self, reported: dict[tuple[str, str, str], int]) -> Planted:
        """Swap two digits in what an entity reports: a typing error in the workbook."""
        entity, account = "NL03", "4100"
        months = [month for month in MONTHS[12:] if swappable(reported[entity, account, month])]
        month = self._random.choice(months)
        reported[entity, account, month] = swapped(reported[entity, account, month])
        return Planted(
            id="reported-differs",
            kind="source_mismatch",
            entity=entity,
            table="balances",
            period=month,
            account=account,
            why="the entity's workbook reports service sales with two digits swapped",
        )

    def _invoice(self, entity: str, low_eur: int, high_eur: int, *accounts: str) -> Row:
        """A vendor invoice of the second year that nothing else was planted into."""
        found = [
            row
            for row in self._books.erp["vendor_invoices"]
            if row["company"] == entity
            and low_eur * 100 <= row["amount"] <= high_eur * 100
            and date(2025, 2, 1) <= row["invoice_date"] <= date(2025, 10, 15)
            and row["voucher_no"] not in self._used
            and self._entries[row["voucher_no"]][0]["acct_no"] in accounts
        ]
        invoice = self._random.choice(found)
        self._used.add(invoice["voucher_no"])
        return invoice

    def _duplicate_invoice(self) -> Planted:
        first = self._invoice("DE01", 4_000, 20_000, "6500", "6600", "6700", "1400")
        account = self._entries[first["voucher_no"]][0]["acct_no"]
        second = self._books.buy(
            "DE01",
            first["vendor"],
            account,
            first["invoice_date"] + timedelta(days=9),
            first["amount"],
            reference=first["vendor_ref"].replace("-", " "),
        )
        return Planted(
            id="duplicate-invoice",
            kind="duplicate",
            entity="DE01",
            table="invoices",
            documents=(first["voucher_no"], second["voucher_no"]),
            counterparty=first["vendor"],
            why="a vendor's invoice was entered twice, its number once with a blank",
        )

    def _double_payment(self) -> Planted:
        invoice = self._invoice("FR02", 3_000, 40_000, "1400", "6300", "6600", "6700")
        first = next(
            row for row in self._books.erp["payments"] if row["invoice_no"] == invoice["voucher_no"]
        )
        second = self._books.pay(
            "FR02",
            "PAY",
            invoice["vendor"],
            first["pay_date"] + timedelta(days=7),
            invoice["amount"],
            invoice=invoice["voucher_no"],
            account="2000",
        )
        return Planted(
            id="double-payment",
            kind="duplicate",
            entity="FR02",
            table="payments",
            documents=(first["payment_no"], second["payment_no"], invoice["voucher_no"]),
            counterparty=invoice["vendor"],
            why="one invoice was paid twice within a week",
        )

    def _wrong_sign(self) -> Planted:
        month = self._random.choice(MONTHS[13:21])
        rows = next(
            rows
            for number, rows in self._entries.items()
            if number.startswith("DP-FR02") and f"{rows[0]['posting_date']:%Y-%m}" == month
        )
        for row in rows:
            row["debit"], row["credit"] = row["credit"], row["debit"]
        return Planted(
            id="wrong-sign",
            kind="wrong_sign",
            entity="FR02",
            table="ledger",
            period=month,
            account="7000",
            documents=(rows[0]["entry_no"],),
            why="a month's depreciation was posted with debit and credit exchanged",
        )

    def _spike(self) -> Planted:
        month = self._random.choice(MONTHS[14:22])
        vendor = vendors_for(ENTITIES[0], "6300")[0]
        cents = self._random.randint(19_500_000, 22_500_000)
        order = self._books.order("DE01", vendor, day_in(month, 3), cents, approved=True)
        invoice = self._books.buy(
            "DE01", vendor, "6300", day_in(month, 16), cents, order=order["po_no"]
        )
        return Planted(
            id="spike",
            kind="outlier",
            entity="DE01",
            table="ledger",
            period=month,
            account="6300",
            documents=(invoice["voucher_no"],),
            why="marketing costs are about six times those of any other month",
        )

    def _missing_month(self) -> Planted:
        month = self._random.choice(MONTHS[13:21])
        landlord = vendors_of(ENTITIES[1])[0]
        erp = self._books.erp
        rent = next(
            row
            for row in erp["vendor_invoices"]
            if row["vendor"] == landlord and f"{row['invoice_date']:%Y-%m}" == month
        )["voucher_no"]
        payments = {row["payment_no"] for row in erp["payments"] if row["invoice_no"] == rent}
        gone = payments | {rent}
        erp["vendor_invoices"][:] = [
            row for row in erp["vendor_invoices"] if row["voucher_no"] != rent
        ]
        erp["payments"][:] = [row for row in erp["payments"] if row["payment_no"] not in gone]
        erp["gl_entries"][:] = [row for row in erp["gl_entries"] if row["entry_no"] not in gone]
        bank = self._books.bank
        bank[:] = [row for row in bank if row["reference"] not in gone]
        return Planted(
            id="missing-month",
            kind="gap",
            entity="FR02",
            table="ledger",
            period=month,
            account="6100",
            why="the rent of one month was never booked",
        )

    def _unknown_vendor(self) -> Planted:
        vendor = f"V{self._random.randint(9_000, 9_999)}"
        month = self._random.choice(MONTHS[12:22])
        payment = self._books.pay(
            "NL03",
            "PAY",
            vendor,
            day_in(month, 19),
            self._random.randint(1_800_000, 2_600_000),
            invoice=None,
            account="6500",
            remark="Advisory services",
        )
        return Planted(
            id="unknown-vendor",
            kind="unknown_counterparty",
            entity="NL03",
            table="payments",
            period=month,
            documents=(payment["payment_no"],),
            counterparty=vendor,
            why="money went to a vendor that is not in the master records",
        )

    def _round_payments(self) -> Planted:
        vendor = vendors_for(ENTITIES[0], "6500")[0]
        start = date(2025, self._random.randint(3, 8), 4)
        payments = [
            self._books.pay(
                "DE01",
                "PAY",
                vendor,
                start + timedelta(days=11 * position),
                thousands * 100_000,
                invoice=None,
                account="6500",
                remark="On account",
            )["payment_no"]
            for position, thousands in enumerate(self._random.sample(range(2, 10), k=6))
        ]
        return Planted(
            id="round-payments",
            kind="round_amounts",
            entity="DE01",
            table="payments",
            documents=tuple(payments),
            counterparty=vendor,
            why="six payments of whole thousands to one vendor, none for an invoice",
        )

    def _late_posting(self) -> Planted:
        month = self._random.choice(MONTHS[13:20])
        number = self._books.number("GL", "DE01")
        on = day_in(month, 27)
        cents = self._random.randint(380_000, 790_000)
        self._books.post(
            number,
            "DE01",
            on,
            [("6500", cents), ("2300", -cents)],
            text="Consulting, supplement",
            entered_on=on + timedelta(days=self._random.randint(50, 80)),
        )
        return Planted(
            id="late-posting",
            kind="late_posting",
            entity="DE01",
            table="ledger",
            period=month,
            account="6500",
            documents=(number,),
            why="an entry was posted into a month weeks after it was closed",
        )

    def _unbalanced(self) -> Planted:
        rows = [
            row
            for row in self._books.manual
            if row["company"] == "DE01"
            and row["account"] == "2300"
            and row["credit"] > 0
            and row["date"] >= date(2025, 2, 1)
            and swappable(row["credit"])
        ]
        row = self._random.choice(rows)
        row["credit"] = swapped(row["credit"])
        return Planted(
            id="unbalanced",
            kind="unbalanced",
            entity="DE01",
            table="ledger",
            period=f"{row['date']:%Y-%m}",
            documents=(row["doc"],),
            why="debits and credits of a manual entry differ: two digits are swapped",
        )

    def _lines_disagree(self) -> Planted:
        lines = [
            row
            for row in self._books.erp["sales_invoice_lines"]
            if row["invoice_no"].startswith("SI-FR02") and row["line_amount"] > 500_000
        ]
        line = self._random.choice(lines)
        line["line_amount"] -= self._random.randint(90_000, 180_000)
        return Planted(
            id="lines-disagree",
            kind="source_mismatch",
            entity="FR02",
            table="invoice_lines",
            documents=(line["invoice_no"],),
            why="the lines of an invoice do not add up to it",
        )

    def _not_in_bank(self) -> Planted:
        rows = [
            row
            for row in self._books.bank
            if row["company"] == "NL03" and row["amount"] > 200_000 and row["date"].year == 2025
        ]
        row = self._random.choice(rows)
        self._books.bank.remove(row)
        return Planted(
            id="not-in-bank",
            kind="source_mismatch",
            entity="NL03",
            table="bank",
            period=f"{row['date']:%Y-%m}",
            documents=(row["reference"],),
            why="a receipt is in the ERP but not on the bank's statement",
        )

    def _claims_below_limit(self) -> Planted:
        vendor = vendors_for(ENTITIES[2], "6400")[-1]
        for position in range(CLAIMS):
            month = MONTHS[position * len(MONTHS) // CLAIMS]
            cents = self._random.randint(490_000, 499_900)
            on = day_in(month, self._random.randint(2, 27))
            claim = self._books.buy("NL03", vendor, "6400", on, cents)["voucher_no"]
            paid_on = on + timedelta(days=21)
            if paid_on <= BOOKS_END:
                self._books.pay(
                    "NL03", "PAY", vendor, paid_on, cents, invoice=claim, account="2000"
                )
        return Planted(
            id="claims-below-limit",
            kind="benford",
            entity="NL03",
            table="invoices",
            counterparty=vendor,
            why=f"{CLAIMS} expense claims lie just below the limit of 5,000",
        )

    def _self_approved(self) -> Planted:
        invoice = self._invoice("NL03", 5_500, 60_000, "1400", "6300", "6500", "6600")
        invoice["approved_by"] = invoice["entered_by"]
        for row in self._entries[invoice["voucher_no"]]:
            row["approved_by"] = row["entered_by"]
        return Planted(
            id="self-approved",
            kind="segregation_of_duties",
            found_by="finance.review",
            entity="NL03",
            table="invoices",
            documents=(invoice["voucher_no"],),
            why="the same person entered and approved an invoice",
        )

    def _unapproved_order(self) -> Planted:
        order = self._books.order(
            "DE01",
            vendors_for(ENTITIES[0], "6600")[0],
            day_in(self._random.choice(MONTHS[21:24]), 9),
            self._random.randint(12_000_000, 17_000_000),
            approved=False,
        )
        return Planted(
            id="unapproved-order",
            kind="missing_approval",
            found_by="finance.review",
            entity="DE01",
            table="purchase_orders",
            documents=(order["po_no"],),
            why="a purchase order of more than 100,000 has no approval",
        )

    def _personal_data(self) -> Planted:
        month = self._random.choice(MONTHS[20:24])
        number = self._books.journal(
            "FR02",
            day_in(month, 14),
            [("6000", 84_050), ("2300", -84_050)],
            "Advance to Claire Laurent, IBAN FR14 2004 1010 0505 0001 3M02 606, "
            "claire.laurent@example.org",
        )
        return Planted(
            id="personal-data",
            kind="personal_data",
            found_by="finance.review",
            entity="FR02",
            table="ledger",
            period=month,
            documents=(number,),
            why="a journal text holds a person's name, IBAN and e-mail address",
        )
