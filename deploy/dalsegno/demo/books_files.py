"""Writes the demo company's ERP database and the bank's csv file. Owns the ERP's schema."""

import csv
from datetime import date
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    Column,
    Date,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    create_engine,
    insert,
    inspect,
)

from dalsegno.demo.books_entries import Bookkeeper, Row
from dalsegno_bus.errors import UsageError

_KEY: Final = ("text", 40)
_MONEY: Final = ("money", 0)
_DAY: Final = ("day", 0)
_WHOLE: Final = ("whole", 0)
_LONG: Final = ("text", 200)
SCHEMA: Final[dict[str, dict[str, tuple[str, int]]]] = {
    "companies": {"code": _KEY, "name": _LONG, "country": _KEY},
    "gl_accounts": {"acct_no": _KEY, "acct_name": _LONG, "acct_class": _LONG},
    "business_partners": {"bp_id": _KEY, "bp_name": _LONG, "bp_type": _KEY, "country": _KEY},
    "sales_invoices": {
        "invoice_no": _KEY,
        "company": _KEY,
        "customer": _KEY,
        "invoice_date": _DAY,
        "due_date": _DAY,
        "net_amount": _MONEY,
        "doc_type": _KEY,
        "entered_by": _KEY,
        "note": _LONG,
    },
    "sales_invoice_lines": {
        "invoice_no": _KEY,
        "line_no": _WHOLE,
        "product": _LONG,
        "qty": _WHOLE,
        "unit_price": _MONEY,
        "line_amount": _MONEY,
    },
    "purchase_orders": {
        "po_no": _KEY,
        "company": _KEY,
        "vendor": _KEY,
        "po_date": _DAY,
        "amount": _MONEY,
        "requested_by": _KEY,
        "approved_by": _KEY,
        "note": _LONG,
    },
    "vendor_invoices": {
        "voucher_no": _KEY,
        "company": _KEY,
        "vendor": _KEY,
        "vendor_ref": _KEY,
        "invoice_date": _DAY,
        "due_date": _DAY,
        "amount": _MONEY,
        "po_no": _KEY,
        "entered_by": _KEY,
        "approved_by": _KEY,
    },
    "payments": {
        "payment_no": _KEY,
        "company": _KEY,
        "direction": _KEY,
        "partner": _KEY,
        "pay_date": _DAY,
        "amount": _MONEY,
        "invoice_no": _KEY,
        "entered_by": _KEY,
        "approved_by": _KEY,
        "remark": _LONG,
    },
    "payroll": {
        "company": _KEY,
        "employee": _KEY,
        "month": _KEY,
        "gross": _MONEY,
        "paid_on": _DAY,
    },
    "gl_entries": {
        "entry_no": _KEY,
        "line_no": _WHOLE,
        "company": _KEY,
        "acct_no": _KEY,
        "posting_date": _DAY,
        "entered_on": _DAY,
        "debit": _MONEY,
        "credit": _MONEY,
        "partner": _KEY,
        "entered_by": _KEY,
        "approved_by": _KEY,
        "text": _LONG,
    },
    "period_closings": {"month": _KEY, "closed_on": _DAY},
}


def write_database(books: Bookkeeper, url: str) -> None:
    """Create the ERP's tables at a SQLAlchemy URL and fill them.

    Raises:
        UsageError: A table of that name is there already: it may be somebody's.
    """
    metadata = MetaData()
    tables = {
        name: Table(name, metadata, *(_column(key, kind) for key, kind in columns.items()))
        for name, columns in SCHEMA.items()
    }
    engine = create_engine(url)
    try:
        taken = set(inspect(engine).get_table_names()) & set(tables)
        if taken:
            raise UsageError(
                f"the database has a table {min(taken)!r} already; give the demo an empty one"
            )
        with engine.begin() as connection:
            metadata.create_all(connection)
            for name, table in tables.items():
                money = [key for key, kind in SCHEMA[name].items() if kind is _MONEY]
                rows = [row | {key: row[key] / 100 for key in money} for row in books.erp[name]]
                connection.execute(insert(table), rows)
    finally:
        engine.dispose()


def _column(name: str, kind: tuple[str, int]) -> Column[Any]:
    match kind[0]:
        case "money":
            return Column(name, Numeric(14, 2, asdecimal=False))
        case "day":
            return Column(name, Date())
        case "whole":
            return Column(name, Integer())
        case _:
            return Column(name, String(kind[1]))


def write_bank(path: Path, books: Bookkeeper) -> None:
    """The bank's statement as German banks export it: Latin-1, semicolons, decimal commas."""
    names: dict[str, str] = {row["bp_id"]: row["bp_name"] for row in books.erp["business_partners"]}
    with path.open("w", encoding="latin-1", newline="") as file:
        writer = csv.writer(file, delimiter=";", lineterminator="\n")
        writer.writerow(["Konto", "Buchungstag", "Betrag", "Verwendungszweck", "Empfänger"])
        for row in sorted(books.bank, key=_by_day):
            writer.writerow(
                [
                    row["company"],
                    f"{row['date']:%d.%m.%Y}",
                    f"{row['amount'] / 100:,.2f}".translate(str.maketrans(",.", ".,")),
                    row["reference"],
                    names.get(row["partner"], row["partner"]),
                ]
            )


def _by_day(row: Row) -> tuple[date, str]:
    return row["date"], row["reference"]
