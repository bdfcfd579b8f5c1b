from dalsegno_orchestrator.authoring import Workflow, ref
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition
from dalsegno_orchestrator.workflow.grammar.policies import OtherCapability, WaitBefore


def build() -> WorkflowDefinition:
    flow = Workflow(
        "scan-archive",
        description="Reads an old page with whatever can read it, however long it takes.",
        input={"type": "object", "required": ["page"]},
    )
    read = flow.task(
        "read",
        capability="ocr.read",
        input={"page": ref("input.page")},
        retry={"max_attempts": 1},
        reroute=[
            "other_agent",
            OtherCapability(capability="ocr.read_handwriting"),
            WaitBefore(wait=3600.0),
        ],
    )
    return flow.build(output=read.output)
