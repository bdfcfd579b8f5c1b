from dalsegno_orchestrator.authoring import Workflow, ref
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition


def build() -> WorkflowDefinition:
    flow = Workflow(
        "translation",
        description="Translates a sentence while a caller listens to the music.",
        input={"type": "object", "required": ["text"]},
    )
    translate = flow.task(
        "translate",
        capability="text.translate",
        input={"text": ref("input.text")},
        hedge_after="3s",
    )
    return flow.build(output=translate.output)
