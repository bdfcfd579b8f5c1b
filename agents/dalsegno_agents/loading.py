"""Finds the agent that a command line names, and says what there is when it is not there."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from dalsegno_agents.agent import Agent
from dalsegno_bus.errors import UsageError


def load_agent(name: str) -> Agent[Any]:
    """The agent called `MODULE:AGENT`, from a module that Python finds here or as installed.

    What the module itself raises while it is imported passes through, with its traceback.

    Raises:
        UsageError: There is no such module, or no such agent in it.
    """
    module_name, colon, attribute = name.partition(":")
    if not (module_name and colon and attribute):
        raise UsageError(f"name the agent as MODULE:AGENT, like `research:analyst`, not {name!r}")
    module = _module(module_name)
    if not hasattr(module, attribute):
        raise UsageError(f"module {module_name!r} has no {attribute!r}; {_agents_in(module)}")
    agent: object = getattr(module, attribute)
    if not isinstance(agent, Agent):
        kind = type(agent).__name__
        raise UsageError(f"{name!r} is a {kind}, not an Agent; {_agents_in(module)}")
    return cast("Agent[Any]", agent)


def _module(name: str) -> object:
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)  # as `python -m` does; a console script does not
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise UsageError(
                f"there is no module {error.name!r}, neither in {here!r} nor installed"
            ) from error
        raise UsageError(f"module {name!r} needs {error.name!r}, which is not installed") from error
    except (TypeError, ValueError) as error:  # a relative name, an empty one between two dots
        raise UsageError(f"{name!r} is no name of a module: write it as in `import`") from error


def _agents_in(module: object) -> str:
    found = sorted(key for key, value in vars(module).items() if isinstance(value, Agent))
    if not found:
        return "there is no Agent in it"
    return f"its agents are {', '.join(repr(key) for key in found)}"
