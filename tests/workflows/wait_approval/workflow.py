from dalsegno_orchestrator.authoring import Workflow, expr, ref
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition


def build() -> WorkflowDefinition:
    flow = Workflow(
        "price-change",
        description="A new price goes live once a person has approved it, within two days.",
        input={
            "type": "object",
            "required": ["article", "price"],
            "properties": {
                "article": {"type": "string"},
                "price": {"type": "number", "exclusiveMinimum": 0},
            },
        },
    )
    wanted = {"article": ref("input.article"), "price": ref("input.price")}
    check = flow.task("check", capability="price.check", input=wanted)
    approval = flow.wait(
        "approval",
        signal="approval",
        timeout="2d",
        payload={
            "type": "object",
            "required": ["approved", "by"],
            "properties": {"approved": {"type": "boolean"}, "by": {"type": "string"}},
        },
        after=[check],
    )
    flow.task(
        "publish",
        capability="price.publish",
        when=approval["approved"],
        input={**wanted, "by": approval["by"]},
    )
    return flow.build(
        output={"published": expr("tasks.publish != null"), "decided_by": approval["by"]}
    )
