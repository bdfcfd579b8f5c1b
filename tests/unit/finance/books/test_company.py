"""The demo company's generator: the same again, large enough, and balanced unless planted."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dalsegno.demo.books_entries import TABLES
from dalsegno.demo.company import make_books
from dalsegno_agents.gallery.finance.sources import ReportRequest
from dalsegno_bus.errors import UsageError

pytestmark = pytest.mark.slow


def dump(path: Path) -> list[str]:
    with sqlite3.connect(path) as database:
        lines = list(database.iterdump())
    database.close()
    return lines


FILES = ("bank.csv", "budget.xlsx", "entities.xlsx", "manual-journal.xlsx", "anomalies.json")


def test_the_same_seed_gives_the_same_books_to_the_byte_also_in_place_of_others(
    tmp_path: Path, demo: Callable[..., Any]
) -> None:
    make_books(tmp_path, seed=2)
    first, second = demo(1).made, make_books(tmp_path, seed=1)
    assert first.rows == second.rows
    assert dump(first.folder / "erp.sqlite") == dump(second.folder / "erp.sqlite")
    for name in FILES:
        assert (first.folder / name).read_bytes() == (second.folder / name).read_bytes(), name


def test_another_seed_gives_other_books(demo: Callable[..., Any]) -> None:
    first, second = demo(1).made, demo(2).made
    assert (first.folder / "bank.csv").read_bytes() != (second.folder / "bank.csv").read_bytes()


def test_the_erp_has_at_least_fifty_thousand_rows_in_every_table_that_was_promised(
    demo: Callable[..., Any],
) -> None:
    made = demo(1).made
    with sqlite3.connect(made.folder / "erp.sqlite") as database:
        counts = {
            name: database.execute(f"select count(*) from {name}").fetchone()[0] for name in TABLES
        }
    database.close()
    assert sum(counts.values()) == made.rows >= 50_000
    assert min(counts.values()) >= 3


def test_three_entities_and_eight_quarters_are_in_the_books(demo: Callable[..., Any]) -> None:
    coverage = demo(1).analysis.coverage
    assert len(coverage.entities) == 3
    assert len(coverage.quarters) == 8


def test_at_least_eight_kinds_of_anomalies_are_listed_beside_the_books(
    demo: Callable[..., Any],
) -> None:
    made = demo(1).made
    listed = json.loads((made.folder / "anomalies.json").read_text())
    assert [one["id"] for one in listed] == [one.id for one in made.planted]
    assert len({one["kind"] for one in listed}) >= 8
    assert all(one["why"] and one["entity"] for one in listed)


def test_the_run_input_is_one_that_the_workflow_takes(demo: Callable[..., Any]) -> None:
    made = demo(1).made
    assert ReportRequest.model_validate(made.request).period == "2025-Q4"
    assert json.loads((made.folder / "input.json").read_text()) == made.request


def test_a_database_with_such_tables_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "mine.sqlite"
    with sqlite3.connect(path) as database:
        database.execute("create table payments (mine text)")
    database.close()
    with pytest.raises(UsageError, match="has a table 'payments' already"):
        make_books(tmp_path / "books", url=f"sqlite:///{path}")
    assert dump(path)[1] == "CREATE TABLE payments (mine text);"
