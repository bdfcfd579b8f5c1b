"""What is said of retries, of undoing and of waiting for signals."""

from collections.abc import Callable

import pytest

from dalsegno_bus.messages import Problem

ERRORS = [
    pytest.param(
        "task",
        "retry: {never: ['model refused']}",
        "5",
        "tasks.a.retry.never.0",
        "'model refused' is no error code, nor the beginning of one",
        "use letters, digits and ._-, with * at the end only",
        id="an error code with a space",
    ),
    pytest.param(
        "task",
        "retry:\n  never: [ok.*, '*.rate']",
        "6",
        "tasks.a.retry.never.1",
        "'*.rate' is no error code",
        "such as model.*",
        id="a star that is not at the end",
    ),
    pytest.param(
        "task",
        "retry: {never: ['*']}",
        "5",
        "tasks.a.retry.never.0",
        "'*' stands for every error",
        "set max_attempts and delay for all of them",
        id="no retry for any code",
    ),
    pytest.param(
        "task",
        "retry:\n  never: [model.*]\n  by_code:\n    model.*: {delay: 5s}",
        "8",
        "tasks.a.retry.by_code.model.*",
        "no attempt follows 'model.*', because never lists it too",
        "remove one of the two",
        id="a code that is in both",
    ),
    pytest.param(
        "task",
        "retry:\n  by_code:\n    model.rate: {delay: 5m}",
        "7",
        "tasks.a.retry.by_code.model.rate.delay",
        "delay (5m) is longer than max_delay (1m)",
        "set max_delay to 5m or more",
        id="a delay of one code above the longest",
    ),
    pytest.param(
        "task",
        "retry:\n  by_code:\n    model.rate: {dealy: 5s}",
        "7",
        "tasks.a.retry.by_code.model.rate.dealy",
        "unknown key 'dealy'",
        "did you mean 'delay'?",
        id="a slip in a policy for one code",
    ),
    pytest.param(
        "task",
        "retry: {never: model.*}",
        "5",
        "tasks.a.retry.never",
        "it must be a list, not the text 'model.*'",
        "",
        id="never as text",
    ),
    pytest.param(
        "task",
        "compensate: {input: {}}",
        "5",
        "tasks.a.compensate",
        "'capability' is missing",
        "name what an agent is asked for",
        id="undoing without a capability",
    ),
    pytest.param(
        "task",
        "compensate: {capability: x.z, inputs: {}}",
        "5",
        "tasks.a.compensate.inputs",
        "unknown key 'inputs'",
        "did you mean 'input'?",
        id="a slip in compensate",
    ),
    pytest.param(
        "task",
        "compensate:\n  capability: x.z\n  retry: {delay: 2m}",
        "7",
        "tasks.a.compensate.retry.delay",
        "delay (2m) is longer than max_delay (1m)",
        "",
        id="a long delay of undoing",
    ),
    pytest.param(
        "task",
        "compensate: x.z",
        "5",
        "tasks.a.compensate",
        "it must be a mapping",
        "",
        id="undoing as text",
    ),
    pytest.param(
        "tasks",
        "a: {capability: x.y, compensate: {capability: x.z, input: '${ tasks.b }'}}\n"
        "b: {capability: x.y, after: [a]}",
        "3",
        "tasks.a",
        "in a circle: a -> b -> a",
        "",
        id="a circle through undoing",
    ),
]

WAITS = [
    pytest.param(
        "tasks",
        "a:\n  wait:\n    signal: s\n    escalate:\n      - {after: 2h, capability: x.y}\n"
        "      - {after: 1h, capability: x.y}",
        "8",
        "tasks.a.wait.escalate.1.after",
        "this escalation comes after 1h, and the one before it after 2h",
        "in the order of their times",
        id="escalations out of order",
    ),
    pytest.param(
        "tasks",
        "a:\n  wait:\n    signal: s\n    timeout: 1h\n    escalate: [{after: 1h, capability: x.y}]",
        "7",
        "tasks.a.wait.escalate.0.after",
        "the wait is over after 1h, so nobody would be told after 1h",
        "make it shorter than 1h, or wait longer",
        id="an escalation after the end",
    ),
    pytest.param(
        "tasks",
        "a: {wait: {signal: s, escalate: [{capability: x.y}]}}",
        "3",
        "tasks.a.wait.escalate.0",
        "'after' is missing",
        "say after how long",
        id="an escalation at no time",
    ),
    pytest.param(
        "tasks",
        "a: {wait: {signal: s, escalate: [{after: 1h, capabilty: x.y, capability: x.y}]}}",
        "3",
        "tasks.a.wait.escalate.0.capabilty",
        "unknown key 'capabilty'",
        "did you mean 'capability'?",
        id="a slip in an escalation",
    ),
    pytest.param(
        "tasks",
        "a: {wait: {signal: s, escalate: [{after: 1h, capability: x.y, input: '${ tasks.a }'}]}}",
        "3",
        "tasks.a.wait.escalate.0.input",
        "nor use its own output",
        "",
        id="an escalation about the signal itself",
    ),
    pytest.param(
        "tasks",
        "a: {wait: {signal: s, escalate: [{after: 1h, capability: x.y, input: '${ item }'}]}}",
        "3",
        "tasks.a.wait.escalate.0.input",
        "'item' is known only",
        "",
        id="an item in an escalation",
    ),
    pytest.param(
        "tasks",
        "a:\n  wait:\n    signal: s\n    payload: {type: objekt}",
        "6",
        "tasks.a.wait.payload.type",
        "there is no type 'objekt'",
        "did you mean 'object'?",
        id="a payload of an unknown type",
    ),
    pytest.param(
        "tasks",
        "a: {wait: {signal: s, payload: object}}",
        "3",
        "tasks.a.wait.payload",
        "it must be a mapping",
        "",
        id="a payload as text",
    ),
    pytest.param(
        "tasks",
        "a: {wait: {signal: s, payload: {type: object}}}\nb: {wait: {signal: s}}",
        "4",
        "tasks.b.wait.signal",
        "'a' waits for 's' too, with another payload",
        "use the same schema for both, or two signals",
        id="a signal with two payloads",
    ),
    pytest.param(
        "file",
        "workflow: w\nbudget: {usd: 1, on_exceeded: ask}\ntasks:\n  a: {wait: {signal: budget}}\n",
        "4",
        "tasks.a.wait.signal",
        "the signal 'budget' is the answer to a budget that is used up",
        "wait for a signal of another name",
        id="the budget's own signal",
    ),
]


@pytest.mark.parametrize(("wrap", "text", "at", "path", "says", "hint"), [*ERRORS, *WAITS])
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
