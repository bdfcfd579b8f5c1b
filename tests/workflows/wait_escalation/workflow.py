from dalsegno_orchestrator.authoring import Workflow, expr, ref
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition


def build() -> WorkflowDefinition:
    flow = Workflow(
        "access-request",
        description="A data owner grants access to a table; if nobody answers, others are told.",
        input={"type": "object", "required": ["person", "table"]},
    )
    table = ref("input.table")
    decision = flow.wait(
        "decision",
        signal="decision",
        timeout="3d",
        escalate=[
            {"after": after, "capability": "people.tell", "input": {"whom": whom, "about": table}}
            for after, whom in (("4h", "deputy"), ("1d", "head"))
        ],
    )
    flow.task(
        "grant",
        capability="access.grant",
        when=decision["granted"],
        input={"person": ref("input.person"), "table": table},
    )
    return flow.build(output={"granted": expr("tasks.grant != null")})
