"""Who is here: cards, presences and marks, as the bucket of the agents has them."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final

from pydantic import TypeAdapter

from dalsegno.output import say
from dalsegno.session import Session
from dalsegno_bus.bus import Entry
from dalsegno_bus.codec import decode
from dalsegno_bus.errors import DecodeFailed, UsageError
from dalsegno_bus.messages import AgentCard, Drained, Presence
from dalsegno_projections.questions import AgentSummary

_CARD: Final[TypeAdapter[AgentCard]] = TypeAdapter(AgentCard)
_PRESENCE: Final[TypeAdapter[Presence]] = TypeAdapter(Presence)
_DRAINED: Final[TypeAdapter[Drained]] = TypeAdapter(Drained)
_NAMED_MAX: Final = 10


@dataclass
class Known:
    """All that is known of one agent."""

    name: str
    card: AgentCard | None = None
    replicas: dict[str, Presence] = field(default_factory=dict[str, Presence])
    """By replica."""
    drained: Drained | None = None
    """Set: nothing new is given to it."""
    record: AgentSummary | None = None

    @property
    def working(self) -> int:
        """How many attempts its replicas say they work on."""
        return sum(len(replica.working) for replica in self.replicas.values())

    @property
    def is_there(self) -> bool:
        """Whether it has shown itself, and was not forgotten."""
        return self.card is not None or bool(self.replicas)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "agent": self.name,
            "card": self.card.model_dump(mode="json") if self.card else None,
            "replicas": [replica.model_dump(mode="json") for replica in self.replicas.values()],
            "drained": self.drained.model_dump(mode="json") if self.drained else None,
            "record": self.record.model_dump(mode="json") if self.record else None,
        }


def drained_key(agent: str) -> str:
    """Where the mark of a drained agent lies."""
    return f"drained.{agent}"


def hear(known: dict[str, Known], entry: Entry) -> None:
    """Take in one entry of the bucket.

    Raises:
        DecodeFailed: It is none of ours.
    """
    kind, _, rest = entry.key.partition(".")
    name, _, replica = rest.partition(".")
    value = entry.value
    agent = known.setdefault(name, Known(name))
    match kind:
        case "card":
            agent.card = None if value is None else decode(_CARD, value)
        case "drained":
            agent.drained = None if value is None else decode(_DRAINED, value)
        case "live":
            if value is None:
                agent.replicas.pop(replica, None)
            else:
                agent.replicas[replica] = decode(_PRESENCE, value)
        case _:
            pass


@asynccontextmanager
async def presences(here: Session) -> AsyncGenerator[AsyncGenerator[dict[str, Known], None]]:
    """All agents as they stand now, and again after each change: the same mapping each time."""
    async with here.bus.bucket(here.subjects.agents_bucket).watch() as entries:

        async def told() -> AsyncGenerator[dict[str, Known], None]:
            known: dict[str, Known] = {}
            is_whole = False
            async for entry in entries:
                if entry is None:
                    is_whole = True
                else:
                    try:
                        hear(known, entry)
                    except DecodeFailed as error:
                        say(f"{entry.key} is not understood: {error}")
                if is_whole:
                    yield known

        yield told()


async def present(here: Session) -> dict[str, Known]:
    """All agents that have shown themselves, as they stand now."""
    async with presences(here) as told:
        async for known in told:
            return {name: agent for name, agent in known.items() if agent.is_there}
    raise AssertionError("a bucket tells how it stands, and then goes on")


def agent_called(name: str, known: Iterable[str]) -> str:
    """The name, if there is such an agent.

    Raises:
        UsageError: There is none; suggests one.
    """
    names = sorted(known)
    if name in names:
        return name
    near = get_close_matches(name, names, n=1)
    if near:
        raise UsageError(f"there is no agent {name!r}; did you mean {near[0]!r}?")
    listed = ", ".join(names[:_NAMED_MAX]) or "none"
    raise UsageError(f"there is no agent {name!r}; there are: {listed}")
