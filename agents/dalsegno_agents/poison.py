"""Attempts that end whatever process works on them: counted outside of it.

How often something was delivered does not tell how often it was begun: messages are handed back by
replicas that stop or are full. So from the third delivery on, each beginning is noted in a bucket,
and only what was really begun too often is given up. All others cost nothing.
"""

import logging
from typing import Final

from dalsegno_agents.answers import AttemptKey
from dalsegno_bus.bus import Bucket
from dalsegno_bus.errors import BusError, Unavailable
from dalsegno_bus.logs import log

BEGUN_MAX: Final = 5
"""An attempt that was begun so often, and came again without a report, is poison."""
UNNOTED: Final = 2
"""Deliveries before the first note; each of them counts as begun."""
NOTE_SECONDS: Final = 24 * 3600

_logger = logging.getLogger("dalsegno.agent")


class Suspects:
    """Notes how often attempts were begun.

    Args:
        bucket: Shared by all replicas.
    """

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    async def may_begin(self, key: AttemptKey, *, deliveries: int) -> bool:
        """Whether to begin an attempt that was delivered for the `deliveries`th time.

        Without an answer from the servers it is begun: better once more than not at all.
        """
        if deliveries <= UNNOTED:
            return True
        run_id, task_id, attempt = key
        name = f"begun.{run_id}.{task_id}.{attempt}"
        try:
            note = await self._bucket.get(name)
            begun = int(note.value) if note is not None and note.value is not None else 0
            if deliveries > BEGUN_MAX and UNNOTED + begun >= BEGUN_MAX:
                return False
            await self._bucket.put(name, b"%d" % (begun + 1), ttl_seconds=NOTE_SECONDS)
        except (BusError, Unavailable) as error:
            log(_logger, "warning", "agent.beginning_not_noted", reason=str(error))
        return True
