from dalsegno_orchestrator.authoring import Workflow, ref
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition


def build() -> WorkflowDefinition:
    flow = Workflow(
        "offer",
        description="Sales makes an offer, and asks the lawyers about the terms.",
        input={"type": "object", "required": ["customer", "terms"]},
    )
    offer = flow.task(
        "offer",
        capability="sales.offer",
        input={"customer": ref("input.customer"), "terms": ref("input.terms")},
    )
    return flow.build(output=offer.output)
