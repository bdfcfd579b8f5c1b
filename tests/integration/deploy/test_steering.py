"""Steering runs by commands, against a real stack: one run, or all that fit."""

import io
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

FILES = {
    "relay": """
workflow: relay
input: {type: object, required: [text]}
tasks:
  first: {capability: bench.noop, input: {text: "${ input.text }", number: 1}}
  second: {capability: bench.noop, input: "${ tasks.first }"}
  third: {capability: bench.noop, input: "${ tasks.second }"}
output: "${ tasks.third }"
""",
    "held": """
workflow: held
tasks:
  before: {capability: bench.noop, input: {text: hello, number: 1}}
  ask: {wait: {signal: approval}, after: [before]}
  answer: {capability: bench.noop, input: {text: "${ tasks.ask.by }", number: 1}}
output: "${ tasks.answer.text }"
""",
    "hopeless": """
workflow: hopeless
tasks:
  only: {capability: bench.noop, input: {text: 3}, retry: {max_attempts: 1}}
""",
    "cautious": """
workflow: cautious
tasks:
  book:
    capability: bench.noop
    input: {text: booked, number: 1}
    compensate: {capability: bench.noop, input: {text: 3}, retry: {max_attempts: 1}}
  pay:
    capability: bench.noop
    input: {text: 3}
    after: [book]
    retry: {max_attempts: 1}
""",
}
CHANGE = """
plan_version: 1
add:
  check: {capability: bench.noop, input: {text: checked, number: 2}, after: [ask]}
change:
  answer:
    capability: bench.noop
    input: {text: "${ tasks.check.text }", number: 3}
"""


@pytest.fixture
def here(typed: Typed, stack_folder: Path, tmp_path: Path) -> Typed:
    """Commands that speak to the stack."""
    for name, text in FILES.items():
        (tmp_path / f"{name}.yaml").write_text(text)

    def type_(*arguments: str) -> tuple[int, str, list[str]]:
        return typed(*arguments, "--folder", str(stack_folder))

    return type_


@pytest.fixture
def as_json(here: Typed) -> AsJson:
    """What a command prints for programs, once it ended with the code that is expected."""

    def read(*arguments: str, code: int = 0) -> Any:
        ended, out, said = here(*arguments, "--json")
        assert ended == code, said
        return json.loads(out)

    return read


def begun(as_json: AsJson, file: str, *arguments: str) -> str:
    """The id of a run that goes on, and that the views know of."""
    run_id: str = as_json("run", file, *arguments)["run_id"]
    until(lambda: run_id in {one["run_id"] for one in listed(as_json)})
    return run_id


def listed(as_json: AsJson, *select: str) -> list[dict[str, Any]]:
    return as_json("runs", "list", "--limit", "1000", *select)["runs"]


def until(holds: Callable[[], bool]) -> None:
    """Look again until it is so: the views follow the history a little later."""
    for _ in range(LOOKS_MAX):
        if holds():
            return
    raise AssertionError("it does not come to that")


def until_all_are(status: str, as_json: AsJson, *select: str) -> None:
    """Wait until the views show every run of a selection so."""
    until(lambda: {one["status"] for one in listed(as_json, *select)} == {status})


def ended(here: Typed, file: str, *arguments: str) -> str:
    _, out, said = here("run", file, *arguments, "--wait", "--json")
    assert out, said
    return json.loads(out)["run_id"]


def until_waiting(as_json: AsJson, run_id: str) -> None:
    """Wait until the run waits for its signal."""
    until(lambda: bool(as_json("runs", "show", run_id)["run"]["waiting_for"]))


def sentences(as_json: AsJson, run_id: str) -> list[str]:
    return [f"{entry['by']}: {entry['sentence']}" for entry in as_json("history", run_id)]


def test_a_selection_is_paused_resumed_and_cancelled_and_the_history_says_by_whom(
    here: Typed, as_json: AsJson
) -> None:
    runs = {begun(as_json, "held.yaml", "--label", "team=red") for _ in range(3)}
    other = begun(as_json, "held.yaml", "--label", "team=green")
    select = ("--workflow", "held", "--label", "team=red", "--yes", "--as", "ada")
    paused = as_json("runs", "pause", *select, "--reason", "a look first")
    assert {one["run_id"] for one in paused} == runs
    assert {one["status"] for one in paused} == {"paused"}
    assert as_json("runs", "show", other)["run"]["status"] == "running"
    red = ("--workflow", "held", "--label", "team=red")
    until_all_are("paused", as_json, *red)
    code, out, said = here("runs", "resume", *select)
    assert code == 0
    assert len(out.splitlines()) == 3
    assert said == ["3 runs asked: 3 accepted, 0 refused"]
    until_all_are("running", as_json, *red)
    code, out, said = here("runs", "cancel", *select)
    assert code == 0, said
    until_all_are("cancelled", as_json, *red)
    run_id = runs.pop()
    assert any(one.startswith("client:ada:") and "a look first" in one
               for one in sentences(as_json, run_id))  # fmt: skip
    code, out, said = here("runs", "cancel", *select)
    assert (code, out) == (0, "")
    assert said[0] == "no run fits (workflow held, team=red)"


