"""Files that say how to change the plan of a run: `add`, `drop`, `change`, `plan_version`."""

from difflib import get_close_matches
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dalsegno.workflow_files import read_file
from dalsegno_bus.codec import readable
from dalsegno_bus.errors import UsageError
from dalsegno_bus.messages import Json
from dalsegno_orchestrator.authoring.yaml_file import load_workflow

_EXAMPLE: Final = "begin with `add:`, `drop:` or `change:`"

_NO_MAPPING: Final = "a workflow is a mapping"
"""How the reader of YAML files, which knows of workflows only, says that the file is no mapping."""


class Change(BaseModel):
    """What shall be different in a plan."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    add: dict[str, dict[str, Json]] = Field(default_factory=dict[str, dict[str, Any]])
    """New tasks by name, as a workflow file has them."""
    drop: tuple[str, ...] = ()
    change: dict[str, dict[str, Json]] = Field(default_factory=dict[str, dict[str, Any]])
    """Tasks by name, each with its new definition as a whole."""
    plan_version: int | None = Field(default=None, ge=1)
    """The plan that this is a change of; None: whatever it is now."""


def read_change(path: str) -> Change:
    """The change in a YAML file; `-` is stdin.

    Raises:
        UsageError: It cannot be read, is no YAML, has unknown keys, or changes nothing.
    """
    loaded = load_workflow(read_file(path), name=path)
    if any(problem.message.startswith(_NO_MAPPING) for problem in loaded.problems):
        raise UsageError(f"{path} is no change, which is a mapping: {_EXAMPLE}")
    if loaded.problems:
        raise UsageError("; ".join(loaded.describe(problem) for problem in loaded.problems))
    for key in loaded.document:
        if key not in Change.model_fields:
            near = get_close_matches(key, Change.model_fields, n=1)
            known = f"did you mean {near[0]!r}?" if near else _EXAMPLE
            line, column = loaded.places.get(key, (1, 1))
            raise UsageError(f"{path}:{line}:{column}: a change has no key {key!r}; {known}")
    drop = loaded.document.get("drop", [])
    if not isinstance(drop, list):
        line, column = loaded.places.get("drop", (1, 1))
        raise UsageError(f"{path}:{line}:{column}: drop: it must be a list of names: [letter]")
    try:
        change = Change.model_validate(loaded.document)
    except ValidationError as error:
        raise UsageError(f"{path}: {readable(error)}") from error
    if not (change.add or change.drop or change.change):
        raise UsageError(f"{path} changes nothing: {_EXAMPLE}")
    return change
