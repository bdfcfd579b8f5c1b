"""How a person writes a workflow: YAML files and Python builders."""

from dalsegno_orchestrator.authoring.python import (
    Fallback,
    TaskHandle,
    Workflow,
    expr,
    index,
    item,
    iteration,
    literal,
    previous,
    ref,
)
from dalsegno_orchestrator.authoring.yaml_file import Loaded, check_text, load_workflow

__all__ = [
    "Fallback",
    "Loaded",
    "TaskHandle",
    "Workflow",
    "check_text",
    "expr",
    "index",
    "item",
    "iteration",
    "literal",
    "load_workflow",
    "previous",
    "ref",
]