def test_nothing_is_done_to_a_selection_before_somebody_agrees(
    here: Typed, as_json: AsJson, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = begun(as_json, "held.yaml", "--label", "team=pale")
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    code, _, said = here("runs", "cancel", "--label", "team=pale")
    assert code == 1
    assert said[0] == "1 run fits (team=pale):"
    assert said[-1].endswith("nothing was done")
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    code, _, said = here("runs", "cancel", "--label", "team=pale")
    assert code == 2
    assert "give --yes" in said[-1]
    assert as_json("runs", "show", run_id)["run"]["status"] == "running"


def test_a_refusal_ends_with_1_and_says_why(here: Typed, as_json: AsJson) -> None:
    run_id = ended(here, "relay.yaml", "--input", '{"text": "hi"}')
    code, out, said = here("runs", "pause", run_id)
    assert (code, out) == (1, "")
    assert said[0].startswith(f"run {run_id} refused: ")
    assert as_json("runs", "pause", run_id, code=1)["refused"]


def test_what_failed_is_tried_again(here: Typed, as_json: AsJson) -> None:
    label = ("--label", "team=hopeless")
    run_id = ended(here, "hopeless.yaml", *label)
    assert as_json("runs", "retry", run_id, "--task", "only")["status"] == "running"
    assert as_json("runs", "watch", run_id, code=1)["status"] == "failed"
    until_all_are("failed", as_json, *label)
    [again] = as_json("runs", "retry", *label, "--yes", "--as", "ada", "--reason", "once more")
    assert again["run_id"] == run_id
    assert as_json("runs", "watch", run_id, code=1)["status"] == "failed"
    assert any(one.startswith("client:ada:") and "once more" in one
               for one in sentences(as_json, run_id))  # fmt: skip
    code, _, said = here("runs", "retry", run_id, "--task", "none")
    assert code == 1
    assert "none" in said[0]


def test_rewinding_lists_first_what_it_undoes(here: Typed, as_json: AsJson) -> None:
    run_id = ended(here, "relay.yaml", "--input", '{"text": "hi"}')
    preview = as_json("runs", "rewind", run_id, "--to", "second", "--dry-run")
    assert [one["task_id"] for one in preview["undone"]] == ["second", "third"]
    code, out, _ = here("runs", "rewind", run_id, "--to", "second", "--dry-run")
    assert code == 0
    assert f"run {run_id} (completed) would undo:" in out
    assert as_json("runs", "show", run_id)["run"]["status"] == "completed"
    code, out, said = here("runs", "rewind", run_id, "--to", "second", "--yes", "--as", "ada")
    assert (code, said) == (0, [])
    assert "was taken back" in out

    def attempts() -> dict[str, int]:
        shown = as_json("runs", "show", run_id)
        if shown["run"]["status"] != "completed":
            return {}
        return {task["task_id"]: task["attempt"] for task in shown["tasks"]}

    until(lambda: attempts() == {"first": 1, "second": 2, "third": 2})
    assert any(one.startswith("client:ada:") for one in sentences(as_json, run_id))


def test_a_task_that_has_not_begun_is_nothing_to_go_back_to(here: Typed, as_json: AsJson) -> None:
    run_id = begun(as_json, "held.yaml", "--label", "team=early")
    until_waiting(as_json, run_id)
    code, out, said = here("runs", "rewind", run_id, "--to", "answer", "--yes")
    assert (code, out) == (2, "")
    assert "has not begun" in said[-1]
    code, out, said = here("runs", "rewind", "--label", "team=early", "--to", "answer", "--yes")
    assert (code, out) == (0, "")
    assert "1 run left out" in said[0]


def test_a_selection_is_rewound(here: Typed, as_json: AsJson) -> None:
    label = ("--label", "team=back")
    runs = {ended(here, "relay.yaml", "--input", '{"text": "hi"}', *label) for _ in range(2)}
    until_all_are("completed", as_json, *label)
    previews = as_json("runs", "rewind", *label, "--to", "third", "--dry-run")
    assert {one["run_id"] for one in previews} == runs
    rewound = as_json("runs", "rewind", *label, "--to", "third", "--yes")
    assert {one["run_id"] for one in rewound} == runs
    for run_id in runs:
        assert as_json("runs", "watch", run_id)["status"] == "completed"


def test_what_has_not_begun_is_planned_anew(here: Typed, as_json: AsJson, tmp_path: Path) -> None:
    (tmp_path / "change.yaml").write_text(CHANGE)
    run_id = begun(as_json, "held.yaml")
    until_waiting(as_json, run_id)
    code, out, said = here("runs", "replan", run_id, "--file", "change.yaml", "--as", "ada")
    assert code == 0, said
    assert "is planned anew" in out
    until(lambda: as_json("runs", "show", run_id)["run"]["plan_version"] == 2)
    code, out, said = here("runs", "replan", run_id, "--file", "change.yaml")
    assert (code, out) == (2, "")
    assert "plan" in said[-1]
    as_json("runs", "signal", run_id, "approval", "--payload", '{"by": "me"}', "--as", "ada")
    assert as_json("runs", "watch", run_id)["output"] == "checked"
    by_ada = [one for one in sentences(as_json, run_id) if one.startswith("client:ada:")]
    assert len(by_ada) >= 2


def test_what_could_not_be_undone_is_shown_with_the_command_that_tries_again(
    here: Typed, as_json: AsJson, stack_folder: Path
) -> None:
    run_id = ended(here, "cautious.yaml")
    until(lambda: as_json("runs", "show", run_id)["run"]["uncompensated"] == ["book"])
    code, out, said = here("runs", "show", run_id)
    assert code == 0
    assert "not undone: book" in out
    assert "  book-undo" in out
    assert said[-1].endswith(f"runs retry {run_id} --task book --folder {stack_folder}")
    assert as_json("runs", "retry", run_id, "--task", "book")["status"] == "compensating"
    assert as_json("runs", "watch", run_id, code=1)["status"] == "compensation_failed"


def test_open_runs_move_to_another_version_or_say_why_not(
    here: Typed, as_json: AsJson, tmp_path: Path
) -> None:
    text = FILES["held"].replace("workflow: held", "workflow: moving")
    (tmp_path / "moving.yaml").write_text(text)
    run_id = begun(as_json, "moving.yaml")
    until_waiting(as_json, run_id)
    good = text.replace("by }", "name }").replace("tasks:", "version: 2\ntasks:", 1)
    (tmp_path / "good.yaml").write_text(good)
    bad = text.replace("before", "prior").replace("tasks:", "version: 3\ntasks:", 1)
    (tmp_path / "bad.yaml").write_text(bad)
    as_json("workflow", "register", "good.yaml", "bad.yaml")
    [asked] = as_json("workflow", "migrate", "moving", "--to", "2", "--dry-run")
    assert asked["run_id"] == run_id
    [refused] = as_json("workflow", "migrate", "moving", "--to", "3", "--yes", code=1)
    assert any("before" in reason for reason in refused["refused"]), refused
    code, out, said = here("workflow", "migrate", "moving", "--to", "3", "--run", run_id)
    assert code == 1
    assert out.startswith(f"run {run_id} stays as it is:\n  ")
    code, out, said = here("workflow", "migrate", "moving", "--from", "1", "--to", "2", "--yes")
    assert code == 0, said
    assert f"run {run_id} follows version 2" in out
    until(lambda: as_json("runs", "show", run_id)["run"]["workflow_version"] == 2)
    code, out, said = here("workflow", "migrate", "moving", "--to", "2", "--yes")
    assert (code, out) == (0, "")
    as_json("runs", "signal", run_id, "approval", "--payload", '{"name": "me"}')
    assert as_json("runs", "watch", run_id)["output"] == "me"
    code, _, said = here("workflow", "migrate", "moving", "--to", "9")
    assert code == 2
    assert "no workflow 'moving' of version 9" in said[-1]


def test_an_agent_that_is_not_there_cannot_be_drained(here: Typed) -> None:
    code, out, said = here("agents", "drain", "bensh")
    assert (code, out) == (2, "")
    assert said == ["dalsegno: there is no agent 'bensh'; did you mean 'bench'?"]
