import pytest

from dalsegno_bus.errors import UsageError
from dalsegno_orchestrator.authoring import Workflow, index, item, literal, ref
from dalsegno_orchestrator.workflow.cel.expressions import Template


def test_expressions_are_written_as_in_yaml() -> None:
    assert (ref("input.a"), item(), item("b"), index()) == (
        "${ input.a }",
        "${ item }",  # noqa: RUF027 - CEL, not Python
        "${ item.b }",
        "${ index }",  # noqa: RUF027 - CEL, not Python
    )
    flow = Workflow("w")
    task = flow.task("a", capability="x.y")
    assert (task.output, task["rows[0].id"]) == ("${ tasks.a }", "${ tasks.a.rows[0].id }")


def test_a_literal_is_taken_as_it_is() -> None:
    for text in ("${ input.x }", "$${ x }", "$", "plain"):
        assert Template.compile(literal(text)).evaluate({}) == text


def test_building_names_every_problem() -> None:
    flow = Workflow("w", deadline="soon")
    flow.task("a", capability="x.y", after=["b"], max_parallel=2)
    flow.sleep("c", "1w", when="${ tasks.a.ok")
    with pytest.raises(UsageError) as caught:
        flow.build(output=ref("tasks.d"))
    lines = str(caught.value).splitlines()
    assert lines[0] == "workflow 'w' has problems:"
    assert [line.split(":")[0].strip() for line in lines[1:]] == [
        "deadline",
        "tasks.c.sleep",
        "tasks.a.max_parallel",
        "tasks.a.after.0",
        "tasks.c.when",
        "output",
    ]
    assert len(flow.check(output=ref("tasks.d"))) == 6


def test_a_name_is_used_once() -> None:
    flow = Workflow("w")
    flow.sleep("a", "1s")
    with pytest.raises(UsageError, match="there is a task 'a' already"):
        flow.wait("a", signal="s")
