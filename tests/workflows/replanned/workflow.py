from dalsegno_orchestrator.authoring import Workflow, ref
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition


def build() -> WorkflowDefinition:
    flow = Workflow(
        "summer-party",
        description="Books a venue, plans what is needed there, and invites everybody.",
        input={"type": "object", "required": ["guests"]},
    )
    guests = ref("input.guests")
    venue = flow.task("venue", capability="party.book", input={"what": "hall", "guests": guests})
    confirm = flow.wait("confirm", signal="confirmed", after=[venue])
    flow.task(
        "lights",
        capability="party.book",
        after=[confirm],
        input={"what": "lights", "guests": guests},
    )
    flow.task(
        "invite",
        capability="party.invite",
        after=[confirm],
        input={"guests": guests, "wear": "suits"},
    )
    return flow.build()
