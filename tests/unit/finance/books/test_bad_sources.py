"""Databases and mappings that are not as described: a sentence, no password, no traceback."""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError
from sqlalchemy import create_engine, text

from dalsegno_agents.gallery.finance.sources import Column, ReportRequest, Source
from dalsegno_bus.errors import TaskRejected, TaskRetry

Read = Callable[[dict[str, Any]], pl.DataFrame]
Refuse = Callable[[dict[str, Any]], TaskRejected]
COLUMNS = {
    "entity": {"constant": "A1"},
    "document": "no",
    "direction": {"constant": "out"},
    "date": "day",
    "amount": "sum",
}


def in_csv(path: Path, content: bytes, **more: Any) -> dict[str, Any]:
    path.write_bytes(content)
    table = {"role": "payments", "columns": COLUMNS, **more.pop("table", {})}
    return {"name": "p", "kind": "csv", "path": str(path), "tables": [table], **more}


def in_database(path: Path, **table: Any) -> dict[str, Any]:
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.execute(text("create table p (no int, day text, sum)"))
        connection.execute(text("insert into p values (1,'2025-01-02',5),(2,'2025-01-03','n/a')"))
    engine.dispose()
    shape = {"role": "payments", "table": "p", "columns": COLUMNS, **table}
    return {"name": "erp", "kind": "sql", "url": f"sqlite:///{path}", "tables": [shape]}


# --- databases --------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_unreachable_database_is_tried_again_and_named_without_its_password(
    read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DALSEGNO_SOURCE_ERP_PASSWORD", "s3cret")
    source = {
        "name": "erp",
        "kind": "sql",
        "url": "postgresql+psycopg://reader@127.0.0.1:1/books",
        "password_variable": "DALSEGNO_SOURCE_ERP_PASSWORD",
        "tables": [{"role": "payments", "table": "p", "columns": COLUMNS}],
    }
    with pytest.raises(TaskRetry) as caught:
        read(source)
    assert str(caught.value).startswith(
        "source 'erp': the database at 127.0.0.1:1/books cannot be reached: "
    )
    told = "".join(traceback.format_exception(caught.value))
    assert "s3cret" not in told
    assert "\n" not in str(caught.value)


def test_a_password_in_the_url_is_not_told_either(read: Read) -> None:
    source = {
        "name": "erp",
        "kind": "sql",
        "url": "postgresql+psycopg://reader:s3cret@127.0.0.1:1/books",
        "tables": [{"role": "payments", "table": "p", "columns": COLUMNS}],
    }
    with pytest.raises(TaskRetry) as caught:
        read(source)
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


def test_a_password_that_is_not_set_is_named_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, rejected: Refuse
) -> None:
    monkeypatch.delenv("DALSEGNO_SOURCE_NONE", raising=False)
    source = {
        "name": "erp",
        "kind": "sql",
        "url": "postgresql+psycopg://reader@127.0.0.1:1/books",
        "password_variable": "DALSEGNO_SOURCE_NONE",
        "tables": [{"role": "payments", "table": "p", "columns": COLUMNS}],
    }
    assert "DALSEGNO_SOURCE_NONE is not set" in str(rejected(source))


def test_a_database_file_that_is_not_there_is_not_made(tmp_path: Path, rejected: Refuse) -> None:
    source = in_database(tmp_path / "a.db") | {"url": f"sqlite:///{tmp_path / 'none.db'}"}
    assert "there is no database file" in str(rejected(source))
    assert not (tmp_path / "none.db").exists()


def test_a_file_that_is_no_database_is_named(tmp_path: Path, rejected: Refuse) -> None:
    (tmp_path / "no.db").write_bytes(b"no database at all" * 100)
    source = in_database(tmp_path / "a.db") | {"url": f"sqlite:///{tmp_path / 'no.db'}"}
    assert "file is not a database" in str(rejected(source))


def test_a_missing_table_is_named_with_those_that_exist(tmp_path: Path, rejected: Refuse) -> None:
    message = str(rejected(in_database(tmp_path / "a.db", table="pp")))
    assert "table 'pp' of source 'erp'" in message
    assert "does not exist (did you mean 'p'?); there are 'p'" in message


