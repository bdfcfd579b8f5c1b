from pydantic import BaseModel

from dalsegno_agents import TaskContext, TaskRetry
from support.cast import Cast

cast = Cast()


class Source(BaseModel):
    source: str


class Articles(BaseModel):
    articles: list[str]


@cast.handles("feed.fetch")
def fetch(source: Source, context: TaskContext[str]) -> str:
    if source.source == "gazette":
        raise TaskRetry(f"{source.source} does not answer", code="feed.away")
    return f"news of {source.source}"


@cast.handles("feed.digest", by=("bob",))
def digest(articles: Articles, context: TaskContext[str]) -> str:
    return ", ".join(articles.articles)
