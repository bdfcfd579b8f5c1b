"""The nets that faults are caught with, cheapest first: commands that fail if one is in it."""

import sys
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Net:
    """A proof that is run over the code with a fault in it.

    Args:
        name: Short, for tables.
        argv: The command, run from the root of the repository.
        seconds_max: A fault may make a proof hang: then it is caught as well.
    """

    name: str
    argv: tuple[str, ...]
    seconds_max: float = 300.0


def _pytest(name: str, *paths: str) -> Net:
    plain = ("-x", "-q", "-p", "no:cacheprovider", "--no-header")
    return Net(name, (sys.executable, "-m", "pytest", *plain, *paths))


NETS: Final = (
    _pytest("rules and laws", "tests/unit/workflow/core"),
    _pytest("agents alone", "tests/unit/agents"),
    _pytest("shell", "tests/unit/orchestrator", "tests/integration/orchestrator"),
    Net("simulation", (sys.executable, "-m", "simulation", "--seeds", "400", "--first-failure")),
)
