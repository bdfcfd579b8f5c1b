from dalsegno_orchestrator.authoring import Workflow, ref
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition


def build() -> WorkflowDefinition:
    tenant = ref("input.tenant")
    flow = Workflow(
        "invoice-batch",
        description="Books the invoices of a tenant; what is urgent overtakes what is not.",
        fair_by=tenant,
        input={"type": "object", "required": ["tenant"]},
    )
    for name, priority in (("archive", 1), ("monthly", None), ("urgent", 9)):
        flow.task(
            name,
            capability="invoice.store",
            priority=priority,
            input={"tenant": tenant, "what": name},
        )
    return flow.build()
