import asyncio

from pydantic import BaseModel

from dalsegno_agents import TaskContext
from support.cast import Cast

cast = Cast()


class Slogan(BaseModel):
    slogan: str


class Place(BaseModel):
    place: str


@cast.handles("ads.reserve")
def reserve(slogan: Slogan, context: TaskContext[str]) -> Place:
    return Place(place=f"the wall for {slogan.slogan!r}")


@cast.handles("ads.print", by=("bob",))
async def print_posters(place: Place, context: TaskContext[str]) -> None:
    """Takes an hour, unless it is told to stop."""
    try:
        await asyncio.sleep(3600)
    finally:
        context.log.info("press.stopped")  # within its grace, an agent puts things in order


@cast.handles("ads.release")
def release(place: Place, context: TaskContext[str]) -> str:
    return f"released {place.place}"
