from pydantic import BaseModel

from dalsegno_agents import TaskContext, TaskRetry
from support.cast import Cast

cast = Cast()


class Card(BaseModel):
    to: str


class Written(Card):
    text: str


@cast.handles("card.write")
def write(card: Card, context: TaskContext[str]) -> str:
    match context.attempt:
        case 1:
            raise TaskRetry("others are being served", code="model.busy")
        case 2:
            raise TaskRetry("please come back later", code="model.busy", after_seconds=0.7)
        case 3:
            raise TaskRetry("the connection was cut", code="net.reset")
        case _:
            return f"Dear {card.to}"


@cast.handles("card.post", by=("bob",))
def post(card: Written, context: TaskContext[str]) -> str:
    raise TaskRetry(f"{card.to} has moved", code="address.unknown")  # no attempt would help
