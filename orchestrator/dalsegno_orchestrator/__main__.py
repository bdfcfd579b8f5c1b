"""`python -m dalsegno_orchestrator`: one orchestrator, told what to do by the environment."""

import sys
from argparse import ArgumentParser
from collections.abc import Sequence

from dalsegno_bus.hosting import run
from dalsegno_bus.settings import read_settings
from dalsegno_orchestrator.garbage import look_less_often
from dalsegno_orchestrator.process import run_orchestrator
from dalsegno_orchestrator.settings import OrchestratorSettings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until told to stop; 0 after that, 2 if it could not begin."""
    parser = ArgumentParser("dalsegno_orchestrator", description="One orchestrator.")
    parser.add_argument("--name", help="as DALSEGNO_ORCHESTRATOR_NAME: tells it from others")
    asked = parser.parse_args(arguments)
    look_less_often()
    return run("orchestrator", lambda: run_orchestrator(_settings(asked.name)))


def _settings(name: str | None) -> OrchestratorSettings:
    settings = read_settings(OrchestratorSettings)
    return settings if name is None else OrchestratorSettings(orchestrator_name=name)


if __name__ == "__main__":
    sys.exit(main())
