from dalsegno_orchestrator.authoring import Workflow, ref
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition
from dalsegno_orchestrator.workflow.grammar.policies import Schedule


def build() -> WorkflowDefinition:
    flow = Workflow(
        "weekly-report",
        description="Counts what was sold in the week, every Monday morning.",
        schedule=Schedule(
            cron="0 6 * * 1",
            timezone="Europe/Berlin",
            overlap="queue",
            catchup="one",
            input={"shop": "north"},
        ),
        input={"type": "object", "required": ["shop"]},
    )
    count = flow.task("count", capability="sales.count", input={"shop": ref("input.shop")})
    mail = flow.task("mail", capability="sales.mail", input={"sold": count.output})
    return flow.build(output=mail.output)
