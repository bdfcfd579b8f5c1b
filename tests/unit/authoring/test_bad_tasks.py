"""What is said of tasks that are wrong by themselves: kinds, numbers, schemas."""

from collections.abc import Callable

import pytest

from dalsegno_bus.messages import Problem

WHAT_A_TASK_IS = [
    pytest.param(
        "tasks",
        "a:\n  when: ${ true }",
        "3",
        "tasks.a",
        "nothing says what this task does",
        "exactly one of capability, workflow, wait, sleep",
        id="a task that does nothing",
    ),
    pytest.param(
        "tasks", "a: {}", "3", "tasks.a", "nothing says what this task does", "", id="an empty task"
    ),
    pytest.param(
        "task",
        "sleep: 1s",
        "3",
        "tasks.a",
        "this one has capability and sleep",
        "make another task for the other",
        id="a task that does two things",
    ),
    pytest.param(
        "tasks",
        "a:\n  sleep: 1s\n  input: {x: 1}",
        "5",
        "tasks.a.input",
        "'input' is for tasks with a capability or a workflow, and this one has 'sleep'",
        "remove 'input'",
        id="input of a sleep",
    ),
    pytest.param(
        "tasks",
        "a:\n  wait: {signal: s}\n  timeout: 1h",
        "5",
        "tasks.a.timeout",
        "'timeout' is for tasks with a capability",
        "write wait: {signal: …, timeout: …}",
        id="a timeout beside wait",
    ),
    pytest.param(
        "tasks",
        "a:\n  wait: {timeout: 1h}",
        "4",
        "tasks.a.wait",
        "'signal' is missing",
        "name the signal",
        id="wait without signal",
    ),
    pytest.param(
        "tasks",
        "a: {wait: go}",
        "3",
        "tasks.a.wait",
        "mapping (`key: value`), not",
        "",
        id="wait as text",
    ),
    pytest.param(
        "task",
        "max_parallel: 3",
        "5",
        "tasks.a.max_parallel",
        "there is none",
        "add foreach, or remove max_parallel",
        id="max_parallel without foreach",
    ),
    pytest.param(
        "task",
        "foreach: [1]\nmax_parallel: 0",
        "6",
        "tasks.a.max_parallel",
        "it must be 1 or more, not 0",
        "",
        id="max_parallel of none",
    ),
]

NUMBERS = [
    pytest.param(
        "task",
        "timeout: '10'",
        "5",
        "tasks.a.timeout",
        'has no unit; write "10s" for seconds',
        "",
        id="a timeout without unit",
    ),
    pytest.param(
        "task",
        "timeout: 2w",
        "5",
        "tasks.a.timeout",
        "'2w' is not a duration; write a",
        "",
        id="weeks",
    ),
    pytest.param(
        "task",
        "timeout:",
        "5",
        "tasks.a.timeout",
        "it is empty; write a duration",
        "",
        id="no timeout",
    ),
    pytest.param(
        "task",
        "timeout: 0s",
        "5",
        "tasks.a.timeout",
        "longer than 0; leave the",
        "",
        id="a timeout of 0",
    ),
    pytest.param(
        "top", "deadline: 9999d", "3", "deadline", "goes from 0 to 3650d", "", id="a long deadline"
    ),
    pytest.param(
        "tasks",
        "a: {sleep: '${ input.t }'}",
        "3",
        "tasks.a.sleep",
        "'${ input.t }' is not a duration",
        "",
        id="an expression as a duration",
    ),
    pytest.param(
        "task",
        "retry: {max_attempts: 0}",
        "5",
        "tasks.a.retry.max_attempts",
        "it must be 1 or more, not 0",
        "",
        id="no attempts",
    ),
    pytest.param(
        "task",
        "retry: {max_attempts: 1.5}",
        "5",
        "tasks.a.retry.max_attempts",
        "it must be a whole number, not 1.5",
        "",
        id="half an attempt",
    ),
    pytest.param(
        "task",
        "retry: {jitter: 2}",
        "5",
        "tasks.a.retry.jitter",
        "it must be 1 or less, not 2",
        "",
        id="too much jitter",
    ),
    pytest.param(
        "task",
        "retry: {factor: 0.5}",
        "5",
        "tasks.a.retry.factor",
        "it must be 1 or more, not 0.5",
        "",
        id="a shrinking delay",
    ),
    pytest.param(
        "task",
        "retry: {delay: 2m}",
        "5",
        "tasks.a.retry.delay",
        "delay (2m) is longer than max_delay (1m)",
        "set max_delay to 2m or more",
        id="a delay above the longest",
    ),
    pytest.param(
        "task", "retry:", "5", "tasks.a.retry", "it must be a mapping", "", id="an empty retry"
    ),
]

SCHEMAS = [
    pytest.param(
        "top",
        "input:\n  type: objekt",
        "4",
        "input.type",
        "there is no type 'objekt'",
        "did you mean 'object'?",
        id="an unknown type",
    ),
    pytest.param(
        "top",
        "input:\n  properties:\n    a: {type: string}\n    b: 5",
        "6",
        "input.properties.b",
        "this is not a JSON Schema: 5 is not of types",
        "json-schema.org",
        id="properties that are none",
    ),
    pytest.param(
        "top",
        "input: {pattern: '['}",
        "3",
        "input.pattern",
        'this is not a JSON Schema: "[" is not a "regex"',
        "",
        id="a pattern that cannot be read",
    ),
    pytest.param(
        "top", "input: []", "3", "input", "it must be a mapping", "", id="a schema that is a list"
    ),
    pytest.param(
        "top",
        "input: {$ref: '#/$defs/a'}",
        "3",
        "input",
        "this is not a JSON Schema: Pointer '/$defs/a' does not exist",
        "",
        id="a reference to nowhere",
    ),
]


@pytest.mark.parametrize(
    ("wrap", "text", "at", "path", "says", "hint"), [*WHAT_A_TASK_IS, *NUMBERS, *SCHEMAS]
)
def test_each_mistake_is_named_once_with_its_place_and_a_way_out(
    wrap: str,
    text: str,
    at: str,
    path: str,
    says: str,
    hint: str,
    mistake: Callable[[str, str], Problem],
) -> None:
    """`at` is the line, or line and column; `says` and `hint` are parts of what is said."""
    problem = mistake(wrap, text)
    assert says in problem.message
    assert hint in (problem.suggestion or "")
    assert problem.path == path
    assert at in {str(problem.line), f"{problem.line}:{problem.column}"}
    assert "\n" not in str(problem)
