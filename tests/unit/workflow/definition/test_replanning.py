"""What a plan may add to a run, what a person may change in it, and which version it may follow."""

from typing import Any

import pytest

from dalsegno_orchestrator.workflow.checking.checks import check
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition
from dalsegno_orchestrator.workflow.plan import Plan, compile_plan
from dalsegno_orchestrator.workflow.replanning import (
    adopt_tasks,
    migration_problems,
    replan_tasks,
    replanned,
    with_plan,
)

AGENT = {"capability": "x.y"}


def definition_of(tasks: dict[str, Any], **keys: Any) -> WorkflowDefinition:
    definition, problems = check({"workflow": "w", "tasks": tasks, **keys})
    assert definition is not None, problems
    return definition


def plan_of(tasks: dict[str, Any], **keys: Any) -> Plan:
    return compile_plan(definition_of(tasks, **keys))


# --- a plan made by an agent --------------------------------------------------------------------

PLANNED = definition_of(
    {
        "first": AGENT,
        "planner": {**AGENT, "input": "${ tasks.first }", "dynamic": {}},
        "last": {**AGENT, "input": "${ tasks.planner }"},
        "aside": AGENT,
    },
    output="${ tasks.last }",
)


def test_a_plan_is_added_and_its_owner_joins_it() -> None:
    tasks = {"x": {**AGENT, "input": "${ tasks.first.n }"}, "y": {**AGENT, "after": ["x"]}}
    grown, problems = with_plan(PLANNED, "planner", tasks, {"n": "${ tasks.y.n }"})
    assert problems == []
    assert grown is not None
    steps = compile_plan(grown).steps
    assert list(steps) == ["first", "planner", "last", "aside", "x", "y"]
    assert steps["planner"].needs == {"first", "x", "y"}
    assert steps["x"].needs == {"first"}
    assert steps["y"].dependents == ("planner",)


def test_what_was_accepted_is_adopted_without_checks_and_gives_the_same() -> None:
    tasks: dict[str, Any] = {"x": {**AGENT, "dynamic": {}, "timeout": "1m30s"}, "z": {"sleep": 1}}
    grown, _ = with_plan(PLANNED, "planner", tasks, None)
    assert grown is not None
    assert adopt_tasks(PLANNED, "planner", tasks) == grown
    assert adopt_tasks(PLANNED, "planner", tasks).digest == grown.digest


def test_plans_can_add_plans() -> None:
    once = adopt_tasks(PLANNED, "planner", {"x": {**AGENT, "dynamic": {}}})
    twice, problems = with_plan(once, "x", {"deep": AGENT}, "${ tasks.deep }")
    assert problems == []
    assert twice is not None
    assert compile_plan(twice).steps["x"].needs == {"deep"}


def test_an_empty_plan_is_a_plan() -> None:
    assert with_plan(PLANNED, "planner", {}, {"nothing": "to do"}) == (PLANNED, [])


def test_the_owner_does_not_wait_for_a_fallback_by_name() -> None:
    tasks = {"x": {**AGENT, "on_error": {"fallback": "x2"}}, "x2": {**AGENT, "after": ["aside"]}}
    grown, problems = with_plan(PLANNED, "planner", tasks, "${ tasks.x }")
    assert problems == []
    assert grown is not None
    assert compile_plan(grown).steps["planner"].needs == {"first", "x"}


def test_a_fallback_that_plans_can_add_tasks() -> None:
    definition = definition_of(
        {"a": {**AGENT, "on_error": {"fallback": "b"}}, "b": {**AGENT, "dynamic": {}}}
    )
    grown, problems = with_plan(definition, "b", {"x": AGENT}, None)
    assert problems == []
    assert grown is not None


