"""Who gets a task, who is left out, and what is said about it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from dalsegno_orchestrator.workflow.assignment import AgentView, Choice, choose
from dalsegno_orchestrator.workflow.grammar.policies import Weights
from support.scenario import BEGIN, Directory

ONLY: dict[str, Callable[[], Weights]] = {
    name: lambda name=name: Weights(**{**dict.fromkeys(Weights.model_fields, 0.0), name: 1.0})
    for name in Weights.model_fields
}


def pick(directory: Directory, **more: Any) -> Choice | str:
    asked: dict[str, Any] = {"requires": {}, "prefer": {}, "pinned": None, "avoid": ()}
    return choose(directory, "do", **{**asked, **more})


def chosen(directory: Directory, **more: Any) -> Choice:
    choice = pick(directory, **more)
    assert isinstance(choice, Choice), choice
    return choice


def refused(directory: Directory, **more: Any) -> str:
    choice = pick(directory, **more)
    assert isinstance(choice, str), choice
    return choice


def three() -> tuple[Directory, AgentView, AgentView, AgentView]:
    directory = Directory()
    views = [directory.add(name, "do") for name in "abc"]
    return directory, views[0], views[1], views[2]


# --- who is left out ----------------------------------------------------------------------------


def test_a_drained_agent_gets_nothing_and_the_reason_names_it() -> None:
    directory, a, _, _ = three()
    a.draining = True
    choice = chosen(directory)
    assert choice.agent == "b"
    assert "a (is being drained)" in choice.reason


def test_an_agent_whose_queue_is_full_gets_nothing() -> None:
    directory, a, b, c = three()
    a.room, b.room, c.room = 0, 3, None
    assert {candidate.agent for candidate in chosen(directory).candidates} == {"b", "c"}
    assert "a (queue full, 0 open)" in chosen(directory).reason


def test_what_a_decision_has_given_already_takes_room_and_counts_as_open() -> None:
    directory = Directory()
    directory.add("a", "do").room = 2
    assert chosen(directory, taken={"a": 1}).candidates[0].open_attempts == 1
    assert "queue full, 2 open" in refused(directory, taken={"a": 2})


def test_what_a_decision_has_given_already_goes_to_the_others() -> None:
    directory, _, _, _ = three()
    taken: dict[str, int] = {}
    for _ in range(9):
        agent = chosen(directory, taken=taken).agent
        taken[agent] = taken.get(agent, 0) + 1
    assert taken == {"a": 3, "b": 3, "c": 3}


def test_an_open_circuit_lets_nothing_through_and_says_until_when() -> None:
    directory, a, b, c = three()
    for view, seconds in ((a, 30), (b, 60), (c, 90)):
        view.skills["do"].circuit = "open"
        view.skills["do"].next_try_at = BEGIN + timedelta(seconds=seconds)
    reason = refused(directory)
    assert reason.startswith("no agent can take it now: a (circuit open until 2026-01-01 00:00:30")
    assert "00:01:30" in reason


def test_a_half_open_circuit_lets_one_attempt_through() -> None:
    directory = Directory()
    skill = directory.add("a", "do").skills["do"]
    skill.circuit = "half_open"
    assert chosen(directory).agent == "a"
    assert "half open" in refused(directory, taken={"a": 1})
    skill.is_trying = True
    assert "half open" in refused(directory)


def test_a_circuit_is_about_one_capability_only() -> None:
    directory = Directory()
    directory.add("a", "do", "other").skills["other"].circuit = "open"
    assert chosen(directory).agent == "a"


def test_those_that_failed_it_are_asked_last_and_never_where_only_others_may() -> None:
    directory, _, _, _ = three()
    choice = chosen(directory, avoid=("a", "b"))
    assert choice.agent == "c"
    assert choice.reason == "only candidate; left out: a (had it before), b (had it before)"
    assert chosen(directory, avoid=("a", "b", "c")).agent == "a"
    assert "had it before" in refused(directory, avoid=("a", "b", "c"), only_others=True)


def test_one_that_failed_it_is_asked_again_while_the_others_cannot() -> None:
    directory, a, b, c = three()
    b.draining = c.draining = True
    assert chosen(directory, avoid=("a",)).agent == a.name


def test_a_second_attempt_beside_the_first_goes_to_somebody_else_or_nobody() -> None:
    directory, _, b, c = three()
    assert chosen(directory, besides="a").agent == "b"
    b.draining = c.draining = True
    assert "a (works on it already)" in refused(directory, besides="a")


def test_many_left_out_are_counted_and_not_all_named() -> None:
    directory = Directory()
    for number in range(12):
        directory.add(f"a{number:02}", "do").draining = True
    reason = refused(directory)
    assert reason.count("drained") == 5
    assert reason.endswith("and 7 more")


def test_a_dormant_agent_is_asked_when_every_live_one_is_full() -> None:
    directory = Directory()
    directory.add("awake", "do").room = 0
    directory.add("asleep", "do", slots=0)
    choice = chosen(directory)
    assert choice.agent == "asleep"
    assert "no live replica: waits in its queue" in choice.reason


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"pinned": "z"}, "agent 'z' it is pinned to does not have 'do'"),
        (
            {"pinned": "a", "requires": {"x": "1"}},
            "'a' it is pinned to does not have the labels x=1",
        ),
        ({"requires": {"x": "1"}}, "no agent with 'do' has the labels x=1 (asked: a, b, c)"),
    ],
)
def test_where_no_agent_fits_the_reason_says_what_is_missing(
    more: dict[str, Any], words: str
) -> None:
    directory, _, _, _ = three()
    assert words in refused(directory, **more)


def test_without_any_agent_the_capability_is_named() -> None:
    assert refused(Directory()) == "no agent has the capability 'do'"


# --- who is best --------------------------------------------------------------------------------


def improve(view: AgentView, part: str) -> None:
    """Make an agent better than others in this part of its score."""
    skill = view.skills["do"]
    match part:
        case "success":
            skill.completed += 10
        case "speed":
            skill.p50_seconds = skill.p95_seconds = 0.1
        case "steadiness":
            skill.p95_seconds = skill.p50_seconds
        case "thrift":
            skill.cost_usd = 0.01
        case "preferred":
            view.labels = {"x": "1"}
        case "idle":
            view.open_attempts = 0
        case _:
            pass


def ordinary() -> Directory:
    directory, *views = three()
    for view in views:
        view.open_attempts = 4
        skill = view.skills["do"]
        skill.p50_seconds, skill.p95_seconds, skill.cost_usd = 1.0, 4.0, 1.0
    return directory


@pytest.mark.parametrize("part", [*Weights.model_fields])
def test_each_part_alone_can_tip_the_scale_and_the_reason_says_so(part: str) -> None:
    directory = ordinary()
    improve(directory.views["c"], part)
    near = "c" if part == "affinity" else None
    choice = chosen(directory, weights=ONLY[part](), near=near, prefer={"x": "1"})
    assert choice.agent == "c"
    assert f"best score of 3; {part} tipped it (" in choice.reason
    assert "of a)" in choice.reason


@pytest.mark.parametrize("part", [*Weights.model_fields])
def test_each_part_tips_the_scale_under_the_default_weights_too(part: str) -> None:
    directory = ordinary()
    improve(directory.views["c"], part)
    near = "c" if part == "affinity" else None
    choice = chosen(directory, near=near, prefer={"x": "1"})
    assert choice.agent == "c"


def test_only_the_ratios_of_the_weights_count() -> None:
    directory = ordinary()
    improve(directory.views["b"], "thrift")
    full = Weights()
    half = Weights(**{name: value / 2 for name, value in full.model_dump().items()})
    scores = [
        [candidate.score for candidate in chosen(directory, weights=weights).candidates]
        for weights in (full, half)
    ]
    assert scores[0] == scores[1]


def test_affinity_is_no_part_of_the_score_where_nothing_is_to_be_near() -> None:
    directory = ordinary()
    parts = chosen(directory).candidates[0].parts
    assert parts is not None
    assert "affinity" not in parts
    near = {c.agent: c.parts or {} for c in chosen(directory, near="b").candidates}
    assert {name: parts["affinity"] for name, parts in near.items()} == {"a": 0, "b": 1, "c": 0}


def test_the_score_is_the_weighted_mean_of_the_parts_that_are_recorded() -> None:
    directory = ordinary()
    directory.views["b"].skills["do"].failed = 3
    weights = Weights()
    for candidate in chosen(directory, near="a").candidates:
        assert candidate.parts is not None
        total = sum(getattr(weights, name) * part for name, part in candidate.parts.items())
        assert candidate.score == pytest.approx(
            total / sum(weights.model_dump().values()), abs=1e-3
        )
        assert all(0.0 <= part <= 1.0 for part in candidate.parts.values())


def test_one_candidate_alone_needs_no_parts() -> None:
    directory = Directory()
    directory.add("a", "do")
    choice = chosen(directory)
    assert (choice.reason, choice.candidates[0].parts) == ("only candidate", None)
    assert 0.0 < choice.candidates[0].score <= 1.0


def test_equals_are_told_apart_by_name_and_the_reason_says_so() -> None:
    directory, _, _, _ = three()
    choice = chosen(directory)
    assert choice.agent == "a"
    assert choice.reason == "best score of 3; as good as b, and first by name"


def test_weights_that_are_all_nothing_leave_the_first_by_name() -> None:
    directory = ordinary()
    none = Weights(**dict.fromkeys(Weights.model_fields, 0.0))
    choice = chosen(directory, weights=none)
    assert (choice.agent, choice.candidates[0].score) == ("a", 0.0)


def test_what_nobody_knows_of_a_newcomer_speaks_for_it() -> None:
    directory = ordinary()
    newcomer = directory.add("new", "do")
    newcomer.open_attempts = 4
    newcomer.skills["do"].cost_usd = 1.0
    parts = {c.agent: c.parts or {} for c in chosen(directory).candidates}
    assert parts["new"]["speed"] == parts["new"]["steadiness"] == 1.0


def test_of_many_candidates_the_best_are_recorded() -> None:
    directory = Directory()
    for number in range(20):
        directory.add(f"a{number:02}", "do").open_attempts = 20 - number
    choice = chosen(directory)
    assert choice.agent == "a19"
    assert [candidate.agent for candidate in choice.candidates] == [
        f"a{n}" for n in range(19, 11, -1)
    ]
    assert "best score of 20" in choice.reason
