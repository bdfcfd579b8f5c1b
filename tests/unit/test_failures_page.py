"""FAILURES.md names tests that exist, and says something in every column."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "FAILURES.md").read_text().splitlines()
    if line.startswith("| ") and not line.startswith("| what happens")
]


def test_the_page_has_at_least_forty_rows() -> None:
    assert len(ROWS) >= 40


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:60])
def test_a_row_is_whole_and_its_tests_exist(row: list[str]) -> None:
    assert len(row) == 5
    assert all(row)
    named = re.findall(r"`(tests/[^`]+)`", row[-1])
    assert named
    for one in named:
        path, _, test = one.partition("::")
        text = (ROOT / path).read_text() if (ROOT / path).is_file() else ""
        assert text, f"{path} is not there"
        assert not test or re.search(rf"def {re.escape(test)}\(", text), f"{one} is not there"
