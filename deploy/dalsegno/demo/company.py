"""The demo company's books, made by a seeded generator: `make_books` writes them into a folder.

The same seed gives the same rows and the same files, byte for byte. The run input that it returns
says where everything is and which column is what: the agents know nothing else of this company.
"""

from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

import orjson

from dalsegno.demo.books_anomalies import Planter
from dalsegno.demo.books_files import (
    write_bank,
    write_database,
)
from dalsegno.demo.books_plan import COMPANY, CURRENCY, LAST_QUARTER
from dalsegno.demo.books_planted import Planted
from dalsegno.demo.books_sources import sources
from dalsegno.demo.books_workbooks import write_budget, write_journal, write_reported
from dalsegno.demo.books_year import ordinary_years

DEMO_SEED: Final = 7
DATABASE: Final = "erp.sqlite"
PLANTED: Final = "anomalies.json"


@dataclass(frozen=True, kw_only=True)
class DemoBooks:
    """Books on disk, and how to report on them."""

    folder: Path
    request: dict[str, Any]
    """The input of the workflow `financial-report`."""
    planted: tuple[Planted, ...]
    """What is wrong with them; also in `anomalies.json`."""
    rows: int
    """In the database."""


def make_books(
    folder: Path, *, seed: int = DEMO_SEED, url: str | None = None, planted: bool = True
) -> DemoBooks:
    """Write database, workbooks, csv, the list of what is planted, and the run input.

    Args:
        folder: Made if need be; files of an earlier call are replaced.
        seed: Any whole number.
        url: A SQLAlchemy URL of an empty database, in place of SQLite in `folder`.
        planted: False leaves the books in order.

    Raises:
        UsageError: The database at `url` has such tables already.
    """
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    books = ordinary_years(Random(f"books {seed}"))  # noqa: S311 - not for secrets
    planter = Planter(books, Random(f"planted {seed}"))  # noqa: S311 - not for secrets
    wrong = planter.plant() if planted else []
    reported = books.movements()
    if planted:
        wrong.append(planter.misreport(reported))
    if url is None:
        (folder / DATABASE).unlink(missing_ok=True)
        url = f"sqlite:///{folder / DATABASE}"
    write_database(books, url)
    write_budget(folder / "budget.xlsx", Random(f"budget {seed}"))  # noqa: S311 - not for secrets
    write_journal(folder / "manual-journal.xlsx", books)
    write_reported(folder / "entities.xlsx", reported)
    write_bank(folder / "bank.csv", books)
    request: dict[str, Any] = {
        "company": COMPANY,
        "period": LAST_QUARTER,
        "currency": CURRENCY,
        "sources": sources(folder, url),
    }
    _write_json(folder / PLANTED, [one.as_json() for one in wrong])
    _write_json(folder / "input.json", request)
    return DemoBooks(folder=folder, request=request, planted=tuple(wrong), rows=books.rows())


def _write_json(path: Path, value: object) -> None:
    path.write_bytes(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
