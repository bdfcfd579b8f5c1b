from dalsegno_orchestrator.authoring import Workflow, expr, iteration, ref
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition


def build() -> WorkflowDefinition:
    flow = Workflow(
        "better-draft",
        description="Rewrites a text until its score is good enough.",
        input={"type": "object", "required": ["topic"]},
    )
    draft = flow.task(
        "draft",
        capability="text.improve",
        input={
            "topic": ref("input.topic"),
            "round": iteration(),
            "text": expr("previous == null ? '' : previous.text"),
        },
        repeat={"until": expr("output.score >= 0.9"), "max": 5},
    )
    publish = flow.task("publish", capability="text.publish", input={"text": draft["text"]})
    return flow.build(output=publish.output)
