from dalsegno_orchestrator.authoring import Workflow, ref
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition


def build() -> WorkflowDefinition:
    flow = Workflow(
        "reindex",
        description="Reads a million documents again, and never begins anew.",
        input={"type": "object", "required": ["documents"]},
    )
    index = flow.task(
        "index",
        capability="search.index",
        input={"documents": ref("input.documents")},
        timeout="6h",
        heartbeat_timeout="30s",
        retry={"max_attempts": 5, "delay": "1s", "jitter": 0},
    )
    return flow.build(output=index.output)
