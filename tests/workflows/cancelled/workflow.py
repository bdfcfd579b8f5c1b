from dalsegno_orchestrator.authoring import Workflow, ref
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition


def build() -> WorkflowDefinition:
    flow = Workflow(
        "campaign",
        description="Reserves advertising space and fills it, until somebody thinks better of it.",
        cancel_grace="30s",
        input={"type": "object", "required": ["slogan"]},
    )
    place = {"place": ref("tasks.reserve.place")}
    flow.task(
        "reserve",
        capability="ads.reserve",
        input={"slogan": ref("input.slogan")},
        compensate={"capability": "ads.release", "input": place},
    )
    flow.task("print", capability="ads.print", input=place, retry={"max_attempts": 1})
    return flow.build()
