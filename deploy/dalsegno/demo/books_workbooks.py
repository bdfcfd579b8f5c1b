# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# (xlsxwriter is typed in parts only)
"""Writes the demo company's workbooks: budget, manual journal, and a sheet per entity.

Equal rows give equal files: no time of writing goes into them.
"""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from pathlib import Path
from random import Random
from typing import Final

import xlsxwriter
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from dalsegno.demo.books_entries import Bookkeeper
from dalsegno.demo.books_plan import ACCOUNTS, ENTITIES, GROWTH_YEARLY, MONTHS, SEASON

WRITTEN: Final = datetime(2026, 1, 12)  # noqa: DTZ001 - a workbook's property knows no zone
"""What the workbooks say of when they were made."""
MONTH_NAMES: Final = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)  # fmt: skip
REPORT_HEADER_ROW: Final = 4
"""Where an entity's sheet has its headers, below a title."""


class _Workbook:
    """A workbook whose bytes depend on nothing but its cells."""

    def __init__(self, path: Path) -> None:
        self._book = xlsxwriter.Workbook(str(path))
        self._book.set_properties({"created": WRITTEN, "company": "Fermata Instruments"})
        self.bold = self._book.add_format({"bold": True})
        self.money = self._book.add_format({"num_format": "#,##0.00"})
        self.day = self._book.add_format({"num_format": "yyyy-mm-dd"})

    def __enter__(self) -> "_Workbook":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._book.close()

    def sheet(self, name: str) -> Worksheet:
        return self._book.add_worksheet(name)


def _write_texts(
    sheet: Worksheet, row: int, texts: Iterable[str], form: Format | None = None
) -> None:
    for column, text in enumerate(texts):
        sheet.write_string(row, column, text, form)


def write_budget(path: Path, random: Random) -> None:
    """The budget: a row per entity and account, a column per month, revenue and costs positive."""
    plan = _planned(random)
    with _Workbook(path) as book:
        sheet = book.sheet("Budget")
        names = [f"{MONTH_NAMES[int(month[5:7]) - 1]} {month[:4]}" for month in MONTHS]
        _write_texts(sheet, 0, ["Company", "Account", "Description", *names], book.bold)
        accounts = {number: name for number, name, _ in ACCOUNTS}
        for row, ((entity, account), values) in enumerate(plan.items(), 1):
            _write_texts(sheet, row, [entity, account, accounts[account]])
            for column, value in enumerate(values, 3):
                sheet.write_number(row, column, value, book.money)
        sheet.freeze_panes(1, 3)


def _planned(random: Random) -> dict[tuple[str, str], list[int]]:
    """Whole euros by entity and account, for each month: what was hoped for."""
    plan: dict[tuple[str, str], list[int]] = {}
    for entity in ENTITIES:
        sales = [
            entity.sales_eur * SEASON[n % 12] * (1 + GROWTH_YEARLY * 1.15) ** (n / 12)
            for n in range(24)
        ]
        running, pay = entity.size, entity.employees * entity.pay_eur * 1.07
        months = {
            "4000": [0.70 * sale for sale in sales],
            "4100": [0.20 * sale for sale in sales],
            "4200": [0.10 * sale for sale in sales],
            "5000": [entity.cost_share * 0.985 * sale for sale in sales],
            "6000": [pay * 1.03 ** (n // 12) for n in range(24)],
            "6100": [entity.rent_eur * 1.02 ** (n // 12) for n in range(24)],
            "6200": [15_000 * running] * 24,
            "6300": [34_000 * running * 1.05 ** (n // 12) for n in range(24)],
            "6400": [14_000 * running] * 24,
            "6500": [19_500 * running] * 24,
            "6600": [16_000 * running] * 24,
            "6700": [27_500 * running * SEASON[n % 12] for n in range(24)],
            "6800": [6_300 * running] * 24,
            "6950": [450 * running] * 24,
            "7000": [float(entity.depreciation_eur)] * 24,
            "8000": [entity.depreciation_eur * 0.09] * 24,
            "8500": [
                entity.sales_eur * 0.032 if n % 3 == 2 else 0.0  # with the quarter's last month
                for n in range(24)
            ],
        }
        for account, values in months.items():
            factor = random.uniform(0.98, 1.02)
            plan[entity.code, account] = [int(round(value * factor, -2)) for value in values]
    return plan


def write_journal(path: Path, books: Bookkeeper) -> None:
    """The manual journal, in one sheet."""
    columns = ("doc", "company", "date", "entered", "account", "debit", "credit", "prepared",
               "approved", "text")  # fmt: skip
    titles = ("Document", "Company", "Date", "Entered on", "Account", "Debit", "Credit",
              "Prepared by", "Approved by", "Text")  # fmt: skip
    with _Workbook(path) as book:
        sheet = book.sheet("Journal")
        _write_texts(sheet, 0, titles, book.bold)
        for number, row in enumerate(books.manual, 1):
            for position, key in enumerate(columns):
                money = key in {"debit", "credit"}
                _write_cell(sheet, book, number, position, row[key], money=money)
        sheet.freeze_panes(1, 0)


def _write_cell(
    sheet: Worksheet, book: _Workbook, row: int, column: int, value: object, *, money: bool
) -> None:
    match value:
        case int() if money:
            if value:
                sheet.write_number(row, column, value / 100, book.money)
        case date():
            sheet.write_datetime(row, column, datetime.combine(value, time.min), book.day)
        case _:
            sheet.write_string(row, column, str(value))


def write_reported(path: Path, reported: Mapping[tuple[str, str, str], int]) -> None:
    """What each entity reports: a sheet per entity, a row per account, a column per month."""
    with _Workbook(path) as book:
        for entity in ENTITIES:
            sheet = book.sheet(entity.code)
            sheet.write_string(0, 0, f"{entity.name}: movements by account", book.bold)
            sheet.write_string(1, 0, "EUR, debit positive")
            _write_texts(sheet, REPORT_HEADER_ROW - 1, ["Account", "Name", *MONTHS], book.bold)
            row = REPORT_HEADER_ROW
            for account, name, _ in ACCOUNTS:
                values = [reported.get((entity.code, account, month)) for month in MONTHS]
                if not any(values):
                    continue
                _write_texts(sheet, row, [account, name])
                for column, value in enumerate(values, 2):
                    if value is not None:
                        sheet.write_number(row, column, value / 100, book.money)
                row += 1
