"""`python -m dalsegno_orchestrator`: one orchestrator, told what to do by the environment."""

import asyncio
import sys
from argparse import ArgumentParser
from collections.abc import Sequence

from dalsegno_bus.errors import DalsegnoError
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
    try:
        settings = read_settings(OrchestratorSettings)
        if asked.name is not None:
            settings = OrchestratorSettings(orchestrator_name=asked.name)
        asyncio.run(run_orchestrator(settings))
    except* DalsegnoError as errors:
        error: BaseException = errors
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        sys.stderr.write(f"dalsegno orchestrator: {error}\n")
        return_code = 2
    else:
        return_code = 0
    return return_code


if __name__ == "__main__":
    sys.exit(main())
