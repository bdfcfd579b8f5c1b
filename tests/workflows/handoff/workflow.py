from dalsegno_orchestrator.authoring import Workflow, ref
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition


def build() -> WorkflowDefinition:
    flow = Workflow(
        "support-ticket",
        description="The front desk answers, or hands the ticket to whoever can.",
        input={"type": "object", "required": ["text"]},
    )
    answer = flow.task("answer", capability="support.front_desk", input={"text": ref("input.text")})
    reply = flow.task("reply", capability="support.reply", input={"answer": answer.output})
    return flow.build(output=reply.output)
