from typing import Any

import pytest

from dalsegno_bus.errors import UsageError
from dalsegno_orchestrator.workflow.checks import check
from dalsegno_orchestrator.workflow.definition import WorkflowDefinition
from dalsegno_orchestrator.workflow.plan import Plan, compile_plan


def plan_of(tasks: dict[str, Any], **keys: Any) -> Plan:
    whole = {
        name: task if {"wait", "sleep"} & set(task) else {"capability": "x.y", **task}
        for name, task in tasks.items()
    }
    definition, problems = check({"workflow": "w", "tasks": whole, **keys})
    assert definition is not None, problems
    return compile_plan(definition)


def test_what_a_task_refers_to_is_what_it_needs() -> None:
    plan = plan_of(
        {
            "a": {},
            "b": {"sleep": "1s"},
            "c": {"wait": {"signal": "s"}},
            "d": {},
            "e": {
                "input": {"x": ["${ tasks.a.y }"]},
                "after": ["b"],
                "when": "${ tasks.c.ok }",
                "foreach": "${ tasks.d }",
            },
        }
    )
    assert plan.steps["e"].needs == {"a", "b", "c", "d"}
    assert plan.roots == ("a", "b", "c", "d")
    assert plan.steps["a"].dependents == ("e",)
    assert list(plan.steps) == ["a", "b", "c", "d", "e"]


def test_dependents_come_in_the_order_of_the_definition() -> None:
    tasks = {"z": {"after": ["a"]}, "m": {"after": ["a"]}, "a": {}, "b": {"after": ["a", "z"]}}
    plan = plan_of(tasks)
    assert plan.steps["a"].dependents == ("z", "m", "b")
    assert plan.roots == ("a",)


def test_a_fallback_begins_only_through_its_owner() -> None:
    plan = plan_of(
        {
            "a": {},
            "b": {"input": "${ tasks.a }", "on_error": {"fallback": "plan_b"}},
            "plan_b": {"input": "${ tasks.a }"},
            "other": {"on_error": {"fallback": "alone"}},
            "alone": {},
            "c": {"input": "${ tasks.b }"},
        }
    )
    assert plan.roots == ("a", "other")
    assert plan.steps["a"].dependents == ("b",)
    assert plan.steps["b"].dependents == ("c",)
    assert (plan.steps["plan_b"].is_fallback, plan.steps["plan_b"].fallback_of) == (True, "b")
    assert (plan.steps["b"].is_fallback, plan.steps["b"].fallback_of) == (False, None)


def test_a_task_waits_for_what_its_fallback_needs_too() -> None:
    plan = plan_of(
        {
            "a": {},
            "slow": {},
            "b": {"input": "${ tasks.a }", "on_error": {"fallback": "plan_b"}},
            "plan_b": {"input": "${ tasks.slow }"},
        }
    )
    assert plan.steps["plan_b"].needs == {"slow"}
    assert plan.steps["b"].needs == {"a", "slow"}
    assert plan.steps["slow"].dependents == ("b",)


def test_conditions_and_templates_are_compiled() -> None:
    plan = plan_of(
        {"a": {"when": "${ input.n > 1 }", "foreach": ">\n${ input.list }\n"[1:], "input": 5}},
        output={"n": "${ input.n }"},
    )
    step = plan.steps["a"]
    scope = {"input": {"n": 2, "list": [1, 2]}}
    assert step.when is not None
    assert step.when.evaluate(scope) is True
    assert step.foreach is not None
    assert step.foreach.evaluate(scope) == [1, 2]
    assert step.input.evaluate(scope) == 5
    assert plan.output is not None
    assert plan.output.evaluate(scope) == {"n": 2}


def test_without_an_output_there_is_no_template() -> None:
    plan = plan_of({"a": {}})
    assert plan.output is None
    assert plan.steps["a"].input.evaluate({}) == {}


def test_a_plan_carries_the_digest_of_its_definition() -> None:
    plan = plan_of({"a": {}})
    assert plan.digest == plan.definition.digest


def test_an_unsound_definition_has_no_plan() -> None:
    for task in ({"after": ["b"]}, {"input": "${ 1 + }"}, {"on_error": {"fallback": "b"}}):
        document = {"workflow": "w", "tasks": {"a": {"capability": "x.y", **task}}}
        with pytest.raises(UsageError):
            compile_plan(WorkflowDefinition.parse(document))


# --- a run's input ----------------------------------------------------------------------------

SCHEMA = {
    "type": "object",
    "required": ["sources", "name"],
    "properties": {
        "sources": {"type": "array", "items": {"type": "string"}},
        "name": {"type": "string", "maxLength": 3},
    },
    "additionalProperties": False,
}


def test_an_input_that_fits_has_no_problems() -> None:
    plan = plan_of({"a": {}}, input=SCHEMA)
    assert plan.check_input({"sources": ["a"], "name": "x"}) == []


def test_every_fault_of_an_input_is_listed_with_its_path() -> None:
    plan = plan_of({"a": {}}, input=SCHEMA)
    problems = plan.check_input({"sources": ["a", 2], "nmae": "x"})
    assert [(problem.path, problem.message) for problem in problems] == [
        ("input", '"name" is a required property'),
        ("input", "Additional properties are not allowed ('nmae' was unexpected)"),
        ("input.sources.1", '2 is not of type "string"'),
    ]


def test_without_a_schema_any_input_will_do() -> None:
    plan = plan_of({"a": {}})
    assert plan.check_input(None) == []
    assert plan.check_input({"x": 1}) == []


def test_what_travels_by_reference_is_not_held_against_the_schema(claim: dict[str, Any]) -> None:
    plan = plan_of({"a": {}}, input=SCHEMA)
    assert plan.check_input({"sources": claim, "name": claim}) == []
    assert plan.check_input(claim) == []
    assert len(plan.check_input({"sources": claim})) == 1


def test_a_large_input_is_not_repeated_in_the_message() -> None:
    plan = plan_of({"a": {}}, input=SCHEMA)
    (problem,) = plan.check_input(["x"] * 10_000)
    assert len(problem.message) < 400
    assert problem.message.endswith('is not of type "object"')