@pytest.mark.parametrize(
    ("tasks", "output", "path", "says"),
    [
        ({"first": AGENT}, None, "tasks.first", "has a task 'first' already"),
        ({"planner": AGENT}, None, "tasks.planner", "has a task 'planner' already"),
        ({"x": 5}, None, "tasks.x", "it must be a mapping"),
        ({"X": AGENT}, None, "tasks.X", "a task's name must match"),
        ({"x": {}}, None, "tasks.x", "nothing says what this task does"),
        ({"x": {**AGENT, "tiemout": 5}}, None, "tasks.x.tiemout", "unknown key 'tiemout'"),
        ({"x": {**AGENT, "after": ["z"]}}, None, "tasks.x.after.0", "there is no task 'z'"),
        ({"x": {**AGENT, "input": "${ 1 + }"}}, None, "tasks.x.input", "expected a value"),
        (
            {"x": {**AGENT, "after": ["y"]}, "y": {**AGENT, "after": ["x"]}},
            None,
            "tasks.x",
            "in a circle: x -> y -> x",
        ),
        (
            {"x": {**AGENT, "input": "${ tasks.planner }"}},
            None,
            "tasks.x",
            "'x' waits for 'planner', which is done only when its plan is",
        ),
        (
            {"x": {**AGENT, "after": ["last"]}},
            None,
            "tasks.x",
            "planner -> x -> last -> planner",
        ),
        (
            {"x": {**AGENT, "on_error": {"fallback": "aside"}}},
            None,
            "tasks.x.on_error.fallback",
            "'aside' is no task of the plan, so it cannot become a fallback",
        ),
        ({"x": AGENT}, "${ tasks.z }", "output", "there is no task 'z'"),
        ({"x": AGENT}, "${ item }", "output", "'item' is known only"),
        ({"x": AGENT}, ["${ x + }"], "output.0", "expected a value"),
        ({"x": AGENT}, "${ tasks.aside }", "output", "'aside' may not be done when the plan"),
        ({"x": AGENT}, "${ tasks.planner }", "output", "'planner' may not be done when the plan"),
    ],
)
def test_a_plan_that_cannot_be_followed_is_refused_with_the_reason(
    tasks: dict[str, Any], output: Any, path: str, says: str
) -> None:
    grown, problems = with_plan(PLANNED, "planner", tasks, output)
    assert grown is None
    assert len(problems) == 1, problems
    assert problems[0].path == path
    assert says in problems[0].message


def test_all_that_is_wrong_with_a_plan_is_listed() -> None:
    tasks = {"x": {**AGENT, "after": ["q"]}, "y": {"capability": "a b"}, "z": {"sleep": "soon"}}
    grown, problems = with_plan(PLANNED, "planner", tasks, None)
    assert grown is None
    assert {problem.path for problem in problems} == {
        "tasks.x.after.0",
        "tasks.y.capability",
        "tasks.z.sleep",
    }


def test_the_output_of_a_plan_may_use_what_its_tasks_waited_for() -> None:
    tasks = {"x": {**AGENT, "after": ["aside"]}}
    grown, problems = with_plan(PLANNED, "planner", tasks, ["${ tasks.aside }", "${ tasks.first }"])
    assert problems == []
    assert grown is not None


OLDER_RULES: dict[str, Any] = {"budget": {}, "tasks": {"p": {**AGENT, "dynamic": {}}, "q": AGENT}}
"""What no `check` would take today; a run of it goes on all the same."""


def test_what_was_wrong_before_is_not_held_against_a_plan() -> None:
    definition = WorkflowDefinition.parse({"workflow": "w", **OLDER_RULES})
    grown, problems = with_plan(definition, "p", {"x": AGENT}, None)
    assert problems == []
    assert grown is not None
    assert list(grown.tasks) == ["p", "q", "x"]
    _, problems = with_plan(definition, "p", {"x": {"capability": "a b"}}, None)
    assert [problem.path for problem in problems] == ["tasks.x.capability"]


def test_what_was_wrong_before_is_not_held_against_a_change() -> None:
    definition = WorkflowDefinition.parse({"workflow": "w", **OLDER_RULES})
    changed, problems = replanned(definition, add={}, drop=["q"], change={}, begun=["p"])
    assert problems == []
    assert changed is not None
    assert list(changed.tasks) == ["p"]


# --- a plan changed by somebody -----------------------------------------------------------------

CHAIN = definition_of(
    {
        "a": AGENT,
        "b": {**AGENT, "input": "${ tasks.a }", "on_error": {"fallback": "b2"}},
        "b2": {**AGENT, "input": "${ tasks.a }"},
        "c": {**AGENT, "input": "${ tasks.b }"},
        "d": {**AGENT, "after": ["c"]},
    }
)


def change(
    add: dict[str, Any] | None = None,
    drop: tuple[str, ...] = (),
    change: dict[str, Any] | None = None,
    begun: tuple[str, ...] = ("a", "b"),
) -> tuple[WorkflowDefinition | None, list[tuple[str, str]]]:
    given: dict[str, Any] = {"add": add or {}, "drop": drop, "change": change or {}}
    definition, problems = replanned(CHAIN, **given, begun=begun)
    if definition is not None:
        assert replan_tasks(CHAIN, **given) == definition
    return definition, [(problem.path, problem.message) for problem in problems]


