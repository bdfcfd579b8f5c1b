from typing import Any

import pytest

from dalsegno_bus.errors import UsageError
from dalsegno_orchestrator.workflow.checking.checks import check
from dalsegno_orchestrator.workflow.grammar.definition import TaskDefinition, WorkflowDefinition
from dalsegno_orchestrator.workflow.grammar.policies import Retry
from dalsegno_orchestrator.workflow.plan import Plan, compile_plan


def plan_of(tasks: dict[str, Any], **keys: Any) -> Plan:
    whole = {
        name: task if {"wait", "sleep", "workflow"} & set(task) else {"capability": "x.y", **task}
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


# --- what goes with a task --------------------------------------------------------------------


def test_what_undoes_a_task_is_a_step_of_its_own() -> None:
    plan = plan_of(
        {
            "a": {},
            "b": {},
            "c": {
                "compensate": {
                    "capability": "x.undo",
                    "input": {"id": "${ tasks.c.id }", "of": "${ tasks.a }"},
                    "requires": {"region": "eu"},
                    "retry": {"max_attempts": 9},
                    "timeout": "1m",
                }
            },
        }
    )
    step = plan.steps["c"]
    assert step.needs == {"a"}
    assert step.undo is not None
    assert step.undo.id == "c-undo"
    assert step.undo.task == TaskDefinition(
        capability="x.undo",
        input={"id": "${ tasks.c.id }", "of": "${ tasks.a }"},
        requires={"region": "eu"},
        retry=Retry(max_attempts=9),
        timeout=60.0,
    )
    scope = {"tasks": {"a": 1, "c": {"id": 2}}}
    assert step.undo.input.evaluate(scope) == {"id": 2, "of": 1}
    assert "c-undo" not in plan.steps
    assert plan.steps["a"].undo is None


def test_whom_a_wait_is_told_to_are_steps_of_their_own() -> None:
    escalate = [
        {"after": "1h", "capability": "chat.remind", "input": "${ tasks.a.title }"},
        {"after": "1d", "capability": "chat.call"},
    ]
    plan = plan_of({"a": {}, "w": {"wait": {"signal": "s", "escalate": escalate}}})
    step = plan.steps["w"]
    assert step.needs == {"a"}
    assert [one.id for one in step.escalations] == ["w-escalation-0", "w-escalation-1"]
    assert [one.task.capability for one in step.escalations] == ["chat.remind", "chat.call"]
    assert step.escalations[0].input.evaluate({"tasks": {"a": {"title": "x"}}}) == "x"
    assert step.escalations[1].input.evaluate({}) == {}


def test_a_task_needs_what_decides_its_end_its_quota_and_its_agent() -> None:
    plan = plan_of(
        {
            "a": {},
            "b": {},
            "c": {},
            "d": {
                "repeat": {"until": "${ output.n > tasks.a.n }"},
                "quota": {"tokens": "${ tasks.b.tokens }", "calls": 1},
                "same_agent_as": "c",
            },
        }
    )
    step = plan.steps["d"]
    assert step.needs == {"a", "b", "c"}
    assert step.until is not None
    assert step.until.evaluate({"output": {"n": 2}, "tasks": {"a": {"n": 1}}, "iteration": 0})
    scope = {"tasks": {"b": {"tokens": 7}}}
    amounts = {quota: amount.evaluate(scope) for quota, amount in step.quota.items()}
    assert amounts == {"tokens": 7, "calls": 1}


def test_runs_are_told_apart_by_an_expression() -> None:
    plan = plan_of({"a": {}}, fair_by=" ${ input.tenant }")
    assert plan.fair_by is not None
    assert plan.fair_by.evaluate({"input": {"tenant": "acme"}}) == "acme"
    assert plan_of({"a": {}}).fair_by is None


def test_the_same_definition_is_compiled_once() -> None:
    plan = plan_of({"a": {}, "b": {}})
    again = WorkflowDefinition.parse(plan.definition.to_json())
    assert compile_plan(again) is plan


def test_the_order_of_the_tasks_is_part_of_a_plan() -> None:
    plan, other = plan_of({"a": {}, "b": {}}), plan_of({"b": {}, "a": {}})
    assert plan.digest == other.digest
    assert (plan.roots, other.roots) == (("a", "b"), ("b", "a"))


def test_every_fault_of_a_payload_is_listed_with_its_path() -> None:
    payload = {"type": "object", "required": ["by"], "properties": {"by": {"type": "string"}}}
    plan = plan_of(
        {"w": {"wait": {"signal": "s", "payload": payload}}, "v": {"wait": {"signal": "t"}}}
    )
    problems = plan.signal_problems("s", {"by": 5})
    assert [(problem.path, problem.message) for problem in problems] == [
        ("payload.by", '5 is not of type "string"')
    ]
    assert plan.signal_problems("s", {"by": "ann"}) == []
    assert plan.signal_problems("t", 5) == []
    assert plan.signal_problems("unknown", 5) == []


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
