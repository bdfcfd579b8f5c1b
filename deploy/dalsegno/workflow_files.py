"""Workflow files on disk, and the example that comes with the package."""

import sys
from importlib import resources
from io import StringIO
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML

from dalsegno_bus.errors import UsageError
from dalsegno_bus.messages import Problem
from dalsegno_orchestrator.authoring import check_text
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition

FILE_BYTES_MAX: Final = 4 * 1024 * 1024
SUFFIXES: Final = (".yaml", ".yml")
EXAMPLES: Final = {"financial-report": "financial-report.yaml"}
"""Workflows that come with the package, by name."""


def looks_like_file(name: str) -> bool:
    """Whether a person who wrote this means a file and not the name of a workflow."""
    return name == "-" or name.endswith(SUFFIXES) or "/" in name or Path(name).is_file()


def read_file(path: str) -> str:
    """The text of a workflow file; `-` is stdin.

    Raises:
        UsageError: It cannot be read.
    """
    if path == "-":
        return sys.stdin.read()
    try:
        if Path(path).stat().st_size > FILE_BYTES_MAX:
            raise UsageError(f"{path!r} is larger than {FILE_BYTES_MAX} bytes: is it a workflow?")
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UsageError(f"there is no file {path!r}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path!r} is not UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise UsageError(f"cannot read {path!r}: {error.strerror}") from error


def check_file(path: str) -> tuple[WorkflowDefinition | None, list[Problem]]:
    """The definition in a file, or all that is wrong with it, in the order of its lines.

    Raises:
        UsageError: The file cannot be read.
    """
    return check_text(read_file(path), path)


def definition_in(path: str) -> dict[str, Any]:
    """The definition in a file, ready to be registered.

    Raises:
        UsageError: The file cannot be read, or has faults; all are listed.
    """
    definition, problems = check_file(path)
    if definition is None:
        listed = "\n".join(f"  {path}:{problem}" for problem in problems)
        raise UsageError(f"{path} has {counted(problems)}:\n{listed}")
    return definition.to_json()


def example(name: str) -> dict[str, Any] | None:
    """The definition of a workflow that comes with the package; None: it has no such."""
    file = EXAMPLES.get(name)
    if file is None:
        return None
    text = resources.files("dalsegno.demo").joinpath(file).read_text(encoding="utf-8")
    definition, problems = check_text(text, file)
    assert definition is not None, problems
    return definition.to_json()


def counted(problems: list[Problem]) -> str:
    """How many problems there are, in words."""
    return "1 problem" if len(problems) == 1 else f"{len(problems)} problems"


def as_yaml(definition: dict[str, Any]) -> str:
    """A definition as a file that can be registered."""
    yaml: Any = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False
    text = StringIO()
    yaml.dump(definition, text)
    return text.getvalue()
