from pydantic import BaseModel

from dalsegno_agents import TaskContext
from support.cast import Cast

cast = Cast()


class Price(BaseModel):
    article: str
    price: float


class Change(Price):
    by: str


class Checked(BaseModel):
    margin: float


@cast.handles("price.check")
def check(wanted: Price, context: TaskContext[str]) -> Checked:
    return Checked(margin=round(wanted.price - 8.0, 2))


@cast.handles("price.publish", by=("bob",))
def publish(change: Change, context: TaskContext[str]) -> Change:
    return change
