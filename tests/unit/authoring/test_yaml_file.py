from pathlib import Path

from dalsegno_orchestrator.authoring import check_text, load_workflow
from dalsegno_orchestrator.workflow.plan import compile_plan


def test_the_example_of_the_design_runs_in_the_right_order(workflows: Path) -> None:
    definition, _ = check_text((workflows / "financial_report" / "workflow.yaml").read_text(), "f")
    assert definition is not None
    steps = compile_plan(definition).steps
    assert {name: sorted(step.needs) for name, step in steps.items()} == {
        "gather": [],
        "analyze": ["gather"],
        "approve": ["analyze"],
        "report": ["analyze", "approve"],
        "plain_report": ["analyze"],
    }
    assert steps["plain_report"].fallback_of == "report"
    assert definition.deadline == 1800.0
    assert definition.tasks["gather"].timeout == 120.0


def test_values_are_what_json_has() -> None:
    loaded = load_workflow(
        "a: [1, 0x1F, 1_000, 1.5, 1e3, true, ~, on, 2026-01-02, '5', 12:30]\n"
        "b: &b\n  1: x\n  c: |\n    two\n    lines\nd: *b\n",
        name="f",
    )
    assert loaded.problems == ()
    assert loaded.document == {
        "a": [1, 31, 1000, 1.5, 1000.0, True, None, "on", "2026-01-02", "5", "12:30"],
        "b": {"1": "x", "c": "two\nlines\n"},
        "d": {"1": "x", "c": "two\nlines\n"},
    }


def test_every_key_and_item_has_a_line_and_a_column() -> None:
    loaded = load_workflow("tasks:\n  a:\n    after: [b, c]\n    wait: {signal: s}\n", name="f")
    assert loaded.places == {
        "tasks": (1, 1),
        "tasks.a": (2, 3),
        "tasks.a.after": (3, 5),
        "tasks.a.after.0": (3, 13),
        "tasks.a.after.1": (3, 16),
        "tasks.a.wait": (4, 5),
        "tasks.a.wait.signal": (4, 12),
    }


def test_problems_come_in_the_order_of_the_lines_with_the_name_of_the_file() -> None:
    text = (
        "workflow: w\noutput: '${ tasks.x }'\ntasks:\n  a:\n    tiemout: 1s\n"
        "    capability: x.y\n    capability: x.z\n    when: '${ 1 + }'\n"
    )
    definition, problems = check_text(text, "flow.yaml")
    assert definition is None
    assert [(problem.line, problem.path) for problem in problems] == [
        (2, "output"),
        (5, "tasks.a.tiemout"),
        (7, "tasks.a.capability"),
        (8, "tasks.a.when"),
    ]
    described = load_workflow(text, name="flow.yaml").describe(problems[1])
    assert described == (
        "flow.yaml:5:5: tasks.a.tiemout: unknown key 'tiemout' (did you mean 'timeout'?)"
    )


def test_aliases_that_unfold_without_end_are_stopped() -> None:
    lines = ["a: &a0 [x, x, x, x, x, x, x, x, x]"]
    for level in range(1, 9):
        parts = ", ".join([f"*a{level - 1}"] * 9)
        lines.append(f"b{level}: &a{level} [{parts}]")
    loaded = load_workflow("\n".join(lines), name="f")
    assert [problem.message for problem in loaded.problems] == ["this alias makes the file endless"]


def test_nesting_without_end_is_refused() -> None:
    _, problems = check_text("[" * 20_000, "f")
    assert [problem.message for problem in problems] == ["it is nested too deeply"]
