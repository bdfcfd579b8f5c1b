from dalsegno_orchestrator.authoring import Workflow, expr, item, ref
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition


def build() -> WorkflowDefinition:
    flow = Workflow(
        "order",
        description="Packs an order into parcels and ships each of them.",
        input={"type": "object", "required": ["order", "parcels"]},
    )
    order = ref("input.order")
    pay = flow.task("pay", capability="shop.charge", input={"order": order})
    flow.child(
        "ship",
        workflow="parcel",
        after=[pay],
        foreach=ref("input.parcels"),
        input={"parcel": item(), "order": order},
    )
    thank = flow.task(
        "thank",
        capability="shop.thank",
        input={"order": order, "tracking": expr("tasks.ship.map(one, one.tracking)")},
    )
    return flow.build(output=thank.output)
