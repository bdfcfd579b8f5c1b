"""A user's own books: the example runs, and its page names everything that may be mapped."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from dalsegno_agents.gallery.finance import analyze, gather
from dalsegno_agents.gallery.finance.model import (
    AnalyzeRequest,
    GatherRequest,
    ReconcileRequest,
    ReportTask,
    ReviewRequest,
    SummarizeRequest,
)
from dalsegno_agents.gallery.finance.sources import (
    TABLES,
    Category,
    Column,
    ReportRequest,
    Source,
    TableSource,
    Unpivot,
)
from dalsegno_bus.errors import TaskRejected
from dalsegno_orchestrator.authoring.yaml_file import check_text

DEMO = Path(__file__).parents[4] / "deploy" / "dalsegno" / "demo"
Run = Callable[[dict[str, Any]], Any]


@pytest.fixture
def mine(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(DEMO.parents[2])  # the paths in the example start at the project
    return json.loads((DEMO / "own-books" / "mine.json").read_text())


def test_the_example_of_own_books_runs(mine: dict[str, Any], run_input: Run) -> None:
    gathered, books, analysis = run_input(mine)
    assert [one.source for one in gathered] == ["ledger", "invoices"]
    assert books.entities == ("NORD",)
    assert analysis.figure("revenue").value > 0
    assert analysis.figure("current_ratio").value > 1
    assert all(one.differences == 0 for one in books.reconciliations)
    assert analysis.anomalies == ()
    omitted = {one.id: one.reason for one in analysis.omitted}
    assert omitted["budget_variance"] == "the books have no budget"
    assert "payments" in analysis.coverage.missing_tables


@pytest.mark.parametrize("left", ["ledger", "invoices"])
def test_either_table_alone_is_enough_for_what_it_can_tell(
    mine: dict[str, Any], run_input: Run, left: str
) -> None:
    mine["sources"] = [one for one in mine["sources"] if one["name"] == left]
    _, _, analysis = run_input(mine)
    assert bool(analysis.figures) == (left == "ledger")
    assert analysis.omitted
    assert analysis.checks


def test_a_quarter_that_the_books_do_not_cover_is_refused_with_those_they_do(
    mine: dict[str, Any], run_input: Run
) -> None:
    later = copy.deepcopy(mine) | {"period": "2025-Q3"}
    with pytest.raises(TaskRejected, match="do not cover 2025-Q3: they go from 2025-01 to 2025-06"):
        run_input(later)


def test_the_page_names_every_table_column_and_option() -> None:
    page = (DEMO / "own-books" / "README.md").read_text()
    sections = page.split("\n### ")
    for role, shapes in TABLES.items():
        section = next(one for one in sections if one.startswith(f"`{role}`"))
        for shape in shapes:
            name = f"**`{shape.name}`**" if shape.required else f"`{shape.name}`"
            assert f"| {name} |" in section, (role, shape.name)
            assert shape.meaning in section
    for model in (ReportRequest, Source, TableSource, Column, Unpivot):
        for field in model.model_fields:
            assert f"`{field}`" in page or f'"{field}"' in page, (model.__name__, field)
    for category in get_args(Category):
        assert f"`{category}`" in page


def test_the_workflow_asks_each_agent_for_what_it_takes() -> None:
    workflow = yaml.safe_load((DEMO / "financial-report.yaml").read_text())
    tasks = workflow["tasks"]
    asked = {
        "gather": GatherRequest,
        "reconcile": ReconcileRequest,
        "analyze": AnalyzeRequest,
        "summarize": SummarizeRequest,
        "review": ReviewRequest,
        "report": ReportTask,
    }
    for task, model in asked.items():
        assert set(tasks[task]["input"]) == set(model.model_fields), task
    offered = {
        one.name for agent in (gather.agent, analyze.agent) for one in agent.card.capabilities
    }
    assert {tasks[task]["capability"] for task in ("gather", "reconcile", "analyze")} == offered


@pytest.mark.slow
def test_the_demo_input_fits_the_schema_of_the_workflow(demo: Callable[..., Any]) -> None:
    schema = yaml.safe_load((DEMO / "financial-report.yaml").read_text())["input"]
    request = demo(1).made.request
    assert set(schema["required"]) <= set(request) <= set(schema["properties"])
    kinds = schema["properties"]["sources"]["items"]["properties"]["kind"]["enum"]
    assert {one["kind"] for one in request["sources"]} == set(kinds)


def test_the_workflow_file_has_no_mistake() -> None:
    path = DEMO / "financial-report.yaml"
    definition, problems = check_text(path.read_text(), str(path))
    assert problems == []
    assert definition is not None
    assert definition.workflow == "financial-report"
