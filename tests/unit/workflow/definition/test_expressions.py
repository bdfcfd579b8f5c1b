from typing import Any

import pytest

from dalsegno_orchestrator.workflow.cel.expressions import (
    Condition,
    ExpressionFailed,
    ExpressionInvalid,
    Template,
)


def value_of(template: Any, scope: dict[str, Any]) -> Any:
    return Template.compile(template).evaluate(scope)


# --- templates --------------------------------------------------------------------------------


def test_a_string_that_is_one_expression_keeps_the_type(scope: dict[str, Any]) -> None:
    template = {"n": "${ input.n }", "rows": ["${ tasks.analyze.rows }"], "none": "${input.none}"}
    rows = scope["tasks"]["analyze"]["rows"]
    assert value_of(template, scope) == {"n": 3, "rows": [rows], "none": None}


def test_a_plain_path_is_read_without_a_copy(scope: dict[str, Any]) -> None:
    assert value_of("${ tasks.analyze }", scope) is scope["tasks"]["analyze"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello ${ input.name }!", "Hello Ada!"),
        ("${ input.name }${ input.name }", "AdaAda"),
        ("${ input.n } of ${ input.list }", "3 of [1,2.5]"),
        ("null is ${ input.none }, true is ${ input.n == 3 }", "null is null, true is true"),
        ("${ tasks.analyze.by_name } ", '{"b":2,"c":3,"a":1} '),
        ("é ${ input.name }", "é Ada"),
    ],
)
def test_in_a_longer_text_values_are_put_in(
    text: str, expected: str, scope: dict[str, Any]
) -> None:
    assert value_of(text, scope) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$${ input.n }", "${ input.n }"),
        ("$$${ input.n }", "$${ input.n }"),
        ("$${ ${ input.n } }", "${ 3 }"),
        ("costs $5 {ok} $", "costs $5 {ok} $"),
        ("$", "$"),
        ("", ""),
    ],
)
def test_a_doubled_dollar_stands_for_the_sign_itself(
    text: str, expected: str, scope: dict[str, Any]
) -> None:
    assert value_of(text, scope) == expected


@pytest.mark.parametrize("text", ["${ '}' }", '${ "}" }', "${ {'a': {'b': '}'}}.a.b }"])
def test_a_brace_inside_an_expression_does_not_end_it(text: str, scope: dict[str, Any]) -> None:
    assert value_of(text, scope) == "}"


def test_a_template_tells_what_it_refers_to() -> None:
    template = Template.compile(
        {
            "a": "${ tasks.one.x + size(tasks['two'].y) }",
            "b": ["${ item }", "at ${ index }", "${ [1].map(run, run) }"],
            "c": "${ has(tasks.three.z) ? context.k : input.k }",
        }
    )
    assert template.tasks == {"one", "two", "three"}
    assert template.roots == {"tasks", "item", "index", "context", "input"}
    assert not template.is_constant


def test_what_holds_no_expression_is_constant() -> None:
    value = {"a": [1, None, {"b": "x $${y}"}], "c": 1.5}
    template = Template.compile(value)
    assert template.is_constant
    assert template.evaluate({}) == {"a": [1, None, {"b": "x ${y}"}], "c": 1.5}
    assert (template.tasks, template.roots) == (frozenset(), frozenset())


def test_all_faults_of_a_template_are_listed_with_their_place() -> None:
    _, faults = Template.parse({"a": ["${ 1 + }", "${ inputs.x }"], "${ b }": "${ foo(tasks) }"})
    assert [(fault.path, fault.name) for fault in faults] == [
        (("${ b }",), ""),
        (("a", 0), ""),
        (("a", 1), "inputs"),
        (("${ b }",), ""),
        (("${ b }",), "foo"),
    ]


# --- what an expression may say ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("input.x > 0", True),
        ("input.n > 1.5 && input.x < input.n", True),
        ("input.n == 3.0", True),
        ("input.x + 1", 2.5),
        ("input.n + 1", 4),
        ("input.n * 2.0", 6.0),
        ("1 - input.x", -0.5),
        ("input.n / 2", 1),
        ("-7 / 2", -3),
        ("input.n / 2.0", 1.5),
        ("-7 % 3", -1),
        ("7.5 % 2", 1.5),
        ("2 + 3 * 4 - 6 / 2", 11),
        ("(2 + 3) * 4", 20),
        ("double(input.n) / 2", 1.5),
        ("input.list.map(v, v * 2)", [2, 5.0]),
        ("2.5 in input.list && 1.0 in input.list", True),
        ("input.name + '!' + string(input.n)", "Ada!3"),
        ("string(true) + string(1.0) + string(0.5)", "true10.5"),
        ("input.list + [4]", [1, 2.5, 4]),
    ],
)
def test_whole_and_fractional_numbers_mix(
    expression: str, expected: Any, scope: dict[str, Any]
) -> None:
    value = value_of(f"${{ {expression} }}", scope)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("size(tasks.analyze.rows) > 0", True),
        ("tasks.analyze.rows.size()", 2),
        ("size(input.name) + size('né')", 5),
        ("tasks.analyze.rows.filter(r, r.n > input.x).map(r, r.id)", ["b"]),
        ("tasks.analyze.rows.map(r, r.n > 2, r.id)", ["b"]),
        ("tasks.analyze.rows.exists(r, r.id == 'a')", True),
        ("tasks.analyze.rows.all(r, r.n > 2)", False),
        ("tasks.analyze.rows.exists_one(r, r.n == 5)", True),
        ("tasks.analyze.rows[index - 4].id", "a"),
        ("[[1], [2, 3]].map(x, x.map(y, y + input.n))", [[4], [5, 6]]),
        ("[1, 2].map(input, input + 1)", [2, 3]),
        ("input['a-b'] + input.n", 4),
        ("item.url.startsWith('http') ? 'web' : 'file'", "web"),
        ("'a.c'.matches('^a[.]c$') && 'abc'.contains('b') && 'abc'.endsWith('c')", True),
        ("run.workflow + ' v' + string(run.version)", "report v3"),
        ("input.none == null", True),
        ("type(input.x) == double", True),
        ("timestamp('2026-01-02T03:04:05Z') + duration('1h')", "2026-01-02T04:04:05Z"),
        ("timestamp('2026-01-02T03:04:05Z').getFullYear()", 2026),
        ("duration('90m')", "5400s"),
        ("{'b': 1, 'a': {'d': 1, 'c': 2}}", {"a": {"c": 2, "d": 1}, "b": 1}),
        ("context.region // where it runs\n == 'eu'", True),
        ("(tasks.analyze).rows[1].id", "b"),
        ("r'a\\b' + '''c'''", "a\\bc"),
    ],
)
def test_cel_is_at_hand(expression: str, expected: Any, scope: dict[str, Any]) -> None:
    assert value_of(f"${{ {expression} }}", scope) == expected


