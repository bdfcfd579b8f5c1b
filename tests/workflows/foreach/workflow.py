from dalsegno_orchestrator.authoring import Workflow, expr, index, item, ref
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition


def build() -> WorkflowDefinition:
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
