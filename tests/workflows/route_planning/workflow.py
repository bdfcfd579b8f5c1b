from dalsegno_orchestrator.authoring import Workflow, expr, ref
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition
from dalsegno_orchestrator.workflow.grammar.policies import Budget, Dynamic


def build() -> WorkflowDefinition:
    flow = Workflow(
        "route-planning",
        description="Plans a delivery tour, and plans it anew when the roads change.",
        budget=Budget(tasks=40),
        input={
            "type": "object",
            "required": ["depot", "stops"],
            "properties": {
                "depot": {"type": "string"},
                "stops": {"type": "array", "items": {"type": "string"}, "minItems": 1},
            },
        },
    )
    roads = flow.task("map", capability="route.map", input={"depot": ref("input.depot")})
    tour = flow.task(
        "tour",
        capability="route.plan",
        input={"stops": ref("input.stops"), "roads": roads["roads"]},
        dynamic=Dynamic(max_tasks=20, max_depth=2),
        retry={"max_attempts": 3, "delay": "1s", "jitter": 0},
    )
    depart = flow.wait(
        "depart",
        signal="roads",
        timeout="12h",
        payload={
            "type": "object",
            "required": ["closed"],
            "properties": {"closed": {"type": "array"}},
        },
        after=[tour],
    )
    flow.task(
        "detour",
        capability="route.plan",
        when=expr("size(tasks.depart.closed) > 0"),
        input={"stops": depart["closed"], "roads": ["the long way round"]},
        dynamic=Dynamic(max_tasks=5, max_depth=1),
    )
    drive = flow.task(
        "drive",
        capability="route.drive",
        input={
            "legs": tour["legs"],
            "more": expr("tasks.detour == null ? [] : tasks.detour.legs"),
        },
        timeout="10h",
        heartbeat_timeout="15m",
    )
    return flow.build(output=drive.output)
