"""Limits and schedules by commands, against a real stack."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

pytestmark = pytest.mark.slow

Typed: TypeAlias = Callable[..., tuple[int, str, list[str]]]
AsJson: TypeAlias = Callable[..., Any]

LOOKS_MAX = 500
"""Each is a command of its own, with a connection of its own."""

METERED = """
workflow: metered
tasks:
  call:
    capability: bench.noop
    input: {text: hello, number: 1}
    quota: {tokens: 5}
output: "${ tasks.call.text }"
"""
WEEKLY = """
workflow: weekly
schedule: {cron: "0 6 * * 1", timezone: Europe/Berlin, input: {text: hi}}
tasks:
  only: {capability: bench.noop, input: {text: hello, number: 1}}
"""


@pytest.fixture
def here(typed: Typed, stack_folder: Path, tmp_path: Path) -> Typed:
    """Commands that speak to the stack."""
    (tmp_path / "metered.yaml").write_text(METERED)
    (tmp_path / "weekly.yaml").write_text(WEEKLY)

    def type_(*arguments: str) -> tuple[int, str, list[str]]:
        return typed(*arguments, "--folder", str(stack_folder))

    return type_


@pytest.fixture
def as_json(here: Typed) -> AsJson:
    """What a command prints for programs, once it ended well."""

    def read(*arguments: str) -> Any:
        code, out, said = here(*arguments, "--json")
        assert code == 0, said
        return json.loads(out)

    return read


def until(holds: Callable[[], bool]) -> None:
    """Ask again until it is so."""
    for _ in range(LOOKS_MAX):
        if holds():
            return
    raise AssertionError("it does not come to that")


def test_a_quota_that_is_not_set_is_waited_for_until_it_is(here: Typed, as_json: AsJson) -> None:
    run_id = as_json("run", "metered.yaml")["run_id"]
    until(lambda: as_json("limits", "show", "quota:tokens")["waiting"] != [])
    [waiting] = as_json("limits", "show", "quota:tokens")["waiting"]
    assert (waiting["run_id"], waiting["task_id"]) == (run_id, "call")
    code, out, _ = here("limits", "show", "quota:tokens")
    assert code == 0
    assert "nothing is set" in out
    code, out, _ = here("limits", "list")
    assert code == 0
    assert "is not set" in out
    code, out, _ = here("limits", "set", "quota:tokens", "--rate", "100/m", "--as", "ada")
    assert code == 0
    assert "100/m" in out
    assert as_json("runs", "watch", run_id)["output"] == "hello"
    until(lambda: as_json("limits", "list")["limits"] != [])
    [limit] = as_json("limits", "list")["limits"]
    assert (limit["limit"], limit["rate"], limit["set_by"]) == ("quota:tokens", 100.0, "client:ada")
    until(lambda: as_json("limits", "show", "quota:tokens")["begun"] == 5.0)
    code, out, _ = here("limits", "remove", "quota:tokens")
    assert (code, out) == (0, "quota:tokens is removed\n")
    until(lambda: as_json("limits", "list")["limits"] == [])
    code, out, _ = here("limits", "remove", "quota:tokens")
    assert (code, out) == (0, "quota:tokens was not set\n")


def test_mistakes_with_limits_are_one_sentence(here: Typed) -> None:
    for command, words in (
        ("limits set tokens --rate 5/s", "write capability:NAME or quota:NAME"),
        ("limits set quota:tokens", "say how much"),
        ("limits set quota:tokens --rate fast", "100/m"),
        ("limits set workflow:report --rate 5/s", "stand in its definition"),
    ):
        code, out, said = here(*command.split())
        assert (code, out, len(said)) == (2, "", 1), said
        assert words in said[0]


def test_a_schedule_is_listed_with_its_next_tick_paused_and_resumed(
    here: Typed, as_json: AsJson
) -> None:
    as_json("workflow", "register", "weekly.yaml")
    until(lambda: as_json("schedules", "list", "weekly") != [])
    [schedule] = as_json("schedules", "list", "weekly")
    assert schedule["state"] == "active"
    assert schedule["next_tick"]
    code, out, _ = here("schedules", "list")
    assert code == 0
    assert " 06:00 C" in out
    code, out, _ = here("schedules", "pause", "weekly", "--reason", "holidays", "--as", "ada")
    assert code == 0
    assert "is paused" in out
    until(lambda: as_json("schedules", "list", "weekly")[0]["state"] == "paused")
    assert as_json("schedules", "list", "weekly")[0]["next_tick"] is None
    assert as_json("schedules", "resume", "weekly")["status"] == "active"
    until(lambda: as_json("schedules", "list", "weekly")[0]["state"] == "active")


def test_a_workflow_without_a_schedule_cannot_be_paused_by_it(here: Typed) -> None:
    here("workflow", "register", "metered.yaml")
    code, out, said = here("schedules", "pause", "metered")
    assert (code, out) == (2, "")
    assert "schedule" in said[-1]
