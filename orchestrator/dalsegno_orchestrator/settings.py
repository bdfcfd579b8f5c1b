"""What an orchestrator is told from outside, beside how it reaches the others."""

from typing import Annotated

from pydantic import Field

from dalsegno_bus.settings import BusSettings


class OrchestratorSettings(BusSettings):
    """Settings of one orchestrator process."""

    store_url: str = "sqlite:///.dalsegno/store.db"
    """The event store: `sqlite:///file.db` or `postgresql://user:word@host/name`."""
    batch_max: Annotated[int, Field(ge=1, le=10_000)] = 1_000
    """How many messages one transaction takes at most."""
    sweep_seconds: Annotated[float, Field(gt=0)] = 30.0
    """Attempts without a report for so long are published again; the server refuses those alive."""
    agent_gone_seconds: Annotated[float, Field(gt=0)] = 15.0
    """An agent without a live replica for so long loses its tasks to another, if there is one."""
