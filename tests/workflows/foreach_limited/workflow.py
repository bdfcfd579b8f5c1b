from dalsegno_orchestrator.authoring import Workflow, expr, item, ref
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition


def build() -> WorkflowDefinition:
    flow = Workflow(
        "thumbnails",
        description="Makes a small copy of each picture of an album, two at a time.",
        input={
            "type": "object",
            "required": ["pictures"],
            "properties": {"pictures": {"type": "array"}},
        },
    )
    flow.task(
        "shrink",
        capability="picture.shrink",
        foreach=ref("input.pictures"),
        max_parallel=2,
        input={"file": item(), "number": expr("index + 1"), "width": 320},
    )
    album = flow.task(
        "album",
        capability="picture.album",
        input={"files": expr("tasks.shrink.map(one, one.file)")},
    )
    return flow.build(output=album["page"])
