from dalsegno_orchestrator.authoring import Workflow, ref
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition


def build() -> WorkflowDefinition:
    flow = Workflow(
        "parcel",
        description="Packs one parcel and hands it to the carrier.",
        input={"type": "object", "required": ["parcel", "order"]},
    )
    parcel = ref("input.parcel")
    pack = flow.task("pack", capability="parcel.pack", input={"parcel": parcel})
    hand_over = flow.task(
        "hand_over",
        capability="parcel.hand_over",
        after=[pack],
        input={"parcel": parcel, "order": ref("input.order")},
    )
    return flow.build(output={"tracking": hand_over["tracking"]})
