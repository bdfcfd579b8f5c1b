import pickle
from typing import Any

import pytest

from dalsegno_bus.artifacts import CLAIM as ARTIFACTS_CLAIM
from dalsegno_bus.errors import UsageError
from dalsegno_orchestrator.workflow.cel.expressions import (
    ExpressionFailed,
    ExpressionInvalid,
    Template,
)
from dalsegno_orchestrator.workflow.cel.formula import CLAIM


def value_of(template: Any, scope: dict[str, Any]) -> Any:
    return Template.compile(template).evaluate(scope)


def failure_of(template: Any, scope: dict[str, Any]) -> str:
    with pytest.raises(ExpressionFailed) as caught:
        value_of(template, scope)
    return str(caught.value)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        (
            "tasks.analyze.row",
            "tasks.analyze has no field 'row'; it has by_name, rows, table",
        ),
        (
            "tasks.approve.by",
            "tasks.approve is null (was the task skipped?), so it has no field 'by'; "
            "ask has(tasks.approve.by)",
        ),
        ("tasks.later", "task 'later' has no output yet"),
        ("tasks.later.x + 1", "task 'later' has no output yet"),
        (
            "tasks.analyze.rows.n",
            "tasks.analyze.rows is a list of 2, so it has no field 'n'; "
            "pick an item (tasks.analyze.rows[0]) or map over them",
        ),
        ("tasks.analyze.rows[7].n", "tasks.analyze.rows is a list of 2, so it has no [7]"),
        ("input.name.first", "input.name is text, so it has no field 'first'"),
        ("input.name[0]", "input.name is text, so it has no [0]"),
        ("input.n.x > 1", "input.n is a number, so it has no field 'x'"),
        ("context.other", "context has no field 'other'; it has region"),
        ("size(input.n)", "input.n is a number; only text, lists and objects have a size"),
        ("size(tasks.approve) > 0", "tasks.approve is null; only text, lists and objects"),
        ("input.n.map(i, i)", "input.n is a number, where a list or an object is needed"),
        ("'abc'.map(i, i)", "it walks over text, where a list or an object is needed"),
        ("[1].filter(i, i.x == 1)", "a value in it is of the wrong kind"),
        ("[{'a': 1}].map(i, i.b)", "an object in it has no field 'b'; ask has(…) first"),
        ("[1][input.n]", "index out of bounds: 3"),
        ("input.name + 1", "+ cannot combine text and a number; convert with string(…)"),
        ("true + 1", "+ cannot combine true or false and a number"),
        ("null * 2", "* cannot combine null and a number"),
        ("[1] - [1]", "- cannot combine a list and a list"),
        ("{'a': 1} / 2", "/ cannot combine an object and a number"),
        ("'a' % 2", "% cannot combine text and a number"),
        ("1 / 0", "it divides by zero"),
        ("1.5 / 0", "it divides by zero"),
        ("1 % 0.0", "it divides by zero"),
        ("9223372036854775807 + 1", "a whole number becomes too large"),
        ("1e308 * 10.0", "it gives inf, a number that JSON does not have"),
        ("input.name > 1", "a value in it is of the wrong kind"),
        ("input.n ? 1 : 2", "a value in it is of the wrong kind"),
        ("size(1)", "a number has no size; only text, lists and objects have one"),
        ("double(null)", "double(…) cannot take the value that it is given"),
        ("string(null)", "string(…) cannot take null"),
        ("int('x')", "int(…): string parse error"),
        ("'a'.matches('[')", "matches(…): '[' not a valid regex"),
        ("b'x'", "it gives bytes, which JSON does not have"),
        ("{1: 2}", "it gives an object with a key that is no text"),
        ("timestamp('9999-12-30T00:00:00Z') + duration('99h')", "a moment leaves the years"),
    ],
)
def test_a_failure_names_the_expression_and_the_reason(
    expression: str, reason: str, scope: dict[str, Any]
) -> None:
    message = failure_of(f"${{ {expression} }}", scope)
    assert message.startswith(f"${{ {expression} }}: {reason}")
    assert "\n" not in message


def test_the_item_of_a_foreach_is_missed_outside_of_one() -> None:
    assert failure_of("${ item.x }", {"input": 1}) == "${ item.x }: there is no 'item' here"


def test_an_object_with_many_fields_is_not_listed_whole() -> None:
    scope = {"input": {f"field_{number:02}": 1 for number in range(20)}}
    assert failure_of("${ input.q }", scope).endswith("field_06, field_07, …")


def test_a_long_expression_is_cut_in_messages(scope: dict[str, Any]) -> None:
    message = failure_of(f"${{ input.q == '{'x' * 500}' }}", scope)
    assert len(message) < 300


