from dalsegno_orchestrator.authoring import Workflow, expr, ref
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition


def build() -> WorkflowDefinition:
    flow = Workflow(
        "expense-claim",
        description="Small claims are paid at once, large ones are reviewed first.",
        input={
            "type": "object",
            "required": ["employee", "amount"],
            "properties": {
                "employee": {"type": "string"},
                "amount": {"type": "number", "exclusiveMinimum": 0},
            },
        },
    )
    flow.task(
        "review",
        capability="expense.review",
        when=expr("input.amount > 500"),
        input={"amount": ref("input.amount")},
    )
    pay = flow.task(
        "pay",
        capability="expense.pay",
        when=expr("tasks.review == null || tasks.review.approved"),
        input={"to": ref("input.employee"), "amount": ref("input.amount")},
    )
    decline = flow.task(
        "decline",
        capability="expense.decline",
        when=expr("tasks.review != null && !tasks.review.approved"),
        input={"to": ref("input.employee")},
    )
    return flow.build(output={"paid": pay.output, "declined": decline.output})
