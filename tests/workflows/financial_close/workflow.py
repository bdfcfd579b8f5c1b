from dalsegno_orchestrator.authoring import Fallback, Workflow, expr, item, ref
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition
from dalsegno_orchestrator.workflow.grammar.policies import Budget

MONTH = ref("input.month")


def build() -> WorkflowDefinition:
    flow = Workflow(
        "financial-close",
        version=2,
        description="Closes the month for all companies of a group.",
        labels={"team": "controlling"},
        deadline="5d",
        cancel_grace="30s",
        budget=Budget(usd=20.0, on_exceeded="ask"),
        input={
            "type": "object",
            "required": ["month", "companies"],
            "properties": {
                "month": {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}$"},
                "companies": {"type": "array", "minItems": 1, "items": {"type": "string"}},
            },
        },
    )
    _books(flow)
    review = flow.wait(
        "review",
        signal="reviewed",
        timeout="3d",
        payload={
            "type": "object",
            "required": ["by", "accepted"],
            "properties": {
                "by": {"type": "string"},
                "accepted": {"type": "boolean"},
                "note": {"type": "string"},
            },
        },
        escalate=[
            {"after": "1d", "capability": "close.remind", "input": {"whom": "head of accounting"}}
        ],
        when=expr("tasks.reconcile.exists(one, one.difference != 0)"),
    )
    consolidate = flow.task(
        "consolidate",
        capability="close.consolidate",
        after=[review],
        when=expr("tasks.review == null || tasks.review.accepted"),
        input={"totals": expr("tasks.import.map(one, one.total)"), "rate": ref("tasks.rates.usd")},
        priority=8,
    )
    sign_off = flow.wait(
        "sign_off",
        signal="signed",
        timeout="4d",
        after=[consolidate],
        when=expr("tasks.consolidate != null"),
    )
    report = flow.task(
        "report",
        capability="close.report",
        when=expr("tasks.sign_off != null"),
        input={"month": MONTH, "total": consolidate["total"], "by": sign_off["by"]},
    )
    flow.task(
        "tell",
        capability="close.remind",
        after=[report],
        input={"whom": "everybody"},
        on_error="continue",
    )
    return flow.build(output={"report": report.output, "rates": ref("tasks.rates.source")})


def _books(flow: Workflow) -> None:
    """Lock the month, and import and reconcile what was booked in it."""
    flow.task(
        "lock",
        capability="close.lock",
        foreach=ref("input.companies"),
        input={"company": item(), "month": MONTH},
        compensate={
            "capability": "close.unlock",
            "input": {"company": item(), "month": MONTH},
            "retry": {"max_attempts": 10, "delay": "1m"},
        },
    )
    flow.task(
        "import",
        capability="close.import",
        foreach=ref("tasks.lock"),
        max_parallel=2,
        input={"company": item("company"), "month": MONTH},
        retry={
            "max_attempts": 5,
            "delay": "30s",
            "jitter": 0,
            "never": ["ledger.unknown_company"],
        },
        timeout="10m",
    )
    flow.task(
        "rates",
        capability="close.rates",
        input={"month": MONTH},
        on_error=Fallback("rates_of_last_month"),
        retry={"max_attempts": 2, "delay": "1m", "jitter": 0},
    )
    flow.task("rates_of_last_month", capability="close.last_rates", input={"month": MONTH})
    flow.task(
        "reconcile",
        capability="close.reconcile",
        foreach=ref("tasks.import"),
        input={"company": item("company"), "total": item("total")},
    )
