"""`python -m dalsegno_projections`: one projections process, told what to do by the environment."""

import gc
import sys
from typing import Final

from dalsegno_bus.hosting import run
from dalsegno_bus.settings import read_settings
from dalsegno_projections.process import run_projections
from dalsegno_projections.settings import ProjectionSettings

ALLOCATIONS_MAX: Final = 20_000
"""How many objects are made before the collector looks for cycles: a batch makes that many rows,
and none of them is in a cycle (folding is a tenth faster for it)."""


def main() -> int:
    """Run until told to stop; 0 after that, 2 if it could not begin."""
    gc.set_threshold(ALLOCATIONS_MAX, 50, 100)
    return run("projections", lambda: run_projections(read_settings(ProjectionSettings)))


if __name__ == "__main__":
    sys.exit(main())
