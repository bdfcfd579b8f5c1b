from pydantic import BaseModel

from dalsegno_agents import TaskContext
from support.cast import Cast

cast = Cast()


class Month(BaseModel):
    month: str


class Parts(BaseModel):
    stories: str
    picture: str


class Pages(BaseModel):
    pages: str


@cast.handles("letter.collect")
def collect(month: Month, context: TaskContext[str]) -> str:
    edition = "" if context.attempt == 1 else ", corrected"
    return f"stories of {month.month}{edition}"


@cast.handles("letter.paint", by=("bob",))
def paint(month: Month, context: TaskContext[str]) -> str:
    return f"a picture of {month.month}"


@cast.handles("letter.lay_out", by=("cyd",))
def lay_out(parts: Parts, context: TaskContext[str]) -> str:
    return f"{parts.stories} with {parts.picture}"


@cast.handles("letter.send")
def send(pages: Pages, context: TaskContext[str]) -> str:
    return f"sent: {pages.pages}"
