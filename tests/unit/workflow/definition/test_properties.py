import json
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from dalsegno_orchestrator.workflow.cel.expressions import (
    ExpressionFailed,
    ExpressionInvalid,
    Template,
)
from dalsegno_orchestrator.workflow.checking.checks import check
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition
from dalsegno_orchestrator.workflow.plan import compile_plan

words = st.text(max_size=8).filter(lambda text: "${" not in text)
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | numbers | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=12,
)


@given(values)
def test_a_value_without_expressions_is_its_own_template(value: Any) -> None:
    template = Template.compile(value)
    assert template.is_constant
    assert template.evaluate({}) == value


@given(st.text(alphabet="${} a'\"\\", max_size=20))
def test_any_text_can_be_written_as_a_literal(text: str) -> None:
    assert Template.compile(text.replace("${", "$${")).evaluate({}) == text


@given(values)
def test_a_value_that_goes_through_cel_comes_back_the_same(value: Any) -> None:
    scope = {"input": value}
    assert Template.compile("${ input }").evaluate(scope) is value
    assert Template.compile("${ [input][0] }").evaluate(scope) == value


@given(st.text(alphabet="inputaskse.x0123[](){}+-*/%<>=!&|?:,'\" ", max_size=30))
def test_any_text_compiles_or_is_refused_and_never_breaks_the_compiler(text: str) -> None:
    try:
        template = Template.compile(f"${{ {text} }}")
        template.evaluate({"input": {"x": 1}, "tasks": {}, "context": {}, "run": {}})
    except (ExpressionFailed, ExpressionInvalid):
        pass


@given(numbers, st.sampled_from(["+", "-", "*", "/", "%"]), numbers)
def test_arithmetic_gives_a_number_or_a_clear_failure(left: Any, mark: str, right: Any) -> None:
    template = Template.compile(f"${{ input.l {mark} input.r }}")
    try:
        result = template.evaluate({"input": {"l": left, "r": right}})
    except ExpressionFailed:
        return
    exact = isinstance(left, int) and isinstance(right, int)
    assert isinstance(result, int if exact else float)


def shuffled(value: Any, random: Any) -> Any:
    if isinstance(value, dict):
        fields = list(cast("dict[str, Any]", value).items())
        random.shuffle(fields)
        return {key: shuffled(field, random) for key, field in fields}
    if isinstance(value, list):
        return [shuffled(item, random) for item in cast("list[Any]", value)]
    return value


@given(values, st.randoms(use_true_random=False))
def test_the_digest_does_not_depend_on_the_order_of_keys(value: Any, random: Any) -> None:
    document = {
        "workflow": "w",
        "version": 2,
        "tasks": {
            "a": {"capability": "x.y", "input": value, "timeout": "5s"},
            "b": {"wait": {"signal": "s", "timeout": "1h"}, "after": ["a"]},
        },
    }
    first = WorkflowDefinition.parse(document)
    assert WorkflowDefinition.parse(shuffled(document, random)).digest == first.digest
    stored = json.loads(json.dumps(first.to_json()))
    assert WorkflowDefinition.parse(stored).digest == first.digest


names = [f"t{number}" for number in range(6)]
tasks = st.fixed_dictionaries(
    {},
    optional={
        "after": st.lists(st.sampled_from([*names, "nobody"]), max_size=2),
        "input": st.sampled_from(names).map(lambda name: {"x": f"${{ tasks.{name} }}"}),
        "when": st.sampled_from(names).map(lambda name: f"${{ has(tasks.{name}.x) }}"),
        "on_error": st.sampled_from(names).map(lambda name: {"fallback": name}),
    },
)
documents = st.dictionaries(st.sampled_from(names), tasks, min_size=1, max_size=6).map(
    lambda chosen: {
        "workflow": "w",
        "tasks": {name: {"capability": "x.y", **task} for name, task in chosen.items()},
    }
)


@given(documents)
def test_whatever_has_no_problems_runs_to_its_end(document: dict[str, Any]) -> None:
    """Every step can begin at some time, whichever steps fail and have a fallback."""
    definition, problems = check(document)
    if definition is None:
        assert problems
        return
    plan = compile_plan(definition)
    done: set[str] = set()
    waiting = [step for step in plan.steps.values() if not step.is_fallback]
    while ready := [step for step in waiting if step.needs <= done]:
        for step in ready:
            if step.task.fallback is not None:
                assert plan.steps[step.task.fallback].needs <= done
        done.update(step.id for step in ready)
        waiting = [step for step in waiting if step.id not in done]
    assert waiting == []
    assert set(plan.roots) == {
        step.id for step in plan.steps.values() if not step.needs and not step.is_fallback
    }
    for step in plan.steps.values():
        for dependent in step.dependents:
            assert step.id in plan.steps[dependent].needs
