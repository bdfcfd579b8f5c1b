from pydantic import BaseModel

from dalsegno_agents import TaskContext
from support.cast import Cast

cast = Cast()


class Page(BaseModel):
    text: str


@cast.handles("book.summarize", by=("cyd",))
def summarize(page: Page, context: TaskContext[str]) -> str:
    return page.text[:8]
