from dalsegno_orchestrator.authoring import Workflow, ref
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition


def build() -> WorkflowDefinition:
    flow = Workflow(
        "newsletter",
        description="Collects stories, lays them out and sends them, with a picture beside.",
        input={"type": "object", "required": ["month"]},
    )
    month = {"month": ref("input.month")}
    stories = flow.task("stories", capability="letter.collect", input=month)
    picture = flow.task("picture", capability="letter.paint", input=month)
    layout = flow.task(
        "layout",
        capability="letter.lay_out",
        input={"stories": stories.output, "picture": picture.output},
    )
    proof = flow.wait("proof", signal="proof_read", after=[layout])
    send = flow.task(
        "send", capability="letter.send", after=[proof], input={"pages": layout.output}
    )
    return flow.build(output=send.output)
