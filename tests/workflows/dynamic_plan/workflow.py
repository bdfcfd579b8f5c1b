from dalsegno_orchestrator.authoring import Workflow, ref
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition
from dalsegno_orchestrator.workflow.grammar.policies import Dynamic, Retry


def build() -> WorkflowDefinition:
    flow = Workflow(
        "market-study",
        description="A planner decides what to look into, and a writer sums up what was found.",
        input={"type": "object", "required": ["product"]},
        budget={"tasks": 20},
    )
    research = flow.task(
        "research",
        capability="study.plan",
        input={"product": ref("input.product")},
        dynamic=Dynamic(max_tasks=6, max_depth=1),
        retry=Retry(max_attempts=2, delay=1, jitter=0),
    )
    summary = flow.task(
        "summary", capability="study.summarize", input={"findings": research["findings"]}
    )
    return flow.build(output=summary.output)
