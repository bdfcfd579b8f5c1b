from dalsegno_orchestrator.authoring import Workflow, ref
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition


def build() -> WorkflowDefinition:
    flow = Workflow(
        "investigation",
        description="Investigators look at a suspicious claim, and ask the neighbours.",
        input={"type": "object", "required": ["claim", "score"]},
    )
    claim = {"claim": ref("input.claim")}
    visit = flow.task("visit", capability="fraud.visit", input=claim)
    photos = flow.task("photos", capability="fraud.compare_photos", input=claim)
    verdict = flow.task(
        "verdict",
        capability="fraud.verdict",
        input={"score": ref("input.score"), "clues": [visit.output, photos.output]},
    )
    return flow.build(output=verdict.output)
