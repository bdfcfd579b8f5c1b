"""`python -m dalsegno_projections`: one projections process, told what to do by the environment."""

import asyncio
import gc
import sys
from typing import Final

from dalsegno_bus.errors import DalsegnoError
from dalsegno_bus.settings import read_settings
from dalsegno_projections.service import run_projections
from dalsegno_projections.settings import ProjectionSettings

ALLOCATIONS_MAX: Final = 20_000
"""How many objects are made before the collector looks for cycles: a batch makes that many rows,
and none of them is in a cycle (folding is a tenth faster for it)."""


def main() -> int:
    """Run until told to stop; 0 after that, 2 if it could not begin."""
    gc.set_threshold(ALLOCATIONS_MAX, 50, 100)
    try:
        asyncio.run(run_projections(read_settings(ProjectionSettings)))
    except* DalsegnoError as errors:
        error: BaseException = errors
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        sys.stderr.write(f"dalsegno projections: {error}\n")
        return_code = 2
    else:
        return_code = 0
    return return_code


if __name__ == "__main__":
    sys.exit(main())