def test_what_has_not_begun_can_be_dropped_changed_and_joined_by_more() -> None:
    definition, problems = change(
        add={"e": {**AGENT, "after": ["b"]}},
        drop=("d",),
        change={"c": {"capability": "x.z", "after": ["e"]}},
    )
    assert problems == []
    assert definition is not None
    assert list(definition.tasks) == ["a", "b", "b2", "c", "e"]
    assert definition.tasks["c"].capability == "x.z"
    assert compile_plan(definition).steps["c"].needs == {"e"}


@pytest.mark.parametrize(
    ("given", "path", "says"),
    [
        ({}, "", "nothing is added, dropped or changed"),
        ({"add": {"a": AGENT}}, "tasks.a", "there is a task 'a' already"),
        ({"drop": ("z",)}, "tasks.z", "there is no task 'z' that could be dropped"),
        ({"change": {"z": AGENT}}, "tasks.z", "there is no task 'z' that could be changed"),
        ({"drop": ("a",)}, "tasks.a", "'a' has begun, so it cannot be dropped"),
        ({"change": {"b": AGENT}}, "tasks.b", "'b' has begun, so it cannot be changed"),
        ({"drop": ("d",), "change": {"d": AGENT}}, "tasks.d", "both dropped and changed"),
        ({"drop": ("c",)}, "tasks.d.after.0", "this refers to 'c', which is dropped"),
        ({"drop": ("b2",)}, "tasks.b.on_error.fallback", "this refers to 'b2', which is dropped"),
        ({"change": {"c": {"sleep": "soon"}}}, "tasks.c.sleep", "is not a duration"),
        ({"change": {"c": {**AGENT, "after": ["d"]}}}, "tasks.c", "in a circle: c -> d -> c"),
        (
            {"add": {"e": AGENT}, "change": {"b2": {**AGENT, "after": ["e"]}}},
            "tasks.b2",
            "'b' has begun, so its fallback 'b2' cannot wait for 'e'",
        ),
    ],
)
def test_a_change_that_cannot_be_made_is_refused_with_the_reason(
    given: dict[str, Any], path: str, says: str
) -> None:
    definition, problems = change(**given)
    assert definition is None
    assert any(at.startswith(path) and says in message for at, message in problems), problems


def test_what_has_begun_cannot_become_a_fallback() -> None:
    definition = definition_of({"a": AGENT, "b": AGENT})
    changes = {"b": {**AGENT, "on_error": {"fallback": "a"}}}
    result, problems = replanned(definition, add={}, drop=(), change=changes, begun=["a"])
    assert result is None
    assert [problem.message for problem in problems] == [
        "'a' has begun, so it cannot become the fallback of 'b'"
    ]


def test_a_fallback_may_change_if_it_waits_for_nothing_more() -> None:
    definition, problems = change(change={"b2": {"capability": "x.z", "input": "${ tasks.a.n }"}})
    assert problems == []
    assert definition is not None


def test_everything_cannot_be_dropped() -> None:
    definition = definition_of({"a": AGENT})
    result, problems = replanned(definition, add={}, drop=["a"], change={}, begun=())
    assert result is None
    assert [problem.message for problem in problems] == ["no task would be left"]


def test_a_task_of_a_plan_can_be_dropped_and_its_owner_waits_for_the_others() -> None:
    grown = adopt_tasks(PLANNED, "planner", {"x": AGENT, "y": AGENT})
    begun = ["first", "planner", "x"]
    result, problems = replanned(grown, add={}, drop=["y"], change={}, begun=begun)
    assert problems == []
    assert result is not None
    assert result.tasks["planner"].after == ("x",)


def test_a_planner_that_has_not_begun_keeps_what_it_was_written_to_wait_for() -> None:
    definition = definition_of({"a": AGENT, "b": {**AGENT, "after": ["a"], "dynamic": {}}})
    result, problems = replanned(definition, add={}, drop=["a"], change={}, begun=())
    assert result is None
    assert [(problem.path, problem.message) for problem in problems] == [
        ("tasks.b.after.0", "this refers to 'a', which is dropped")
    ]


