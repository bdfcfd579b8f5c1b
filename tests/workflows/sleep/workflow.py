from dalsegno_orchestrator.authoring import Workflow, expr, ref
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition


def build() -> WorkflowDefinition:
    flow = Workflow(
        "payment-reminder",
        description="Sends an invoice, looks after two weeks, and reminds who has not paid.",
        input={"type": "object", "required": ["invoice"]},
    )
    invoice = {"invoice": ref("input.invoice")}
    send = flow.task("send", capability="billing.send", input=invoice)
    pause = flow.sleep("two_weeks", "14d", after=[send])
    look = flow.task("look", capability="billing.is_paid", after=[pause], input=invoice)
    flow.task("remind", capability="billing.remind", when=expr("!tasks.look.paid"), input=invoice)
    return flow.build(output={"paid": look["paid"], "reminded": expr("tasks.remind != null")})
