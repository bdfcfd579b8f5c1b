"""What is said of files that are no workflow: broken YAML, wrong keys, wrong names."""

from collections.abc import Callable

import pytest

from dalsegno_bus.messages import Problem

NOT_YAML = [
    pytest.param(
        "file", "workflow: [w\n", "2", "", "expected ',' or ']'", "", id="a bracket that stays open"
    ),
    pytest.param(
        "file",
        "workflow: w\n  tasks: 1\n",
        "2:8",
        "",
        "mapping values are not allowed here",
        "check the indentation",
        id="a wrong indentation",
    ),
    pytest.param(
        "file",
        "workflow:\n\tw\n",
        "2",
        "",
        "cannot start any token",
        "indent with spaces",
        id="a tab",
    ),
    pytest.param(
        "file", "workflow: *w\n", "1:11", "", "undefined alias 'w'", "", id="an unknown alias"
    ),
    pytest.param(
        "file",
        "workflow: \x01\n",
        "1",
        "",
        "special characters are not allowed",
        "",
        id="a control character",
    ),
    pytest.param(
        "file", "a: 1\n---\nb: 2\n", "2", "", "found another document", "", id="two documents"
    ),
    pytest.param(
        "file",
        "# nothing\n",
        "1",
        "",
        "a workflow is a mapping",
        "begin with `workflow:",
        id="an empty file",
    ),
    pytest.param(
        "file",
        "- a\n- b\n",
        "1",
        "",
        "a workflow is a mapping",
        "begin with `workflow:",
        id="a list",
    ),
    pytest.param(
        "file",
        "{}\n",
        "1",
        "",
        "the workflow is empty",
        "begin with `workflow:",
        id="an empty mapping",
    ),
    pytest.param(
        "file",
        "workflow: w\ntasks: {a: {capability: x.y}}\nworkflow: v\n",
        "3:1",
        "workflow",
        "the key 'workflow' stands in line 1 already",
        "remove one of the two",
        id="a key twice",
    ),
    pytest.param(
        "tasks",
        "a: {capability: x.y}\nb: {capability: x.y}\na: {sleep: 1s}",
        "5:3",
        "tasks.a",
        "the key 'a' stands in line 3 already",
        "remove one of the two",
        id="a task twice",
    ),
    pytest.param(
        "task",
        "retry: {<<: {delay: 1s}}",
        "5",
        "tasks.a.retry",
        "`<<` is not known in YAML 1.2",
        "write the keys out",
        id="a merge key",
    ),
    pytest.param(
        "task", "input: !env HOME", "5", "tasks.a.input", "tag '!env'", "remove it", id="a tag"
    ),
    pytest.param(
        "task",
        "input: {[b]: 1}",
        "5",
        "tasks.a.input",
        "a key must be text",
        "",
        id="a list as key",
    ),
    pytest.param(
        "task",
        "input: &i {b: *i}",
        "5",
        "tasks.a.input.b",
        "this alias makes the file endless",
        "write it out",
        id="an alias within itself",
    ),
    pytest.param(
        "task",
        "input: {b: .inf}",
        "5",
        "tasks.a.input.b",
        "inf is no number in JSON",
        "",
        id="infinity",
    ),
    pytest.param(
        "task",
        f"input: {{b: {'9' * 5000}}}",
        "5",
        "tasks.a.input.b",
        "this number cannot be read",
        "as text",
        id="a number of thousands of digits",
    ),
]

