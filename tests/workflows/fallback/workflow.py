from dalsegno_orchestrator.authoring import Fallback, Workflow, ref
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition


def build() -> WorkflowDefinition:
    flow = Workflow(
        "demand-forecast",
        description="A model predicts the demand; if it cannot, last year's numbers have to do.",
        input={"type": "object", "required": ["article"]},
    )
    article = ref("input.article")
    forecast = flow.task(
        "forecast",
        capability="forecast.model",
        input={"article": article},
        retry={"max_attempts": 2, "delay": "5s", "jitter": 0},
        on_error=Fallback("last_year"),
    )
    flow.task("last_year", capability="forecast.last_year", input={"article": article})
    order = flow.task(
        "order",
        capability="forecast.order",
        input={"article": article, "pieces": forecast["pieces"]},
    )
    return flow.build(output={"ordered": order.output, "basis": forecast["basis"]})