# --- another version of the workflow ------------------------------------------------------------

OLD: dict[str, Any] = {
    "a": AGENT,
    "b": {**AGENT, "input": "${ tasks.a }", "foreach": [1, 2]},
    "w": {"wait": {"signal": "go", "payload": {"type": "object"}}},
    "s": {"sleep": "1h"},
    "c": {**AGENT, "after": ["b", "w", "s"]},
}


def migrate(changes: dict[str, Any], begun: dict[str, bool]) -> list[tuple[str, str]]:
    tasks = {name: task for name, task in {**OLD, **changes}.items() if task is not None}
    found = migration_problems(plan_of(OLD), plan_of(tasks), begun=begun)
    return [(problem.path, problem.message) for problem in found]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"c": {"capability": "x.z"}, "d": {**AGENT, "after": ["c"]}},
        {"c": None},
        {"a": {"capability": "x.z", "input": {"new": 1}, "timeout": "1m"}},
        {"b": {**OLD["b"], "timeout": "1m", "retry": {"max_attempts": 9}, "max_parallel": 1}},
        {"b": {**OLD["b"], "when": "${ tasks.a.ok }"}},
        {"w": {"wait": {"signal": "go", "payload": {"type": "object"}, "timeout": "1d"}}},
    ],
)
def test_what_has_not_begun_and_what_is_over_may_be_otherwise(changes: dict[str, Any]) -> None:
    assert migrate(changes, {"a": False, "b": True, "b-0": True, "w": True}) == []


@pytest.mark.parametrize(
    ("changes", "path", "says"),
    [
        ({"a": None, "b": {**AGENT, "foreach": [1, 2]}}, "tasks.a", "has no such task"),
        ({"a": {"sleep": 1}}, "tasks.a", "is a task for an agent and has begun; it would become"),
        ({"a": {"workflow": "v"}}, "tasks.a", "it would become a sub-workflow"),
        ({"a": {**AGENT, "foreach": [1]}}, "tasks.a", "a task for an agent with foreach"),
        ({"a": {**AGENT, "dynamic": {}}}, "tasks.a", "a task for an agent that plans"),
        ({"b": {**OLD["b"], "capability": "x.z"}}, "tasks.b.capability", "its capability would"),
        ({"b": {**OLD["b"], "input": 1}}, "tasks.b.input", "its input would change"),
        ({"b": {**OLD["b"], "foreach": [1]}}, "tasks.b.foreach", "its foreach would change"),
        ({"b": {**OLD["b"], "agent": "bob"}}, "tasks.b.agent", "its agent would change"),
        ({"s": {"sleep": "2h"}}, "tasks.s.sleep", "its sleep would change"),
        (
            {"new": AGENT, "b": {**OLD["b"], "after": ["new", "w"]}},
            "tasks.b",
            "would have to wait for 'new', 'w', which is not over",
        ),
        ({"w": {"wait": {"signal": "stop"}}}, "tasks.w.wait.signal", "the signal 'go', and would"),
        ({"w": {"wait": {"signal": "go"}}}, "tasks.w.wait.payload", "the schema of its payload"),
        (
            {"d": {**AGENT, "on_error": {"fallback": "a"}}, "b": {**OLD["b"], "input": {}}},
            "tasks.a",
            "has begun by itself; it would be there as the fallback of 'd'",
        ),
    ],
)
def test_what_has_happened_has_to_fit_the_new_version(
    changes: dict[str, Any], path: str, says: str
) -> None:
    found = migrate(changes, {"a": False, "b": True, "w": True, "s": True})
    assert any(at == path and says in message for at, message in found), found


def test_a_plan_that_goes_on_is_not_lost_with_a_new_version() -> None:
    grown = compile_plan(adopt_tasks(PLANNED, "planner", {"x": AGENT, "y": AGENT}))
    begun = {"first": False, "planner": True, "x": False}
    (problem,) = (
        problem
        for problem in migration_problems(grown, compile_plan(PLANNED), begun=begun)
        if problem.path == "tasks.planner"
    )
    assert problem.message == "'planner' goes on with the plan that it made: 'x', 'y'"


def test_another_workflow_is_no_version_of_this_one() -> None:
    other = compile_plan(definition_of(OLD).model_copy(update={"workflow": "v"}))
    (problem,) = migration_problems(plan_of(OLD), other, begun={})
    assert problem.message == "it is another workflow: 'v'"
