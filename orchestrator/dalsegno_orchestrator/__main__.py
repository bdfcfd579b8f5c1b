"""`python -m dalsegno_orchestrator`: one orchestrator, told what to do by the environment."""

import asyncio
import gc
import sys
from typing import Final

from dalsegno_bus.errors import DalsegnoError
from dalsegno_bus.settings import read_settings
from dalsegno_orchestrator.service import run_orchestrator
from dalsegno_orchestrator.settings import OrchestratorSettings

COLLECTED_AFTER: Final = (50_000, 20, 50)
"""Runs are many, live long, and hold no circles: looking for those at Python's own pace costs a
tenth of the throughput with ten thousand runs open (see `gc.set_threshold`)."""


def main() -> int:
    """Run until told to stop; 0 after that, 2 if it could not begin."""
    gc.set_threshold(*COLLECTED_AFTER)
    try:
        asyncio.run(run_orchestrator(read_settings(OrchestratorSettings)))
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
