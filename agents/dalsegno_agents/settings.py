"""What a process that runs an agent is told from outside, beside what every process is told."""

from typing import Annotated

from pydantic import Field

from dalsegno_agents.answers import ANSWERS_MAX
from dalsegno_bus.settings import BusSettings
from dalsegno_bus.topology import ACK_WAIT_SECONDS


class AgentSettings(BusSettings):
    """How a replica works."""

    concurrency: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """How many attempts it works on at a time; None: as the agent says."""
    drain_seconds: Annotated[float, Field(ge=0.0)] = 25.0
    """How long attempts in hand may still work once it is told to stop."""
    ack_wait_seconds: Annotated[float, Field(ge=0.1)] = ACK_WAIT_SECONDS
    """How long a silent replica keeps an attempt; the same for all replicas of an agent."""
    presence_seconds: Annotated[float, Field(gt=0.0, le=600.0)] = 3.0
    """How often a replica says that it lives; after three and a third silent ones it is gone."""
    answers_max: Annotated[int, Field(ge=1)] = ANSWERS_MAX
    """How many of its own answers it remembers, to repeat one and not the work."""
