from pydantic import BaseModel

from dalsegno_agents import TaskContext
from support.cast import Cast

cast = Cast()


class Search(BaseModel):
    question: str
    where: str


class Found(BaseModel):
    found: list[str]


@cast.handles("research.read", by=("cyd",))
def read(search: Search, context: TaskContext[str]) -> str:
    context.spend(usd=0.75, tokens=2_000)
    return f"{search.question} In {search.where}: yes."


@cast.handles("research.report")
def report(found: Found, context: TaskContext[str]) -> str:
    context.spend(usd=0.1)
    return f"{len(found.found)} sources say yes"
