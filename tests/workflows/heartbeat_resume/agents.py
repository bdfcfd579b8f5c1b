import asyncio

from pydantic import BaseModel

from dalsegno_agents import TaskContext
from support.cast import Cast

cast = Cast()


class Corpus(BaseModel):
    documents: int


@cast.handles("search.index", by=("ada", "bob"))
async def index(corpus: Corpus, context: TaskContext[str]) -> str:
    begin = 0 if context.last_progress is None else context.last_progress.state["done"]
    half = corpus.documents // 2
    if begin < half:
        context.progress(0.5, "half of them", state={"done": half})
        await asyncio.sleep(3600)  # hangs, and says nothing any more
    return f"{corpus.documents} documents, {corpus.documents - begin} of them by the last attempt"
