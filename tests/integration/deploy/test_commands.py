"""The commands against a real stack: what they print for people and for programs, how they end."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

pytestmark = pytest.mark.slow

Typed: TypeAlias = Callable[..., tuple[int, str, list[str]]]
CHAIN = """
workflow: chain
input: {type: object, required: [text]}
tasks:
  first: {capability: bench.noop, input: {text: "${ input.text }", number: 1}}
  second: {capability: bench.noop, input: "${ tasks.first }"}
output: "${ tasks.second }"
"""
GATED = """
workflow: gated
tasks:
  ask: {wait: {signal: approval}}
  answer: {capability: bench.noop, input: {text: "${ tasks.ask.by }", number: 1}}
output: "${ tasks.answer.text }"
"""
DOOMED = """
workflow: doomed
tasks:
  only: {capability: bench.noop, input: {text: 3}, retry: {max_attempts: 1}}
"""


@pytest.fixture
def here(typed: Typed, stack_folder: Path, tmp_path: Path) -> Typed:
    """Commands that speak to the stack."""
    for name, text in (("chain", CHAIN), ("gated", GATED), ("doomed", DOOMED)):
        (tmp_path / f"{name}.yaml").write_text(text)

    def type_(*arguments: str) -> tuple[int, str, list[str]]:
        return typed(*arguments, "--folder", str(stack_folder))

    return type_


@pytest.fixture
def as_json(here: Typed) -> Callable[..., Any]:
    """What a command prints for programs, once it ended well."""

    def read(*arguments: str) -> Any:
        code, out, said = here(*arguments, "--json")
        assert code == 0, said
        return json.loads(out)

    return read


def begun(here: Typed, file: str, *arguments: str) -> str:
    """The id of a run that was started and is not waited for."""
    code, out, said = here("run", file, *arguments)
    assert code == 0, said
    assert "runs watch" in said[-1]
    return out.strip()


def test_a_run_that_completes_ends_with_0_and_its_output_on_stdout(here: Typed) -> None:
    code, out, said = here("run", "chain.yaml", "--input", '{"text": "hi"}', "--wait")
    assert (code, json.loads(out)) == (0, {"text": "hi", "number": 3})
    assert said[-1].endswith("completed")


def test_a_run_that_fails_ends_with_1_and_says_why(here: Typed) -> None:
    code, out, said = here("run", "doomed.yaml", "--wait", "--json")
    assert code == 1
    assert json.loads(out)["status"] == "failed"
    code, out, said = here("run", "doomed.yaml", "--wait")
    assert (code, out) == (1, "")
    assert "failed: " in said[-1]


def test_an_input_that_its_schema_refuses_ends_with_2(here: Typed) -> None:
    code, out, said = here("run", "chain.yaml", "--input", "{}", "--wait")
    assert (code, out) == (2, "")
    assert "text" in said[-1]


def test_the_same_key_is_the_same_run(as_json: Callable[..., Any]) -> None:
    words = ("run", "chain.yaml", "--input", '{"text": "hi"}', "--key", "monday", "--wait")
    first, again = as_json(*words), as_json(*words)
    assert first["run_id"] == again["run_id"]
    assert first["version"] == again["version"]


def test_a_run_can_be_listed_by_its_label_and_shown_by_its_first_digits(
    here: Typed, as_json: Callable[..., Any]
) -> None:
    label = ("--label", "team=blue")
    as_json("run", "chain.yaml", "--input", '{"text": "hi"}', "--wait", *label)
    [run] = as_json("runs", "list", *label)["runs"]
    assert run["labels"] == {"team": "blue"}
    code, out, _ = here("runs", "show", run["run_id"][:13])
    assert code == 0
    assert run["run_id"] in out
    assert "second" in out
    assert max(len(line.rstrip()) for line in out.splitlines()) <= 80
    assert as_json("runs", "show", run["run_id"][:13])["output"] == {"text": "hi", "number": 3}


def test_a_signal_is_handed_over_and_a_run_followed_to_its_end(
    here: Typed, as_json: Callable[..., Any]
) -> None:
    run_id = begun(here, "gated.yaml")
    code, _, said = here("runs", "signal", run_id, "aproval", "--payload", '{"by": "me"}')
    assert code == 0
    assert "no task waits for 'aproval' yet" in said[-1]
    code, out, _ = here("runs", "signal", run_id, "approval", "--payload", '{"by": "me"}')
    assert code == 0
    assert run_id in out
    assert as_json("runs", "watch", run_id)["output"] == "me"
    code, out, said = here("runs", "signal", run_id, "approval")
    assert (code, out) == (2, "")
    assert "is completed: nothing waits" in said[-1]


def test_waiting_has_an_end_that_is_not_the_runs(here: Typed, as_json: Callable[..., Any]) -> None:
    code, out, said = here("run", "gated.yaml", "--wait", "--timeout", "300ms")
    assert (code, out) == (2, "")
    assert "it goes on" in said[-1]
    [run] = as_json("runs", "list", "--workflow", "gated", "--status", "running", "--limit", "1")[
        "runs"
    ]
    code, out, _ = here("runs", "cancel", run["run_id"], "--reason", "enough")
    assert code == 0
    assert "is told to end" in out
    code, _, said = here("runs", "watch", run["run_id"])
    assert code == 1
    assert "cancelled: enough" in said[-1]


def test_history_tells_every_event_and_how_it_stood(
    here: Typed, as_json: Callable[..., Any]
) -> None:
    run = as_json("run", "chain.yaml", "--input", '{"text": "hi"}', "--wait")
    events = as_json("history", run["run_id"])
    assert [event["version"] for event in events] == list(range(1, run["version"] + 1))
    assert events[0]["kind"] == "run-started.v1"
    assert as_json("history", run["run_id"], "--after", "2")[0]["version"] == 3
    then = as_json("history", run["run_id"], "--at", "3")
    assert [(task["task_id"], task["status"]) for task in then["tasks"]] == [
        ("first", "completed"),
        ("second", "ready"),
    ]
    code, out, _ = here("history", run["run_id"])
    assert code == 0
    assert "run-completed" in out
    code, out, _ = here("history", run["run_id"], "--at", events[2]["at"])
    assert code == 0
    assert "after    event 4" in out, "it was recorded at the same time"


def test_trace_shows_where_the_time_went(here: Typed, as_json: Callable[..., Any]) -> None:
    run = as_json("run", "chain.yaml", "--input", '{"text": "hi"}', "--wait")
    timeline = as_json("trace", run["run_id"])
    assert [span["task_id"] for span in timeline["spans"]] == ["first", "second"]
    assert timeline["trace_id"] == run["run_id"].replace("-", "")
    code, out, _ = here("trace", run["run_id"])
    assert code == 0
    assert "█" in out
    code, _, said = here("trace", run["run_id"], "--send")
    assert code == 2
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in said[-1]


def test_workflows_are_registered_listed_and_shown_as_files(
    here: Typed, as_json: Callable[..., Any], tmp_path: Path
) -> None:
    assert as_json("workflow", "register", "chain.yaml") == [{"workflow": "chain", "version": 1}]
    assert "chain" in {one["workflow"] for one in as_json("workflow", "list")}
    code, out, _ = here("workflow", "show", "chain")
    assert code == 0
    (tmp_path / "again.yaml").write_text(out)
    assert as_json("workflow", "register", "again.yaml") == [{"workflow": "chain", "version": 1}]
    code, _, said = here("workflow", "show", "nothing")
    assert code == 2
    assert "nothing" in said[-1]


def test_the_example_workflow_is_there_without_being_registered(here: Typed) -> None:
    code, _, said = here("run", "financial-report", "--input", "{}")
    assert code == 2
    assert "company" in said[-1]


def test_agents_are_listed_with_what_they_can_do(here: Typed, as_json: Callable[..., Any]) -> None:
    [bench] = [one for one in as_json("agents", "list") if one["agent"] == "bench"]
    assert len(bench["replicas"]) == 1
    assert bench["card"]["capabilities"][0]["name"] == "bench.noop"
    code, out, _ = here("agents", "list")
    assert code == 0
    assert "bench.noop" in out


def test_views_are_rebuilt_to_where_they_were(here: Typed, as_json: Callable[..., Any]) -> None:
    before = as_json("runs", "list")
    code, out, _ = here("views", "rebuild")
    assert code == 0
    assert "rebuilt 7 views" in out
    assert as_json("views", "rebuild")["parked"] == 0
    assert as_json("runs", "list") == before
    lag = as_json("views", "lag")
    assert {view["position"] for view in lag["views"]} == {lag["newest_position"]}


def test_dead_letters_are_listed_newest_first(here: Typed, as_json: Callable[..., Any]) -> None:
    before = as_json("dead", "list")["total"]
    assert before == 0
    code, out, said = here("dead", "list")
    assert (code, out, said) == (0, "", ["no dead letters"])


def test_nothing_is_coloured_when_nobody_watches(here: Typed) -> None:
    for words in (("runs", "list"), ("workflow", "list"), ("views", "lag")):
        code, out, _ = here(*words)
        assert code == 0
        assert "\x1b" not in out


def test_why_names_the_candidates_their_scores_and_the_reason(here: Typed) -> None:
    run = begun(here, "chain.yaml", "--input", '{"text": "hi"}')
    code, out, _ = here("runs", "why", run, "first")
    assert code == 0
    assert "only candidate" in out
    assert "chosen: bench, score 0." in out


def test_why_of_a_task_that_is_not_there_names_those_that_are(here: Typed) -> None:
    run = begun(here, "chain.yaml", "--input", '{"text": "hi"}')
    code, _, said = here("runs", "why", run, "third")
    assert code == 2
    assert "the run has: first" in said[-1]


def test_a_run_is_paused_and_resumed(here: Typed, as_json: Callable[..., Any]) -> None:
    run = begun(here, "gated.yaml")
    assert as_json("runs", "pause", run, "--reason", "a look first")["status"] == "paused"
    assert as_json("runs", "resume", run)["status"] == "running"
    sentences = [entry["sentence"] for entry in as_json("history", run)]
    assert "The run was paused: a look first." in sentences
    assert "The run goes on." in sentences
