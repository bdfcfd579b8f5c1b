from pydantic import BaseModel

from dalsegno_agents import TaskContext, TaskRetry
from support.cast import Cast

cast = Cast()


class Article(BaseModel):
    article: str


class Forecast(BaseModel):
    pieces: int
    basis: str


class Order(Article):
    pieces: int


@cast.handles("forecast.model", by=("cyd",))
def model(article: Article, context: TaskContext[str]) -> Forecast:
    raise TaskRetry("the model does not load", code="model.broken")


@cast.handles("forecast.last_year")
def last_year(article: Article, context: TaskContext[str]) -> Forecast:
    return Forecast(pieces=120, basis="last year")


@cast.handles("forecast.order", by=("bob",))
def order(wanted: Order, context: TaskContext[str]) -> str:
    return f"{wanted.pieces} of {wanted.article}"
