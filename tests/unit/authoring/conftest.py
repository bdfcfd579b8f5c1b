from collections.abc import Callable
from pathlib import Path
from textwrap import indent

import pytest

from dalsegno_bus.messages import Problem
from dalsegno_orchestrator.authoring import check_text

WORKFLOWS = Path(__file__).parents[2] / "workflows"


@pytest.fixture
def workflows() -> Path:
    """The folder of example workflows."""
    return WORKFLOWS


@pytest.fixture
def mistake() -> Callable[[str, str], Problem]:
    """The only problem of a workflow; see `wrapped` for what the first argument may be."""

    def mistake(wrap: str, text: str) -> Problem:
        definition, problems = check_text(wrapped(wrap, text), "flow.yaml")
        assert definition is None
        assert len(problems) == 1, problems
        return problems[0]

    return mistake


def wrapped(wrap: str, text: str) -> str:
    """The snippet as a whole file.

    `file`: it is one; `top`: further keys of a workflow, from line 3; `tasks`: its tasks, from
    line 3; `task`: further keys of the task `a`, from line 5.
    """
    match wrap:
        case "file":
            return text
        case "top":
            return f"workflow: w\ntasks: {{a: {{capability: x.y}}}}\n{text}\n"
        case "tasks":
            return f"workflow: w\ntasks:\n{indent(text, '  ')}\n"
        case _:
            return f"workflow: w\ntasks:\n  a:\n    capability: x.y\n{indent(text, '    ')}\n"
