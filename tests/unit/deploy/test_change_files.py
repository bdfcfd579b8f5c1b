"""Files that change the plan of a run."""

from pathlib import Path

import pytest

from dalsegno.change_files import read_change
from dalsegno_bus.errors import UsageError

WHOLE = """
plan_version: 2
add:
  check: {capability: legal.check, input: "${ tasks.analyze }", timeout: 30s}
drop: [letter]
change:
  report: {capability: finance.report, after: [check]}
"""


def change_of(folder: Path, text: str) -> str:
    file = folder / "change.yaml"
    file.write_text(text)
    return str(file)


def test_a_change_says_what_to_add_to_drop_and_to_change(tmp_path: Path) -> None:
    change = read_change(change_of(tmp_path, WHOLE))
    assert change.add["check"]["timeout"] == "30s"
    assert change.drop == ("letter",)
    assert change.change == {"report": {"capability": "finance.report", "after": ["check"]}}
    assert change.plan_version == 2


def test_one_of_them_is_enough(tmp_path: Path) -> None:
    change = read_change(change_of(tmp_path, "drop: [letter]\n"))
    assert (change.add, change.drop, change.change) == ({}, ("letter",), {})
    assert change.plan_version is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ad: {}\n", r":1:1: a change has no key 'ad'; did you mean 'add'\?"),
        ("drop: [a]\ntasks: {}\n", ":2:1: a change has no key 'tasks'; begin with"),
        ("plan_version: 3\n", "changes nothing"),
        ("", "is no change"),
        ("- a\n- b\n", "is no change"),
        ("add: [a]\n", "add: "),
        ("add: {check: 3}\n", "add.check: "),
        ("drop: a\n", "drop: "),
        ("drop: [a]\nplan_version: 0\n", "plan_version: "),
        ("add: {check: {capability: x\n", r"change\.yaml:\d+:\d+: "),
    ],
)
def test_what_is_wrong_with_a_change_is_said(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read_change(change_of(tmp_path, text))


def test_a_missing_file_is_named() -> None:
    with pytest.raises(UsageError, match=r"there is no file 'nowhere\.yaml'"):
        read_change("nowhere.yaml")


def test_what_is_to_be_dropped_has_to_be_a_list(tmp_path: Path) -> None:
    file = tmp_path / "change.yaml"
    file.write_text("drop: letter\n")
    with pytest.raises(UsageError, match=r"yaml:1:1: drop: it must be a list of names: \[letter\]"):
        read_change(str(file))
