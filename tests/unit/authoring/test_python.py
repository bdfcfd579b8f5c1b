from collections.abc import Callable
from pathlib import Path

import pytest

from dalsegno_bus.errors import UsageError
from dalsegno_orchestrator.authoring import (
    Fallback,
    Workflow,
    check_text,
    expr,
    index,
    item,
    literal,
    ref,
)
from dalsegno_orchestrator.workflow.definition import Retry, WorkflowDefinition
from dalsegno_orchestrator.workflow.expressions import Template


def financial_report() -> WorkflowDefinition:
    flow = Workflow(
        "financial-report",
        version=3,
        input={"type": "object", "required": ("sources",)},
        deadline="30m",
    )
    gather = flow.task(
        "gather",
        capability="finance.gather",
        input={"source": item()},
        foreach=ref("input.sources"),
        max_parallel=4,
        retry=Retry(max_attempts=4, max_delay=30),
        timeout="2m",
        queue_timeout=600,
    )
    analyze = flow.task(
        "analyze",
        capability="finance.analyze",
        input={"tables": gather.output},
        requires={"region": "eu"},
        prefer={"tier": "fast"},
    )
    approve = flow.wait(
        "approve",
        signal="approval",
        timeout="2d",
        when=expr("size(tasks.analyze.anomalies) > 0"),
    )
    report = flow.task(
        "report",
        capability="finance.report",
        after=[approve],
        input={"analysis": analyze.output},
        on_error=Fallback("plain_report"),
    )
    flow.task("plain_report", capability="finance.plain_report", input={"analysis": analyze.output})
    return flow.build(output=report.output)


def chain() -> WorkflowDefinition:
    flow = Workflow("chain", input={"type": "object", "properties": {"start": {"type": "integer"}}})
    value = ref("input.start")
    for name in ("one", "two", "three", "four", "five"):
        value = flow.task(name, capability="demo.add", input={"value": value})["value"]
    return flow.build(output=value)


def release() -> WorkflowDefinition:
    flow = Workflow(
        "release",
        version=2,
        description="Builds, waits for a person, and ships after a pause.\n",
        labels={"team": "platform"},
        input={
            "type": "object",
            "properties": {
                "wait_for": {"type": "number"},
                "commit": {"pattern": "^[0-9a-f]{7,40}$", "type": "string"},
            },
            "required": ["commit"],
        },
    )
    build = flow.task(
        "build",
        capability="ci.build",
        agent="builder",
        input={
            "name": "build ${ input.commit } of ${ run.workflow } v${ run.version }",
            "price": literal("costs ${amount}"),
        },
        retry={"max_attempts": 1},
        timeout=5400,
    )
    flow.task(
        "announce",
        capability="chat.post",
        input={"text": expr("'built ' + string(tasks.build.seconds) + ' s'")},
        on_error="continue",
    )
    approve = flow.wait("approve", signal="approval", after=[build])
    pause = flow.sleep(
        "cool_down",
        "1m30s",
        after=["approve"],
        when=expr("has(tasks.approve.urgent) ? !tasks.approve.urgent : true") + "\n",
    )
    ship = flow.task(
        "ship",
        capability="ci.ship",
        after=[pause],
        input={"artifact": build["artifact"], "to": ref("context.region")},
    )
    return flow.build(output={"shipped": ship["version"], "by": approve["name"]})


def squares() -> WorkflowDefinition:
    flow = Workflow("squares")
    flow.task(
        "square",
        capability="math.multiply",
        foreach=(1, 2, ref("input.last")),
        input={"left": item(), "right": item(), "label": f"item {index()}"},
    )
    total = flow.task(
        "sum",
        capability="math.sum",
        input=expr("tasks.square.map(s, s.product * 1.0)"),
        queue_timeout=0.25,
    )
    return flow.build(output=total.output)


@pytest.mark.parametrize("build", [financial_report, chain, release, squares])
def test_python_and_yaml_give_the_same_definition(
    build: Callable[[], WorkflowDefinition], workflows: Path
) -> None:
    name = f"{build.__name__}.yaml"
    from_yaml, problems = check_text((workflows / name).read_text(), name)
    assert problems == []
    assert from_yaml is not None
    assert build() == from_yaml
    assert build().digest == from_yaml.digest
    assert list(build().tasks) == list(from_yaml.tasks)


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
