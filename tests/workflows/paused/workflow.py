from dalsegno_orchestrator.authoring import Workflow, ref
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition


def build() -> WorkflowDefinition:
    flow = Workflow(
        "rollout",
        description="Rolls a change out to one region after the other, with a rest between them.",
        input={"type": "object", "required": ["change"]},
    )
    change = ref("input.change")
    north = flow.task(
        "north", capability="rollout.apply", input={"change": change, "region": "north"}
    )
    rest = flow.sleep("rest", "1h", after=[north])
    flow.task(
        "south",
        capability="rollout.apply",
        after=[rest],
        input={"change": change, "region": "south"},
    )
    return flow.build()
