from dalsegno_orchestrator.authoring import Workflow, ref
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition
from dalsegno_orchestrator.workflow.grammar.policies import Budget


def build() -> WorkflowDefinition:
    flow = Workflow(
        "deep-research",
        description="Looks into one source after the other, as long as the money lasts.",
        budget=Budget(usd=1.0, on_exceeded="ask"),
        input={"type": "object", "required": ["question"]},
    )
    question = ref("input.question")
    archives = flow.task(
        "archives", capability="research.read", input={"question": question, "where": "archives"}
    )
    papers = flow.task(
        "papers",
        capability="research.read",
        after=[archives],
        input={"question": question, "where": "papers"},
    )
    report = flow.task(
        "report", capability="research.report", input={"found": [archives.output, papers.output]}
    )
    return flow.build(output=report.output)
