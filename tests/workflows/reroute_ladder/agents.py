from pydantic import BaseModel

from dalsegno_agents import TaskContext, TaskRetry
from support.cast import Cast

cast = Cast()


class Page(BaseModel):
    page: str


@cast.handles("ocr.read", by=("ada", "bob"))
def read(page: Page, context: TaskContext[str]) -> str:
    raise TaskRetry(f"{context.deps} cannot make out a letter", code="ocr.unreadable")


@cast.handles("ocr.read_handwriting", by=("cyd",))
def read_handwriting(page: Page, context: TaskContext[str]) -> str:
    if context.attempt <= 3:
        raise TaskRetry("the lamp is being mended", code="ocr.dark")
    return f"{page.page}: in the year of the comet"
