from dalsegno_orchestrator.authoring import Workflow, item, ref
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition
from dalsegno_orchestrator.workflow.grammar.policies import Limits


def build() -> WorkflowDefinition:
    flow = Workflow(
        "summarize-pages",
        description="Sums up the pages of a book within what the model provider allows.",
        input={"type": "object", "required": ["pages"]},
        limits=Limits(concurrency=10),
    )
    page = flow.task(
        "page",
        capability="book.summarize",
        foreach=ref("input.pages"),
        input={"text": item("text")},
        quota={"model-tokens": item("tokens")},
    )
    return flow.build(output=page.output)
