"""The agents under chaos; each writes down what it begins and what it finishes.

So work that was done though its report had been committed shows afterwards, whatever was killed.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeAlias

from pydantic import BaseModel

from chaos.ledger import FOLDER_VARIABLE, Ledger, works_in
from dalsegno_agents import Agent, TaskContext, TaskRejected
from dalsegno_bus.clock import utc_now

WORK_SECONDS: Final = 0.02
NAP_SECONDS: Final = 0.5


class Number(BaseModel):
    """What every task takes and gives."""

    value: int


Handler: TypeAlias = Callable[[Number, TaskContext[str]], Awaitable[Number]]


async def add(number: Number, context: TaskContext[str]) -> Number:
    await asyncio.sleep(WORK_SECONDS)
    return Number(value=number.value + 1)


async def nap(number: Number, context: TaskContext[str]) -> Number:
    await asyncio.sleep(NAP_SECONDS)
    return number


async def square(number: Number, context: TaskContext[str]) -> Number:
    await asyncio.sleep(WORK_SECONDS)
    return Number(value=number.value**2)


async def stumble(number: Number, context: TaskContext[str]) -> Number:
    """For every sixth value, not done with the first attempt: so few that circuits stay closed."""
    result = await add(number, context)  # as slow: or failures would come in first, in a row
    if context.attempt == 1 and number.value % 6 == 0:
        raise ConnectionError("not yet")
    return result


async def capricious(number: Number, context: TaskContext[str]) -> Number:
    """Only one agent can, and it does not stand first."""
    if context.deps != "dan":
        raise ConnectionError("not here")
    return await add(number, context)


async def refuse(number: Number, context: TaskContext[str]) -> Number:
    raise TaskRejected("no car is left")


HANDLERS: Final[dict[str, Handler]] = {
    "add": add, "nap": nap, "square": square, "stumble": stumble, "capricious": capricious,
    "refuse": refuse, "undo": nap,
}  # fmt: skip
SKILLS: Final = {
    "ada": ("add", "nap", "square", "undo"),
    "bob": ("add", "nap", "stumble", "refuse"),
    "cyd": ("square", "stumble", "capricious", "undo"),
    "dan": ("add", "capricious", "refuse", "nap"),
}


def _agent_called(name: str) -> Agent[str]:
    agent: Agent[str] = Agent(name, deps=name, description="works under chaos", concurrency=8)
    folder = os.environ.get(FOLDER_VARIABLE)
    works = works_in(Path(folder)) if folder is not None else None
    for skill in SKILLS[name]:
        agent.handles(skill)(_recorded(HANDLERS[skill], works))
    return agent


def _recorded(handler: Handler, works: Ledger | None) -> Handler:
    def note(what: str, context: TaskContext[str]) -> None:
        if works is not None:
            works.write(
                {
                    "what": what,
                    "run": str(context.run_id),
                    "task": context.task_id,
                    "attempt": context.attempt,
                    "at": utc_now().timestamp(),
                    "by": f"{context.deps}/{os.getpid()}",
                }
            )

    async def work(number: Number, context: TaskContext[str]) -> Number:
        note("began", context)
        result = await handler(number, context)
        note("finished", context)
        return result

    return work


ada = _agent_called("ada")
bob = _agent_called("bob")
cyd = _agent_called("cyd")
dan = _agent_called("dan")
