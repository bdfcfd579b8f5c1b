from dalsegno_orchestrator.authoring import Fallback, Workflow, expr, item, ref
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition
from dalsegno_orchestrator.workflow.grammar.policies import Budget, Repeat

CONTRACT = ref("input.contract")


def build() -> WorkflowDefinition:
    flow = Workflow(
        "contract-review",
        description="Redacts, reviews, negotiates and signs a contract.",
        deadline="90d",
        budget=Budget(usd=50.0, tokens=2_000_000),  # to pause is what a budget does unless told
        input={
            "type": "object",
            "required": ["contract", "clauses", "price", "limit"],
            "properties": {
                "clauses": {"type": "array", "minItems": 1, "items": {"type": "string"}},
                "price": {"type": "integer"},
                "limit": {"type": "integer"},
            },
        },
    )
    redact = flow.task(
        "redact",
        capability="contract.redact",
        foreach=ref("input.clauses"),
        max_parallel=8,
        input={"clause": item()},
        requires={"region": "eu"},
    )
    review = flow.task(
        "review",
        capability="contract.review",
        foreach=redact.output,
        input={"clause": item("text")},
        retry={
            "max_attempts": 4,
            "delay": "2s",
            "jitter": 0,
            "by_code": {"model.overloaded": {"max_attempts": 8, "delay": "1s"}},
        },
    )
    risks = flow.task("risks", capability="contract.weigh", input={"findings": review.output})
    negotiate = flow.child(
        "negotiate",
        workflow="negotiation-round",
        when=risks["worth_it"],
        input={
            "contract": CONTRACT,
            "round": expr("iteration + 1"),
            "price": expr("previous == null ? input.price : previous.price"),
            "limit": ref("input.limit"),
        },
        repeat=Repeat(until=expr("output.agreed"), max=4),
        on_error=Fallback("lawyers"),
    )
    flow.task("lawyers", capability="contract.hand_to_lawyers", input={"contract": CONTRACT})
    sign = flow.wait(
        "sign",
        signal="signed",
        timeout="30d",
        after=[negotiate],
        when=expr("tasks.negotiate != null && tasks.negotiate.agreed"),
    )
    archive = flow.task(
        "archive",
        capability="contract.archive",
        when=expr("tasks.sign != null"),
        input={"contract": CONTRACT, "price": negotiate["price"], "by": sign["by"]},
    )
    return flow.build(output=archive.output)
