from dalsegno_orchestrator.authoring import Fallback, Workflow, expr, item, ref
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition

CLAIM, AMOUNT = ref("input.claim"), ref("input.amount")


def build() -> WorkflowDefinition:
    flow = Workflow(
        "claims-handling",
        description="Handles a motor claim, with a fraud check.",
        fair_by=ref("input.region"),
        deadline="60d",
        input={
            "type": "object",
            "required": ["claim", "policy", "amount", "documents", "region"],
            "properties": {
                "amount": {"type": "number", "exclusiveMinimum": 0},
                "documents": {"type": "array", "items": {"type": "string"}},
            },
        },
    )
    _look(flow)
    reserve = flow.task(
        "reserve",
        capability="claim.reserve",
        when=expr("tasks.cover.active && (tasks.investigate == null || tasks.investigate.clean)"),
        input={"claim": CLAIM, "amount": AMOUNT},
        compensate={
            "capability": "claim.release",
            "input": {"reserve": ref("tasks.reserve.reserve")},
        },
    )
    flow.wait(
        "adjuster",
        signal="adjusted",
        payload={"type": "object", "required": ["amount", "by"]},
        escalate=[{"after": "5d", "capability": "claim.remind", "input": {"claim": CLAIM}}],
        after=[reserve],
        when=expr("tasks.reserve != null && (input.amount > 2000 || tasks.investigate != null)"),
    )
    pay = flow.task(
        "pay",
        capability="claim.pay",
        when=expr("tasks.reserve != null"),
        input={
            "claim": CLAIM,
            "amount": expr("tasks.adjuster == null ? input.amount : tasks.adjuster.amount"),
        },
        retry={"max_attempts": 6, "delay": "10s", "jitter": 0},
    )
    paid = expr("tasks.pay == null ? 0.0 : tasks.pay.amount")
    letter = flow.task(
        "letter", capability="claim.write", after=[pay], input={"claim": CLAIM, "paid": paid}
    )
    return flow.build(
        output={"paid": paid, "suspicion": ref("tasks.fraud.score"), "letter": letter.output}
    )


def _look(flow: Workflow) -> None:
    """What is known of the claim, and whether it smells."""
    flow.task(
        "read",
        capability="claim.read_document",
        foreach=ref("input.documents"),
        max_parallel=3,
        input={"document": item()},
        retry={"max_attempts": 3, "delay": "5s", "jitter": 0, "never": ["document.empty"]},
        on_error="continue",
    )
    flow.task("cover", capability="claim.look_up_policy", input={"policy": ref("input.policy")})
    fraud = flow.task(
        "fraud",
        capability="claim.check_fraud",
        input={
            "claim": CLAIM,
            "amount": AMOUNT,
            "pages": expr("tasks.read.filter(page, page != null)"),
        },
        timeout="1m",
        on_error=Fallback("fraud_rules"),
    )
    flow.task("fraud_rules", capability="claim.fraud_rules", input={"amount": AMOUNT})
    flow.child(
        "investigate",
        workflow="investigation",
        when=expr("tasks.fraud.score >= 0.7"),
        input={"claim": CLAIM, "score": fraud["score"]},
    )
