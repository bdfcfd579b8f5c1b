"""Drains an agent: nothing new is given to it, it finishes what it has, and leaves."""

import asyncio
from collections.abc import Callable
from typing import Final

from dalsegno.presence import Known, agent_called, drained_key, presences, present
from dalsegno.session import Session
from dalsegno_bus.bus import Outgoing
from dalsegno_bus.clock import utc_now
from dalsegno_bus.codec import encode
from dalsegno_bus.messages import DrainAgent, Drained

TELL_SECONDS: Final = 5.0
"""How often replicas are told again while somebody waits: what is told live may be missed."""


async def drain(here: Session, name: str, *, reason: str, requested_by: str) -> Known:
    """Mark an agent as drained, and tell its replicas. The mark stays until it is taken away.

    Raises:
        UsageError: There is no such agent; suggests one.
    """
    agents = await present(here)
    agent = agents[agent_called(name, agents)]
    mark = Drained(agent=name, reason=reason, requested_by=requested_by, at=utc_now())
    await here.bus.bucket(here.subjects.agents_bucket).put(drained_key(name), encode(mark))
    await _tell(here, mark)
    agent.drained = mark
    return agent


async def undrain(here: Session, name: str) -> Known | None:
    """Take the mark away; None: there was none. Replicas that have left do not come back by it.

    Raises:
        UsageError: There is no such agent; suggests one.
    """
    agents = await present(here)
    agent = agents[agent_called(name, agents)]
    if agent.drained is None:
        return None
    await here.bus.bucket(here.subjects.agents_bucket).delete(drained_key(name))
    return agent


async def until_left(here: Session, agent: Known, tell: Callable[[Known], None]) -> None:
    """Wait until no replica of a drained agent is left; tells each time that less is left."""
    mark = agent.drained
    assert mark is not None
    async with asyncio.TaskGroup() as group:
        telling = group.create_task(_tell_again(here, mark))
        left: tuple[int, int] | None = None
        async with presences(here) as told:
            async for known in told:
                now = known.get(agent.name) or Known(agent.name)
                if not now.replicas:
                    break
                if (len(now.replicas), now.working) != left:
                    left = (len(now.replicas), now.working)
                    tell(now)
        telling.cancel()


async def _tell_again(here: Session, mark: Drained) -> None:
    while True:
        await asyncio.sleep(TELL_SECONDS)
        await _tell(here, mark)


async def _tell(here: Session, mark: Drained) -> None:
    message = DrainAgent(agent=mark.agent, reason=mark.reason, requested_by=mark.requested_by)
    await here.bus.tell(Outgoing(here.subjects.control(mark.agent), encode(message)))