KEYS_AND_NAMES = [
    pytest.param(
        "file",
        "tasks: {a: {capability: x.y}}\n",
        "1",
        "",
        "'workflow' is missing",
        "a name",
        id="no name",
    ),
    pytest.param(
        "file", "workflow: w\n", "1", "", "'tasks' is missing", "at least one task", id="no tasks"
    ),
    pytest.param(
        "file",
        "workflow: w\ntasks: {}\n",
        "2",
        "tasks",
        "at least one task",
        "add a task",
        id="empty tasks",
    ),
    pytest.param(
        "file", "workflow: w\ntasks:\n", "2", "tasks", "it must be a mapping", "", id="null tasks"
    ),
    pytest.param(
        "file",
        "workflow: w\ntasks: [a]\n",
        "2",
        "tasks",
        "mapping (`key: value`), not",
        "",
        id="tasks in a list",
    ),
    pytest.param(
        "top",
        "ouput: 1",
        "3",
        "ouput",
        "unknown key 'ouput'",
        "did you mean 'output'?",
        id="a slip in a top-level key",
    ),
    pytest.param(
        "top",
        "colour: red",
        "3",
        "colour",
        "unknown key 'colour'",
        "possible here: workflow, version, input, deadline, cancel_grace, budget, assignment, ",
        id="a key that nothing resembles",
    ),
    pytest.param(
        "task",
        "queue_timout: 3s",
        "5:5",
        "tasks.a.queue_timout",
        "unknown key 'queue_timout'",
        "did you mean 'queue_timeout'?",
        id="a slip in a task's key",
    ),
    pytest.param(
        "task",
        "undo_with: {capability: x.z}",
        "5",
        "tasks.a.undo_with",
        "unknown key 'undo_with'",
        "possible here: capability, workflow, workflow_version, wait, sleep",
        id="a task's key that nothing resembles",
    ),
    pytest.param(
        "task",
        "retry:\n  max_atempts: 2",
        "6",
        "tasks.a.retry.max_atempts",
        "unknown key",
        "did you mean 'max_attempts'?",
        id="a slip in retry",
    ),
    pytest.param(
        "tasks",
        "a: {wait: {signal: s, time_out: 3s}}",
        "3",
        "tasks.a.wait.time_out",
        "unknown key 'time_out'",
        "did you mean 'timeout'?",
        id="a slip in wait",
    ),
    pytest.param(
        "tasks",
        "a:\n  capabilty: x.y",
        "4",
        "tasks.a.capabilty",
        "unknown key 'capabilty'",
        "did you mean 'capability'?",
        id="a slip in the key that says what the task does",
    ),
    pytest.param(
        "file",
        "workflow: My Flow\ntasks: {a: {capability: x.y}}\n",
        "1",
        "workflow",
        "a workflow's name must match [a-z0-9][a-z0-9_-]*",
        "for example 'my-flow'",
        id="a workflow's name with capitals",
    ),
    pytest.param(
        "file",
        "workflow: 5\ntasks: {a: {capability: x.y}}\n",
        "1",
        "workflow",
        "it must be text, not 5",
        'write "5"',
        id="a name that is a number",
    ),
    pytest.param(
        "tasks",
        "plain-report: {capability: x.y}",
        "3",
        "tasks.plain-report",
        "a task's name must match [a-z][a-z0-9_]*",
        "for example 'plain_report'",
        id="a task's name with a dash",
    ),
    pytest.param(
        "tasks",
        f"{'a' * 65}: {{capability: x.y}}",
        "3",
        f"tasks.{'a' * 65}",
        "at most 64 characters, not 65",
        "",
        id="a long name of a task",
    ),
    pytest.param(
        "tasks",
        "a: {capability: do it}",
        "3",
        "tasks.a.capability",
        "a capability must match a dotted name such as finance.analyze",
        "",
        id="a capability with spaces",
    ),
    pytest.param(
        "task",
        "agent: my.agent",
        "5",
        "tasks.a.agent",
        "an agent's name must",
        "",
        id="an agent with a dot",
    ),
    pytest.param(
        "tasks",
        "a: {wait: {signal: go on}}",
        "3",
        "tasks.a.wait.signal",
        "a signal's name must match",
        "",
        id="a signal with spaces",
    ),
    pytest.param(
        "task",
        "requires: {gpu: true}",
        "5",
        "tasks.a.requires.gpu",
        "it must be text, not true",
        'write "true"',
        id="a label that is true",
    ),
    pytest.param(
        "top",
        "labels: {a b: c}",
        "3",
        "labels.a b",
        "a label's name must match",
        "",
        id="a label's name",
    ),
    pytest.param(
        "top",
        f"labels: {{a: {'x' * 257}}}",
        "3",
        "labels.a",
        "at most 256 characters",
        "",
        id="a long label",
    ),
    pytest.param(
        "top",
        "version: 0",
        "3",
        "version",
        "it must be 1 or more, not 0",
        "",
        id="a version below 1",
    ),
    pytest.param(
        "top",
        "version: '1'",
        "3",
        "version",
        "a whole number, not the text",
        "",
        id="a version in quotes",
    ),
    pytest.param(
        "tasks",
        "a: x.y",
        "3",
        "tasks.a",
        "mapping (`key: value`), not the",
        "",
        id="a task that is a text",
    ),
]


@pytest.mark.parametrize(
    ("wrap", "text", "at", "path", "says", "hint"), [*NOT_YAML, *KEYS_AND_NAMES]
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