def test_fields_may_be_called_like_words_of_cel() -> None:
    scope = {"input": {"in": 1, "for": 2, "true": 3}}
    assert value_of("${ input.in + input.for * input.true }", scope) == 7


def test_objects_come_out_and_are_walked_in_the_order_of_their_keys(scope: dict[str, Any]) -> None:
    walked = value_of("${ tasks.analyze.by_name.map(k, k) }", scope)
    assert walked == ["a", "b", "c"]
    assert value_of("${ [tasks.analyze.by_name][0].filter(k, k != 'b') }", scope) == ["a", "c"]
    keys = [f"k{number}" for number in range(9, -1, -1)]
    made = value_of("${ true ? input : {} }", {"input": dict.fromkeys(keys, 1)})
    assert list(made) == sorted(keys)


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 1000])
def test_lists_of_any_length_are_walked_whole_and_in_order(count: int) -> None:
    scope = {"tasks": {"a": [{"n": n} for n in range(count)]}}
    assert value_of("${ tasks.a.map(x, x.n) }", scope) == list(range(count))
    evens = "${ tasks.a.filter(x, x.n % 2 == 0).map(x, x.n) }"
    assert value_of(evens, scope) == list(range(0, count, 2))


# --- what is null or missing ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("tasks.analyze.rows", True),
        ("tasks.analyze.table", True),
        ("tasks.analyze.nothing", False),
        ("tasks.analyze.rows[1].n", True),
        ("tasks.analyze.rows[2].n", False),
        ("tasks.approve.comment", False),
        ("tasks.approve.comment.by", False),
        ("tasks.approve", False),
        ("tasks.analyze", True),
        ("tasks.later.x", False),
        ("input.none", True),
        ("input.name.first", False),
        ("context.other", False),
    ],
)
def test_has_never_fails_on_what_is_null_or_missing(
    path: str, expected: bool, scope: dict[str, Any]
) -> None:
    assert value_of(f"${{ has({path}) }}", scope) is expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("has(input.q) && input.q > 1", False),
        ("has(tasks.approve.by) ? tasks.approve.by : 'nobody'", "nobody"),
        ("input.n == 3 || input.q > 1", True),
        ("tasks.approve == null", True),
    ],
)
def test_what_is_not_needed_may_be_missing(
    expression: str, expected: Any, scope: dict[str, Any]
) -> None:
    assert value_of(f"${{ {expression} }}", scope) == expected


# --- conditions -------------------------------------------------------------------------------


def test_a_condition_is_true_or_false(scope: dict[str, Any]) -> None:
    condition = Condition.compile(" ${ size(tasks.analyze.rows) > input.n }\n")
    assert condition.evaluate(scope) is False
    assert (condition.tasks, condition.roots) == ({"analyze"}, {"tasks", "input"})
    assert not condition.is_constant
    assert Condition.compile("${ 1 < 2 }").is_constant


@pytest.mark.parametrize(("expression", "kind"), [("input.n", "a number"), ("input.none", "null")])
def test_a_condition_that_is_neither_fails(
    expression: str, kind: str, scope: dict[str, Any]
) -> None:
    with pytest.raises(ExpressionFailed, match=f"it gives {kind}, and a condition must be true"):
        Condition.compile(f"${{ {expression} }}").evaluate(scope)


@pytest.mark.parametrize("text", ["input.n > 1", "x ${ input.n > 1 }", "", "$${ true }"])
def test_a_condition_is_exactly_one_expression(text: str) -> None:
    with pytest.raises(ExpressionInvalid, match="a condition is one expression"):
        Condition.compile(text)


def test_only_what_is_referred_to_is_looked_at() -> None:
    """Outputs that an expression does not name may be anything, however large."""

    class Untouchable(dict[str, Any]):
        def __getitem__(self, key: str) -> Any:
            raise AssertionError(f"{key} was read")

    scope = {"input": {"n": 1}, "tasks": {"a": {"x": 1, "y": object()}, "b": Untouchable()}}
    assert value_of("${ tasks.a.x + input.n }", scope) == 2
