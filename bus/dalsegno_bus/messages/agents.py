"""What agents tell of themselves, and what nobody could understand."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from dalsegno_bus.messages.base import Json, Labels, Message


class CapabilityCard(Message):
    """One thing an agent can do, with the JSON Schemas of what goes in and comes out."""

    name: str
    description: str = ""
    input_schema: dict[str, Json] = Field(default_factory=dict[str, Json])
    output_schema: dict[str, Json] = Field(default_factory=dict[str, Json])
    cost_usd: float = Field(default=0.0, ge=0.0)
    """A hint: what one task costs, as the agent's author expects."""


class AgentCard(Message):
    """What an agent is; kept while no replica runs."""

    kind: Literal["agent-card.v1"] = "agent-card.v1"
    agent: str
    version: str = "0"
    description: str = ""
    capabilities: tuple[CapabilityCard, ...]
    labels: Labels = Field(default_factory=dict[str, str])
    concurrency: int = Field(default=1, ge=1)


class Presence(Message):
    """One replica is alive, and works on these attempts (`run/task/attempt`).

    It says so again and again; once it has been silent for `ttl_seconds`, it counts as gone.
    """

    kind: Literal["presence.v1"] = "presence.v1"
    agent: str
    replica: str
    started_at: datetime
    ttl_seconds: int = Field(default=10, ge=1)
    concurrency: int = Field(ge=1)
    working: tuple[str, ...] = ()
    draining: bool = False


class Drained(Message):
    """A mark beside an agent's card: nothing new is given to it until the mark is taken away."""

    kind: Literal["drained.v1"] = "drained.v1"
    agent: str
    reason: str = ""
    requested_by: str = "unknown"
    at: datetime


class DeadLetter(Message):
    """A message that nobody could use, with the reason and its first bytes."""

    kind: Literal["dead-letter.v1"] = "dead-letter.v1"
    subject: str
    reason: str
    body_base64: str
    body_bytes: int = Field(ge=0, lt=2**63)
    headers: dict[str, str]
    at: datetime
