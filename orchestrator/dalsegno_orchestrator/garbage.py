"""How often Python looks for circles of garbage in an orchestrator's process."""

import gc
from typing import Final

COLLECTED_AFTER: Final = (50_000, 20, 50)


def look_less_often() -> None:
    """Look for circles of garbage less often than Python does by itself.

    Runs are many, live long and hold no circles: looking for those at Python's own pace costs a
    tenth of the throughput with ten thousand runs open (measured; see `gc.set_threshold`).
    """
    gc.set_threshold(*COLLECTED_AFTER)
