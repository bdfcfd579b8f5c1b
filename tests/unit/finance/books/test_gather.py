# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# (xlsxwriter is typed in parts only)
"""Sources in the documented shape: amounts to the cent, months, words, whatever the source is."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import xlsxwriter
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, text

from dalsegno.demo.company import make_books
from dalsegno_agents import TaskContext, offline_context
from dalsegno_agents.gallery.finance.gather import agent, gather
from dalsegno_agents.gallery.finance.model import GatherRequest
from dalsegno_agents.gallery.finance.reading.raw import ROW, RawTable
from dalsegno_agents.gallery.finance.reading.shape import shaped
from dalsegno_agents.gallery.finance.sources import Column, Source, TableSource
from dalsegno_agents.gallery.finance.tables import schema_of

Read = Callable[[dict[str, Any]], pl.DataFrame]
PAYMENT = {
    "entity": {"constant": "A1"},
    "document": "no",
    "direction": {"constant": "out"},
    "date": "day",
    "amount": "sum",
}


def csv_source(path: Path, content: str, **more: Any) -> dict[str, Any]:
    path.write_bytes(content.encode(more.get("encoding", "utf-8")))
    table = {"role": "payments", "columns": PAYMENT, **more.pop("table", {})}
    return {"name": "p", "kind": "csv", "path": str(path), "tables": [table], **more}


def amounts_of(texts: list[str], decimal: str = ".") -> list[int]:
    frame = pl.DataFrame({"sum": texts, ROW: range(1, len(texts) + 1)})
    source = Source.model_validate(
        {
            "name": "s",
            "kind": "csv",
            "path": "x",
            "decimal": decimal,
            "tables": [{"role": "bank", "columns": {}}],
        }
    )
    table = TableSource(
        role="bank",
        columns={
            "entity": Column(constant="A1"),
            "date": Column(constant="2025-01-01"),
            "amount": "sum",
        },
    )
    return shaped(RawTable(frame=frame, place="here"), table, source)["amount_cents"].to_list()


def test_every_documented_column_is_there_and_what_is_not_mapped_is_null(
    tmp_path: Path, read: Read
) -> None:
    rows = read(csv_source(tmp_path / "p.csv", "no,day,sum,noise\n7,2025-03-04,12.5,x\n"))
    assert dict(rows.schema) == schema_of("payments")
    assert rows.row(0, named=True) == {
        "entity": "A1",
        "document": "7",
        "direction": "out",
        "date": date(2025, 3, 4),
        "amount_cents": 1250,
        "counterparty": None,
        "invoice": None,
        "created_by": None,
        "approved_by": None,
        "text": None,
    }


@pytest.mark.parametrize(
    ("written", "decimal", "cents"),
    [
        ("1234.56", ".", 123456),
        ("1,234.56", ".", 123456),
        ("-1,234,567.8", ".", -123456780),
        ("(12.00)", ".", -1200),
        ("12.00-", ".", -1200),
        ("+0.07", ".", 7),
        (".5", ".", 50),
        ("1e3", ".", 100000),
        ("1.234,56", ",", 123456),
        ("1 234,56", ",", 123456),
        ("1'234.56", ".", 123456),
        ("1\u202f234,56", ",", 123456),
        ("-0,01", ",", -1),
        ("90000000000.01", ".", 9000000000001),
    ],
)
def test_amounts_are_read_as_people_write_them(written: str, decimal: str, cents: int) -> None:
    assert amounts_of([written], decimal) == [cents]


@given(st.lists(st.integers(-(10**14), 10**14), min_size=1, max_size=30))
def test_amounts_survive_to_the_cent(cents: list[int]) -> None:
    written = [f"{'-' if one < 0 else ''}{abs(one) // 100}.{abs(one) % 100:02}" for one in cents]
    assert amounts_of(written) == cents


@given(st.lists(st.integers(-(10**14), 10**14), min_size=1, max_size=30))
def test_amounts_with_commas_survive_to_the_cent(cents: list[int]) -> None:
    swap = str.maketrans(",.", ".,")
    written = [
        f"{'-' if one < 0 else ''}{abs(one) // 100:,}.{abs(one) % 100:02}".translate(swap)
        for one in cents
    ]
    assert amounts_of(written, ",") == cents


def test_a_csv_of_another_encoding_separator_and_language_is_read(
    tmp_path: Path, read: Read
) -> None:
    columns = {
        "entity": "Konto",
        "date": {"name": "Tag", "format": "%d.%m.%Y"},
        "amount": "Betrag",
        "counterparty": "Empfänger",
    }
    source = csv_source(
        tmp_path / "b.csv",
        "Konto;Tag;Betrag;Empfänger\nA1;31.01.2025;-1.234,50;Müller\n\n",
        encoding="latin-1",
        separator=";",
        decimal=",",
        table={"role": "bank", "columns": columns},
    )
    row = read(source).row(0, named=True)
    assert (row["date"], row["amount_cents"]) == (date(2025, 1, 31), -123450)
    assert row["counterparty"] == "Müller"


def test_a_quoted_field_may_hold_separators_and_line_breaks(tmp_path: Path, read: Read) -> None:
    rows = read(
        csv_source(tmp_path / "p.csv", 'no,day,sum\n"7,\n8",2025-03-04,1\n9,2025-03-05,2\n')
    )
    assert rows["document"].to_list() == ["7,\n8", "9"]


def test_a_default_and_our_words_for_theirs(tmp_path: Path, read: Read) -> None:
    columns = {
        **PAYMENT,
        "entity": {"name": "who", "default": "A1"},
        "direction": {"name": "way", "values": {"paid": "out", "got": "in"}},
    }
    source = csv_source(
        tmp_path / "p.csv",
        "no,day,sum,who,way\n1,2025-01-01,1,,paid\n2,2025-01-01,1,B2,got\n",
        table={"columns": columns},
    )
    rows = read(source)
    assert rows["entity"].to_list() == ["A1", "B2"]
    assert rows["direction"].to_list() == ["out", "in"]


@pytest.mark.parametrize(("unit", "cents"), [("one", 1250), ("cent", 12), ("thousand", 1250000)])
def test_the_unit_of_amounts_is_what_the_source_says(
    tmp_path: Path, read: Read, unit: str, cents: int
) -> None:
    source = csv_source(tmp_path / "p.csv", "no,day,sum\n1,2025-01-01,12.5\n", table={"unit": unit})
    assert read(source)["amount_cents"].to_list() == [cents]


def test_a_sheet_with_a_column_per_month_becomes_rows(tmp_path: Path, read: Read) -> None:
    path = tmp_path / "plan.xlsx"
    book = xlsxwriter.Workbook(str(path))
    sheet: Any = book.add_worksheet("Plan")
    sheet.write_row(0, 0, ["A title above the headers"])
    sheet.write_row(2, 1, ["Account", "Note", "Jan 2025", "Feb 2025"])
    sheet.write_row(3, 1, [4000, "x", 1000.5, None])
    sheet.write_row(4, 1, ["5000", "", "", 77])
    book.close()
    source = {
        "name": "plan",
        "kind": "xlsx",
        "path": str(path),
        "tables": [
            {
                "role": "budget",
                "header_row": 3,
                "columns": {"entity": {"constant": "A1"}, "account": "Account"},
                "unpivot": {"columns": r"^\w{3} \d{4}$", "format": "%b %Y"},
            }
        ],
    }
    rows = read(source).select("account", "period", "amount_cents").rows()
    assert rows == [("4000", "2025-01", 100050), ("5000", "2025-02", 7700)]


def test_dates_and_numbers_of_a_sheet_are_read_as_what_they_are(tmp_path: Path, read: Read) -> None:
    path = tmp_path / "journal.xlsx"
    book = xlsxwriter.Workbook(str(path))
    sheet: Any = book.add_worksheet()
    day = book.add_format({"num_format": "yyyy-mm-dd"})
    sheet.write_row(0, 0, ["no", "day", "sum"])
    sheet.write_row(1, 0, [4711, None, 0.1 + 0.2])
    sheet.write_datetime(1, 1, date(2025, 2, 28), day)
    book.close()
    source = {
        "name": "j",
        "kind": "xlsx",
        "path": str(path),
        "tables": [{"role": "payments", "columns": PAYMENT}],
    }
    row = read(source).row(0, named=True)
    assert (row["document"], row["date"], row["amount_cents"]) == ("4711", date(2025, 2, 28), 30)


def test_a_query_may_stand_in_place_of_a_table(tmp_path: Path, read: Read) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'a.db'}")
    with engine.begin() as connection:
        connection.execute(text("create table p (no int, day text, debit real, credit real)"))
        connection.execute(text("insert into p values (1,'2025-01-02',3.5,null),(2,'x',1,1)"))
    engine.dispose()
    source = {
        "name": "s",
        "kind": "sql",
        "url": f"sqlite:///{tmp_path / 'a.db'}",
        "tables": [
            {
                "role": "payments",
                "query": "select no, day, debit, credit from p where day <> 'x'",
                "columns": {**PAYMENT, "amount": {"name": "debit", "minus": "credit"}},
            }
        ],
    }
    row = read(source).row(0, named=True)
    assert (row["document"], row["date"], row["amount_cents"]) == ("1", date(2025, 1, 2), 350)


def test_a_query_cannot_change_the_database(tmp_path: Path, read: Read) -> None:
    path = tmp_path / "a.db"
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.execute(text("create table p (no int)"))
    engine.dispose()
    before = path.read_bytes()
    source = {
        "name": "s",
        "kind": "sql",
        "url": f"sqlite:///{path}",
        "tables": [{"role": "payments", "query": "drop table p", "columns": PAYMENT}],
    }
    with pytest.raises(Exception, match="query"):
        read(source)
    assert path.read_bytes() == before


def test_an_empty_table_of_a_database_is_no_mistake(tmp_path: Path, read: Read) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'a.db'}")
    with engine.begin() as connection:
        connection.execute(text("create table p (no int, day text, sum real)"))
    engine.dispose()
    source = {
        "name": "s",
        "kind": "sql",
        "url": f"sqlite:///{tmp_path / 'a.db'}",
        "tables": [{"role": "payments", "table": "p", "columns": PAYMENT}],
    }
    assert read(source).height == 0


def test_progress_is_told_table_by_table(tmp_path: Path) -> None:
    told: list[tuple[float | None, str]] = []
    context = offline_context(
        None, folder=tmp_path / "a", on_progress=lambda part, words: told.append((part, words))
    )
    source = csv_source(tmp_path / "p.csv", "no,day,sum\n1,2025-01-01,1\n")
    gather(GatherRequest(source=Source.model_validate(source)), context)
    assert told == [(0.0, "p: reading payments"), (1.0, "p: 1 rows in 1 tables")]


def test_the_agent_offers_gather_and_reconcile() -> None:
    assert {one.name for one in agent.card.capabilities} == {"finance.gather", "finance.reconcile"}


@pytest.mark.slow
def test_books_in_postgresql_are_the_same_books(
    tmp_path: Path,
    postgres_url: str,
    context: TaskContext[None],
    demo: Callable[..., Any],
) -> None:
    admin = postgres_url.replace("postgresql://", "postgresql+psycopg://", 1)
    engine = create_engine(admin, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("create database demo_books"))
    engine.dispose()
    url = engine.url.set(database="demo_books").render_as_string(hide_password=False)
    made = make_books(tmp_path / "books", seed=1, url=url)
    erp = Source.model_validate(made.request["sources"][0])
    tables = gather(GatherRequest(source=erp), context).tables
    # content-addressed: equal rows have equal addresses
    assert [one.artifact.sha256 for one in tables] == [
        one.artifact.sha256 for one in demo(1).gathered[0].tables
    ]
