from dalsegno_orchestrator.authoring import Fallback, Workflow, expr, item, ref
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition
from dalsegno_orchestrator.workflow.grammar.policies import Retry


def build() -> WorkflowDefinition:
    flow = Workflow(
        "financial-report",
        version=3,
        input={"type": "object", "required": ("sources",)},
        deadline="30m",
    )
    gather = flow.task(
        "gather",
        capability="finance.gather",
        input={"source": item()},
        foreach=ref("input.sources"),
        max_parallel=4,
        retry=Retry(max_attempts=4, max_delay=30),
        timeout="2m",
        queue_timeout=600,
    )
    analyze = flow.task(
        "analyze",
        capability="finance.analyze",
        input={"tables": gather.output},
        requires={"region": "eu"},
        prefer={"tier": "fast"},
    )
    approve = flow.wait(
        "approve",
        signal="approval",
        timeout="2d",
        when=expr("size(tasks.analyze.anomalies) > 0"),
    )
    report = flow.task(
        "report",
        capability="finance.report",
        after=[approve],
        input={"analysis": analyze.output},
        on_error=Fallback("plain_report"),
    )
    flow.task("plain_report", capability="finance.plain_report", input={"analysis": analyze.output})
    return flow.build(output=report.output)
