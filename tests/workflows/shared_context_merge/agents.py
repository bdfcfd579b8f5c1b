import asyncio

from pydantic import BaseModel

from dalsegno_agents import TaskContext
from support.cast import Cast

cast = Cast()


class Look(BaseModel):
    at: str


class Shift(BaseModel):
    shift: str
    leader: str


class Notes(BaseModel):
    tags: list[str]
    hours: int
    leader: str


@cast.handles("incident.look")
async def look(wanted: Look, context: TaskContext[str]) -> str:
    if wanted.at == "database":
        await asyncio.sleep(0.3)  # the network is looked at in no time
    context.share("tags", ["outage", wanted.at])
    context.share("hours", len(wanted.at))
    return f"{wanted.at} was looked at"


@cast.handles("incident.lead", by=("bob",))
async def lead(shift: Shift, context: TaskContext[str]) -> str:
    if shift.leader:
        return f"{shift.shift} follows {shift.leader}"
    if shift.shift == "night":
        await asyncio.sleep(0.3)  # gets up first
    context.share("leader", shift.shift)
    return f"{shift.shift} leads"


@cast.handles("incident.report", by=("cyd",))
def report(notes: Notes, context: TaskContext[str]) -> str:
    return f"{', '.join(notes.tags)}: {notes.hours} hours, led by {notes.leader}"