def test_a_failure_is_a_mistake_of_the_author_and_survives_pickling() -> None:
    error = ExpressionFailed("input.x", "input has no field 'x'")
    again = pickle.loads(pickle.dumps(error))
    assert isinstance(again, UsageError)
    assert (again.code, str(again)) == ("expression", "${ input.x }: input has no field 'x'")


# --- values that travel by reference ----------------------------------------------------------


def test_the_core_and_the_artifact_store_mean_the_same_key() -> None:
    assert CLAIM == ARTIFACTS_CLAIM


def test_a_claim_passes_through_untouched(scope: dict[str, Any], claim: dict[str, Any]) -> None:
    assert value_of("${ tasks.analyze.table }", scope) == claim
    assert value_of("${ tasks.gather.map(g, g.table) }", scope) == [claim, claim]
    picked = value_of("${ tasks.gather.filter(g, g.id == 2)[0] }", scope)
    assert picked == {"id": 2, "table": claim}


@pytest.mark.parametrize(
    "expression",
    [
        "tasks.analyze.table.rows",
        "tasks.analyze.table[0]",
        "size(tasks.analyze.table) > 0",
        "tasks.analyze.table == null",
        "has(tasks.analyze.table.rows)",
        "tasks.analyze.table.map(r, r)",
        "tasks.gather.map(g, size(g.table))",
        "tasks.gather.map(g, g.table.rows)",
        "tasks.gather.map(g, g.table[0])",
        "tasks.gather.map(g, has(g.table.rows))",
        "tasks.gather.map(g, g.table.map(r, r))",
        "tasks.gather.map(g, string(g.table))",
        "tasks.gather.map(g, g.table + [1])",
        "tasks.gather.filter(g, 'a' in g.table)",
        "tasks.gather.filter(g, g.table > 1)",
    ],
)
def test_nothing_is_read_of_a_claim_by_mistake(expression: str, scope: dict[str, Any]) -> None:
    message = failure_of(f"${{ {expression} }}", scope)
    assert "travels by reference" in message
    assert "70000 bytes" in message
    assert "return what expressions read as a small field of its own" in message


@pytest.mark.parametrize("text", ["is ${ tasks.analyze.table }", "is ${ tasks.gather }"])
def test_a_claim_is_not_put_into_a_text(text: str, scope: dict[str, Any]) -> None:
    assert "travels by reference" in failure_of(text, scope)


# --- what cannot be read ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("${ 1 + }", "expected a value, found the end"),
        ("${ }", "expected a value, found the end"),
        ("${ input.n", "has no closing }; for a plain ${ write $${"),
        ("${ 'abc }", "has no closing quote"),
        ("${ input.n = 1 }", "'=' at character 9 does not belong there; compare with =="),
        ("${ true & false }", "write &&"),
        ("${ a b }", "'b' does not belong where it stands"),
        ("${ (1 + 2 }", "expected ')', found the end"),
        ("${ [1, 2 }", "expected ']', found the end"),
        ("${ {'a' 1} }", "expected ':', found '1'"),
        ("${ input. }", "expected a field's name after '.', found the end"),
        ("${ true ? 1 }", "expected ':', found the end"),
        ("${ inputs.x }", "'inputs' is not known here"),
        ("${ [1].exists(x, x > 0) && x }", "'x' is not known here"),
        ("${ foo(1) }", "there is no function 'foo'"),
        ("${ input.foo(1) }", "there is no function 'foo'"),
        ("${ tasks }", "name the task whose output is meant: tasks.<task>"),
        ("${ tasks[input.x] }", "name the task whose output is meant: tasks.<task>"),
        ("${ has(input) }", "has(…) asks for a field, such as has(tasks.a.b)"),
        ("${ has(1 + 1) }", "has(…) asks for a field"),
        ("${ size() }", "size(…) needs a value"),
        ("${ int(1, 2) }", "int(…) takes 1 argument, not 2"),
        ("${ contains('a', 'b') }", "contains is called as value.contains(…)"),
        ("${ 'a'.int() }", "int is called as int(value)"),
        ("${ [1].map(1, 2) }", "expected the name of one item in map(item, …), found '1'"),
        ("${ [1].map(x) }", "expected ',', found ')'"),
        ("${ [1].filter(x, x, x) }", "filter(…) takes an item's name and one expression"),
        ("${ [1].map(_x, _x) }", "must begin with a letter"),
        ("${ [1].map(for, for) }", "reserved identifier: for"),
        ("${ Point{x: 1} }", "'{' does not belong where it stands"),
        ("${ 99999999999999999999 }", "invalid int literal"),
        ("${ " + "(" * 40 + "1" + ")" * 40 + " }", "it is nested more than 24 deep"),
        ("${ " + "+".join(["1"] * 300) + " }", "it has too many steps"),
        ("${ '" + "x" * 2_000 + "' }", "more than 2000; let a task compute this"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(text: str, reason: str) -> None:
    with pytest.raises(ExpressionInvalid) as caught:
        Template.compile(text)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
