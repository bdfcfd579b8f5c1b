"""Workflow files, and the example that comes with the package."""

from pathlib import Path

import pytest

from dalsegno.workflow_files import as_yaml, definition_in, example, looks_like_file
from dalsegno_bus.errors import UsageError
from dalsegno_orchestrator.authoring import check_text


def test_the_example_of_the_package_is_a_right_definition() -> None:
    definition = example("financial-report")
    assert definition is not None
    assert definition["workflow"] == "financial-report"
    assert example("nothing-of-ours") is None


@pytest.mark.parametrize(
    ("name", "is_file"),
    [
        ("report.yaml", True),
        ("report.yml", True),
        ("flows/report", True),
        ("-", True),
        ("financial-report", False),
    ],
)
def test_a_file_is_told_from_a_name(name: str, is_file: bool) -> None:
    assert looks_like_file(name) == is_file


def test_a_definition_as_yaml_means_the_same(tmp_path: Path) -> None:
    definition = example("financial-report")
    assert definition is not None
    again, problems = check_text(as_yaml(definition), "again.yaml")
    assert problems == []
    assert again is not None
    assert again.to_json() == definition
    (tmp_path / "again.yaml").write_text(as_yaml(definition))
    assert definition_in(str(tmp_path / "again.yaml")) == definition


def test_every_fault_of_a_file_is_in_the_error(tmp_path: Path) -> None:
    file = tmp_path / "flow.yaml"
    file.write_text("workflow: flow\ntasks:\n  a: {capability: x, timeout: soon}\n")
    with pytest.raises(UsageError, match=r"has 1 problem:\n.*flow\.yaml:3:"):
        definition_in(str(file))


def test_a_file_too_large_to_be_a_workflow_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "flow.yaml"
    file.write_bytes(b"#" * (4 * 1024 * 1024 + 1))
    with pytest.raises(UsageError, match="is it a workflow"):
        definition_in(str(file))