def test_a_missing_column_of_a_table_is_named(tmp_path: Path, rejected: Refuse) -> None:
    source = in_database(tmp_path / "a.db", columns={**COLUMNS, "amount": "sums"})
    message = str(rejected(source))
    assert "has no column 'sums' (did you mean 'sum'?); it has 'no', 'day', 'sum'" in message


def test_a_missing_column_of_a_query_is_named(tmp_path: Path, rejected: Refuse) -> None:
    source = in_database(tmp_path / "a.db", table=None, query="select no, day from p")
    assert "gives no column 'sum'; it gives 'no', 'day'" in str(rejected(source))


def test_a_query_with_an_error_is_told_in_the_words_of_the_database(
    tmp_path: Path, rejected: Refuse
) -> None:
    source = in_database(tmp_path / "a.db", table=None, query="selct 1")
    assert "syntax error" in str(rejected(source))


def test_text_in_a_column_of_numbers_of_a_database_is_named_by_row(
    tmp_path: Path, rejected: Refuse
) -> None:
    message = str(rejected(in_database(tmp_path / "a.db")))
    assert "table 'p' of source 'erp'" in message
    assert "row 2, column 'sum': 'n/a' is not a number" in message


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("not a url", "is not one that SQLAlchemy knows"),
        ("nonsense://host/x", "no driver for 'nonsense' is installed"),
    ],
)
def test_a_url_of_no_known_kind_is_refused(
    tmp_path: Path, url: str, words: str, rejected: Refuse
) -> None:
    assert words in str(rejected(in_database(tmp_path / "a.db") | {"url": url}))


# --- mappings ---------------------------------------------------------------------------------


def test_a_column_that_is_not_documented_is_refused_with_a_suggestion(
    tmp_path: Path, rejected: Refuse
) -> None:
    source = in_csv(tmp_path / "p.csv", b"", table={"columns": {**COLUMNS, "counterpart": "x"}})
    message = str(rejected(source))
    assert "'counterpart' is not a column of 'payments' (did you mean 'counterparty'?)" in message


def test_a_required_column_that_is_not_mapped_is_named_with_its_meaning(
    tmp_path: Path, rejected: Refuse
) -> None:
    columns = {name: value for name, value in COLUMNS.items() if name != "date"}
    source = in_csv(tmp_path / "p.csv", b"", table={"columns": columns})
    message = str(rejected(source))
    assert "`columns` must say where 'date' is (when it was paid)" in message


def test_a_ledger_needs_a_date_or_a_month(tmp_path: Path, rejected: Refuse) -> None:
    columns = {"entity": {"constant": "A1"}, "account": "no", "amount": "sum"}
    source = in_csv(tmp_path / "p.csv", b"", table={"role": "ledger", "columns": columns})
    assert "must say where 'date' or 'period' is" in str(rejected(source))


@pytest.mark.parametrize(
    "broken",
    [
        {"kind": "sql"},
        {"kind": "csv"},
        {"kind": "sql", "url": "sqlite:///x"},
        {"kind": "csv", "path": "x", "tables": []},
        {"kind": "csv", "path": "x", "encodign": "utf-8"},
        {"kind": "sql", "url": "sqlite:///x", "password_variable": "HOME"},
    ],
)
def test_a_source_that_cannot_be_one_never_reaches_the_agent(broken: dict[str, Any]) -> None:
    tables = [{"role": "payments", "columns": COLUMNS}]
    with pytest.raises(ValidationError):
        Source.model_validate({"name": "x", "tables": tables, **broken})


def test_a_column_is_a_name_or_a_constant_and_not_both() -> None:
    with pytest.raises(ValidationError, match="either `name`"):
        Column(name="a", constant="b")


@pytest.mark.parametrize("period", ["2025-Q5", "2025", "Q1-2025"])
def test_a_period_is_a_quarter(period: str) -> None:
    with pytest.raises(ValidationError):
        ReportRequest.model_validate({"company": "x", "period": period, "sources": []})
