from dalsegno_orchestrator.authoring import TaskHandle, Workflow, ref
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition


def build() -> WorkflowDefinition:
    flow = Workflow(
        "trip",
        description="Books a flight, a hotel and a car, or nothing at all.",
        input={"type": "object", "required": ["traveller"]},
    )
    last: list[TaskHandle] = []
    for what in ("flight", "hotel", "car"):
        booked = flow.task(
            what,
            capability="trip.book",
            after=last,
            input={"what": what, "who": ref("input.traveller")},
            compensate={
                "capability": "trip.cancel",
                "input": {"booking": ref(f"tasks.{what}.booking")},
            },
        )
        last = [booked]
    return flow.build(output=last[0]["booking"])
