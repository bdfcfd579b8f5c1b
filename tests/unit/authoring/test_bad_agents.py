"""What is said of who does a task, of what it takes of quotas, of hedges and ladders."""

from collections.abc import Callable

import pytest

from dalsegno_bus.messages import Problem

AGENTS = [
    pytest.param(
        "task",
        "agent: bob\nhedge_after: 10s",
        "6",
        "tasks.a.hedge_after",
        "hedging asks a second agent, and only 'bob' may do this task",
        "remove agent or hedge_after",
        id="hedging with one agent",
    ),
    pytest.param(
        "task",
        "hedge_after: p99",
        "5",
        "tasks.a.hedge_after",
        "'p99' is no time after which to hedge",
        "write p95, or a duration",
        id="hedging after another quantile",
    ),
    pytest.param(
        "task",
        "hedge_after: 10m",
        "5",
        "tasks.a.hedge_after",
        "an attempt is over after 10m, so none is hedged after 10m",
        "make it shorter than 10m",
        id="hedging after the end",
    ),
    pytest.param(
        "task",
        "timeout: 30s\nheartbeat_timeout: 1m",
        "6",
        "tasks.a.heartbeat_timeout",
        "heartbeat_timeout (1m) is longer than timeout (30s)",
        "make it shorter than 30s, or set a longer timeout",
        id="a heartbeat that is too slow",
    ),
    pytest.param(
        "task",
        "agent: bob\nreroute:\n  - other_agent",
        "7:9",
        "tasks.a.reroute.0",
        "there is no other agent: only 'bob' may do this task",
        "remove agent",
        id="another agent than the only one",
    ),
    pytest.param(
        "task",
        "reroute: [other_agnt]",
        "5",
        "tasks.a.reroute.0",
        "'other_agnt' is no way to reroute",
        "use other_agent, {capability: …} or {wait: 5m}",
        id="an unknown way to reroute",
    ),
    pytest.param(
        "task",
        "reroute: [{capability: x.z, wait: 5m}]",
        "5",
        "tasks.a.reroute.0",
        "one way to reroute is exactly one of the three",
        "use other_agent, {capability: …} or {wait: 5m}",
        id="two ways to reroute in one",
    ),
    pytest.param(
        "task",
        "reroute: [{capability: x.y}]",
        "5",
        "tasks.a.reroute.0",
        "the task asks for 'x.y' already",
        "another capability",
        id="rerouting to the same capability",
    ),
    pytest.param(
        "task",
        "reroute: [{wait: 0s}]",
        "5",
        "tasks.a.reroute.0.wait",
        "it must be longer than 0",
        "",
        id="rerouting after no time",
    ),
    pytest.param(
        "task",
        "reroute: other_agent",
        "5",
        "tasks.a.reroute",
        "it must be a list, not the text 'other_agent'",
        "",
        id="a ladder that is no list",
    ),
    pytest.param(
        "task",
        "priority: 10",
        "5",
        "tasks.a.priority",
        "it must be 9 or less, not 10",
        "",
        id="a priority above the highest",
    ),
    pytest.param(
        "task",
        "quota: {tokens: true}",
        "5",
        "tasks.a.quota.tokens",
        "what is taken of a quota is a number, or one expression that gives one",
        "",
        id="a quota of true",
    ),
    pytest.param(
        "task",
        "quota: {tokens: -1}",
        "5",
        "tasks.a.quota.tokens",
        "nothing less than 0 can be taken of a quota, not -1",
        "",
        id="a quota that is given",
    ),
    pytest.param(
        "task",
        "quota: {tokens: input.tokens}",
        "5",
        "tasks.a.quota.tokens",
        "what is taken of a quota is a number, or exactly one expression",
        'write "${ input.tokens }"',
        id="a quota without braces",
    ),
    pytest.param(
        "task",
        "quota: {Open AI: 1}",
        "5",
        "tasks.a.quota.Open AI",
        "a quota's name must match",
        "for example 'open-ai'",
        id="a quota with a wrong name",
    ),
    pytest.param(
        "task",
        "same_agent_as: a",
        "5",
        "tasks.a.same_agent_as",
        "a task always has the same agent as itself",
        "name another task with a capability",
        id="the same agent as itself",
    ),
    pytest.param(
        "task",
        "same_agent_as: b",
        "5",
        "tasks.a.same_agent_as",
        "there is no task 'b'",
        "the tasks are a",
        id="the same agent as nobody",
    ),
    pytest.param(
        "tasks",
        "a: {sleep: 1s}\nb: {capability: x.y, same_agent_as: a}",
        "4",
        "tasks.b.same_agent_as",
        "'a' has no capability, so no agent does it",
        "name a task with a capability",
        id="the same agent as a sleep",
    ),
    pytest.param(
        "tasks",
        "a: {capability: x.y, same_agent_as: b}\nb: {capability: x.y, after: [a]}",
        "3",
        "tasks.a",
        "in a circle: a -> b -> a",
        "",
        id="a circle through an agent",
    ),
    pytest.param(
        "tasks",
        "a: {capability: x.y}\nb: {capability: x.y, agent: bob, same_agent_as: a}",
        "4",
        "tasks.b.same_agent_as",
        "only 'bob' may do this task, so no other agent can be preferred",
        "remove agent or same_agent_as",
        id="the same agent and another",
    ),
]


@pytest.mark.parametrize(("wrap", "text", "at", "path", "says", "hint"), [*AGENTS])
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
