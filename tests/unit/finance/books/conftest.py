"""The demo company's books, made and analyzed once per seed, and small books made by hand."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from dalsegno.demo.company import DemoBooks, make_books
from dalsegno_agents import TaskContext, offline_context
from dalsegno_agents.gallery.finance.analysis.evidence import Evidence
from dalsegno_agents.gallery.finance.analyze import analyze
from dalsegno_agents.gallery.finance.gather import gather, reconcile
from dalsegno_agents.gallery.finance.model import (
    Analysis,
    AnalyzeRequest,
    Books,
    Gathered,
    GatherRequest,
    ReconcileRequest,
)
from dalsegno_agents.gallery.finance.sources import ReportRequest, Role, Source
from dalsegno_agents.gallery.finance.tables import read_table, schema_of
from dalsegno_bus.errors import TaskRejected


@dataclass(frozen=True, kw_only=True)
class Analyzed:
    """Books with all that the agents made of them."""

    made: DemoBooks
    gathered: tuple[Gathered, ...]
    books: Books
    analysis: Analysis


def analyzed_request(
    request: dict[str, Any], context: TaskContext[None]
) -> tuple[tuple[Gathered, ...], Books, Analysis]:
    """What the workflow does with a run's input, as far as these agents go."""
    wanted = ReportRequest.model_validate(request)
    gathered = tuple(gather(GatherRequest(source=source), context) for source in wanted.sources)
    books = reconcile(ReconcileRequest(request=wanted, gathered=gathered), context)
    return gathered, books, analyze(AnalyzeRequest(request=wanted, books=books), context)


@pytest.fixture
def context(tmp_path: Path) -> TaskContext[None]:
    return offline_context(None, folder=tmp_path / "artifacts")


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Analyzed]:
    """`demo(seed, planted=True)`: each made once."""

    @functools.cache
    def made(seed: int, planted: bool = True) -> Analyzed:
        folder = tmp_path_factory.mktemp("demo")
        books = make_books(folder, seed=seed, planted=planted)
        gathered, reconciled, analysis = analyzed_request(
            books.request, offline_context(None, folder=folder / "artifacts")
        )
        return Analyzed(made=books, gathered=gathered, books=reconciled, analysis=analysis)

    return made


@pytest.fixture
def run_input(
    context: TaskContext[None],
) -> Callable[[dict[str, Any]], tuple[tuple[Gathered, ...], Books, Analysis]]:
    return lambda request: analyzed_request(request, context)


@pytest.fixture
def read(context: TaskContext[None]) -> Callable[[dict[str, Any]], pl.DataFrame]:
    """Gather a source with one table and return its rows."""

    def rows(source: dict[str, Any]) -> pl.DataFrame:
        made = gather(GatherRequest(source=Source.model_validate(source)), context)
        return read_table(made.tables[0], context)

    return rows


@pytest.fixture
def rejected(
    read: Callable[[dict[str, Any]], pl.DataFrame],
) -> Callable[[dict[str, Any]], TaskRejected]:
    """`rejected(source)`: the error with which a source is refused, in one sentence."""

    def refusal(source: dict[str, Any]) -> TaskRejected:
        with pytest.raises(TaskRejected) as caught:
            read(source)
        assert "\n" not in str(caught.value)
        assert caught.value.reason_code.startswith("books.")
        return caught.value

    return refusal


@pytest.fixture
def table() -> Callable[..., pl.DataFrame]:
    """`table(role, rows)`: a frame of the documented shape, null where a row says nothing."""

    def made(role: Role, rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
        return pl.DataFrame(list(rows), schema=schema_of(role))

    return made


@pytest.fixture
def evidence() -> Callable[..., Evidence]:
    """`evidence(ledger=frame, …)`: the tests' view of hand-made tables over two years."""

    def made(**frames: pl.DataFrame) -> Evidence:
        roles: Any = frames
        return Evidence(
            frames=roles,
            entities=("A1", "B2"),
            periods=tuple(f"{2024 + n // 12}-{n % 12 + 1:02}" for n in range(24)),
            currency="EUR",
            material_cents=10_000_000,
        )

    return made
