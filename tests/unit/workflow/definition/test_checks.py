"""Problems that only a document made in Python or sent over the wire can have; for all others see
tests/unit/authoring/test_bad_*.py."""

from datetime import date
from typing import Any

import pytest

from dalsegno_orchestrator.workflow.checking.checks import check


def flow(**keys: Any) -> dict[str, Any]:
    return {"workflow": "w", "tasks": {"a": {"capability": "x.y"}}, **keys}


def test_a_sound_document_gives_its_definition_and_no_problem() -> None:
    definition, problems = check(flow(version=4))
    assert problems == []
    assert definition is not None
    assert (definition.workflow, definition.version) == ("w", 4)


def test_faults_of_every_kind_are_listed_together() -> None:
    definition, problems = check(
        flow(
            version=0,
            deadline="soon",
            input={"type": "objet"},
            output="${ tasks.b }",
            tasks={
                "a": {"capability": "x.y", "tiemout": "1s", "after": ["b"]},
                "c": {"capability": "x.y", "when": "${ 1 + }"},
                "d": {"capability": "x.y", "after": ["e"]},
                "e": {"capability": "x.y", "after": ["d"]},
                "f": 5,
            },
        )
    )
    assert definition is None
    assert [problem.path for problem in problems] == [
        "version",
        "deadline",
        "tasks.a.tiemout",
        "tasks.f",
        "input.type",
        "tasks.a.after.0",
        "tasks.c.when",
        "output",
        "tasks.d",
    ]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (date(2026, 1, 2), "a date cannot be part of a workflow"),
        ({1, 2}, "a set cannot be part of a workflow"),
        (float("nan"), "nan is no number in JSON"),
        (float("inf"), "inf is no number in JSON"),
    ],
)
def test_what_json_does_not_have_is_refused(value: Any, message: str) -> None:
    _, problems = check(flow(output={"x": [value]}))
    assert [(problem.path, problem.message) for problem in problems] == [("output.x.0", message)]


@pytest.mark.parametrize("output", [{1: 2}, {"a": {None: 1}}])
def test_keys_are_text(output: Any) -> None:
    _, problems = check(flow(output=output))
    assert "every key must be text" in problems[0].message


@pytest.mark.parametrize("kind", ["list", "mapping"])
def test_endless_nesting_is_refused_and_breaks_nothing(kind: str) -> None:
    deep: Any = "x"
    for _ in range(5_000):
        deep = [deep] if kind == "list" else {"x": deep}
    _, problems = check(flow(output=deep))
    assert "nested more than 64 deep" in problems[0].message


@pytest.mark.parametrize("document", [{}, {"tasks": []}, {"tasks": {"a": None}}, {"tasks": 5}])
def test_any_document_can_be_checked(document: dict[str, Any]) -> None:
    definition, problems = check(document)
    assert definition is None
    assert problems


def test_every_circle_is_named_once() -> None:
    after = {"a": ["c"], "b": ["a"], "c": ["b", "d"], "d": ["a"], "e": ["f"], "f": ["e", "a"]}
    tasks = {name: {"sleep": 1, "after": needs} for name, needs in after.items()}
    _, problems = check(flow(tasks=tasks))
    assert [problem.message.partition(": ")[2] for problem in problems] == [
        "a -> c -> b -> a",
        "e -> f -> e",
    ]


def test_a_schema_elsewhere_is_not_fetched() -> None:
    _, problems = check(flow(input={"$ref": "http://127.0.0.1:9/schema.json"}))
    assert len(problems) == 1
    assert "Retrieval is disabled" in problems[0].message
