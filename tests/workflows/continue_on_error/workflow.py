from dalsegno_orchestrator.authoring import Workflow, expr, item, ref
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition


def build() -> WorkflowDefinition:
    flow = Workflow(
        "news-digest",
        description="Collects what there is to read; a source that is away is left out.",
        input={"type": "object", "required": ["sources"]},
    )
    flow.task(
        "fetch",
        capability="feed.fetch",
        foreach=ref("input.sources"),
        input={"source": item()},
        retry={"max_attempts": 1},
        on_error="continue",
    )
    digest = flow.task(
        "digest",
        capability="feed.digest",
        input={"articles": expr("tasks.fetch.filter(one, one != null)")},
    )
    return flow.build(
        output={
            "digest": digest.output,
            "missing": expr("size(tasks.fetch.filter(one, one == null))"),
        }
    )
