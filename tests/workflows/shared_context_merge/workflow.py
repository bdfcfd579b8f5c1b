from dalsegno_orchestrator.authoring import Workflow, expr, ref
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition
from dalsegno_orchestrator.workflow.grammar.policies import SharedKey


def build() -> WorkflowDefinition:
    flow = Workflow(
        "incident",
        description="Two teams look at an incident at once, and two shifts want to lead.",
        input={"type": "object", "required": ["incident"]},
        context={
            "tags": SharedKey(on_conflict="union"),
            "hours": SharedKey(on_conflict="sum"),
            "leader": SharedKey(on_conflict="reject"),
        },
    )
    teams = [
        flow.task(team, capability="incident.look", input={"at": team})
        for team in ("network", "database")
    ]
    leader = expr("has(context.leader) ? context.leader : ''")
    shifts = [
        flow.task(
            shift,
            capability="incident.lead",
            input={"shift": shift, "leader": leader},
            retry={"delay": "1s", "jitter": 0},
        )
        for shift in ("day", "night")
    ]
    report = flow.task(
        "report",
        capability="incident.report",
        after=[*teams, *shifts],
        input={key: ref(f"context.{key}") for key in ("tags", "hours", "leader")},
    )
    return flow.build(output=report.output)
