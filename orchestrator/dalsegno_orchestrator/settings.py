"""What an orchestrator is told from outside, beside how it reaches the others."""

import os
import re
import socket
from typing import Annotated

from pydantic import Field

from dalsegno_bus.settings import BusSettings


def process_name() -> str:
    """Host and process: a name for an orchestrator that was given none."""
    host = re.sub(r"[^a-zA-Z0-9-]+", "-", socket.gethostname())[:40]
    return f"{host}-{os.getpid()}"


class OrchestratorSettings(BusSettings):
    """Settings of one orchestrator process."""

    orchestrator_name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")] = Field(
        default_factory=process_name
    )
    """Tells it from others that share the partitions; host and process unless set. A process with
    the name of one that died takes over at once what that one owned."""
    lease_seconds: Annotated[int, Field(ge=1, le=60)] = 3
    """An orchestrator that was not heard of for so long loses its partitions to the others."""
    store_url: str = "sqlite:///.dalsegno/store.db"
    """The event store: `sqlite:///file.db` or `postgresql://user:word@host/name`."""
    batch_max: Annotated[int, Field(ge=1, le=10_000)] = 1_000
    """How many messages one transaction takes at most."""
    sweep_seconds: Annotated[float, Field(gt=0)] = 30.0
    """Attempts without a report for so long are published again; the server refuses those alive."""
    agent_gone_seconds: Annotated[float, Field(gt=0)] = 15.0
    """An agent without a live replica for so long loses its tasks to another, if there is one."""
