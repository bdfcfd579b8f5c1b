"""The same chain in Python: a loop writes what the file spells out."""

from dalsegno_orchestrator.authoring import Workflow, ref
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition


def build() -> WorkflowDefinition:
    flow = Workflow("chain", input={"type": "object", "properties": {"start": {"type": "integer"}}})
    value = ref("input.start")
    for name in ("one", "two", "three", "four", "five"):
        value = flow.task(name, capability="demo.add", input={"value": value})["value"]
    return flow.build(output=value)
