from dalsegno_orchestrator.authoring import Workflow, ref
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition
from dalsegno_orchestrator.workflow.grammar.policies import Compensation, Retry


def build() -> WorkflowDefinition:
    flow = Workflow(
        "transfer",
        description="Moves money between two banks, all of it or nothing.",
        input={"type": "object", "required": ["amount"]},
    )
    amount = {"amount": ref("tasks.withdraw.amount")}
    flow.task(
        "withdraw",
        capability="bank.withdraw",
        input={"amount": ref("input.amount")},
        compensate=Compensation(
            capability="bank.deposit",
            input=amount,
            retry=Retry(max_attempts=2, delay=60.0, jitter=0.0),
        ),
    )
    flow.task(
        "deposit", capability="bank.foreign_deposit", input=amount, retry=Retry(max_attempts=1)
    )
    return flow.build()
