from dalsegno_orchestrator.authoring import Workflow, expr, ref
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition


def build() -> WorkflowDefinition:
    flow = Workflow(
        "postcard",
        description="Writes a greeting and sends it, past whatever stands in the way.",
        input={"type": "object", "required": ["to"]},
    )
    to = ref("input.to")
    write = flow.task(
        "write",
        capability="card.write",
        input={"to": to},
        retry={
            "max_attempts": 4,
            "delay": "2s",
            "factor": 3,
            "jitter": 0,
            "never": ["address.*"],
            "by_code": {"model.busy": {"max_attempts": 6, "delay": "500ms", "factor": 1}},
        },
    )
    flow.task(
        "post",
        capability="card.post",
        input={"to": to, "text": write.output},
        retry={"max_attempts": 5, "delay": 1, "jitter": 0, "never": ["address.*"]},
        on_error="continue",
    )
    return flow.build(output={"text": write.output, "posted": expr("tasks.post != null")})
