"""How a person writes a workflow: YAML files and Python builders."""

from dalsegno_orchestrator.authoring.python import (
    Fallback,
    TaskHandle,
    Workflow,
    expr,
    index,
    item,
    literal,
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
    "literal",
    "load_workflow",
    "ref",
]
