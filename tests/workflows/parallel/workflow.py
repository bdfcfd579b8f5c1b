from dalsegno_orchestrator.authoring import Workflow, ref
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition


def build() -> WorkflowDefinition:
    flow = Workflow(
        "morning-briefing",
        description="What to wear and when to leave, from two sources asked at once.",
        input={"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}},
    )
    city = {"city": ref("input.city")}
    weather = flow.task("weather", capability="news.weather", input=city)
    traffic = flow.task("traffic", capability="news.traffic", input=city)
    plan = flow.task(
        "plan",
        capability="news.plan_day",
        input={"rain": weather["rain"], "minutes": traffic["minutes"]},
    )
    return flow.build(output=plan.output)
