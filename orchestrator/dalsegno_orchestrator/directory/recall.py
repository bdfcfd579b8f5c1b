"""What the newest of the history says of agents: read once, when an orchestrator starts."""

import logging
from typing import Final

from dalsegno_bus.errors import StoreError, Unavailable
from dalsegno_bus.logs import log
from dalsegno_orchestrator.directory.agents import Directory
from dalsegno_orchestrator.store import Store

_logger = logging.getLogger("dalsegno.orchestrator")

EVENTS_MAX: Final = 20_000
"""So many events are read back: well above what any agent's window of outcomes holds."""
CHUNK: Final = 2_000


def recall(store: Store, directory: Directory) -> None:
    """Tell the directory how attempts ended lately. Blocks.

    What cannot be read is passed over: without a memory, agents are only chosen less well.

    Raises:
        Unavailable: The store cannot be reached.
    """
    after = max(0, store.newest_position() - EVENTS_MAX)
    while True:
        try:
            found = store.follow(after=after, limit=CHUNK)
        except Unavailable:
            raise
        except StoreError as error:
            log(_logger, "warning", "history_not_recalled", after=after, reason=str(error))
            return
        if not found:
            return
        directory.recall((recorded.event, recorded.at) for recorded in found)
        after = found[-1].position
