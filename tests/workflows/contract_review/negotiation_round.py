from dalsegno_orchestrator.authoring import Workflow, ref
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition


def build() -> WorkflowDefinition:
    flow = Workflow(
        "negotiation-round",
        description="One round of a negotiation about a price.",
        input={"type": "object", "required": ["contract", "round", "price", "limit"]},
    )
    offer = flow.task(
        "offer",
        capability="deal.offer",
        input={name: ref(f"input.{name}") for name in ("round", "price", "limit")},
    )
    answer = flow.task(
        "answer",
        capability="deal.answer",
        input={"price": offer["price"], "asked": ref("input.price")},
    )
    return flow.build(output=answer.output)
