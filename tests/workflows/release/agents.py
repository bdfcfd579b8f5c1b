from pydantic import BaseModel

from dalsegno_agents import TaskContext, TaskRejected
from support.cast import Cast

cast = Cast()


class Order(BaseModel):
    name: str
    price: str


class Built(BaseModel):
    artifact: str
    seconds: int


class Post(BaseModel):
    text: str


class Shipment(BaseModel):
    artifact: str
    to: str


class Shipped(BaseModel):
    version: str


@cast.handles("ci.build", by=("ada", "bob"))
def build(order: Order, context: TaskContext[str]) -> Built:
    context.share("region", "eu-north")
    return Built(artifact=f"{order.name.split()[1]}.tar", seconds=72)


@cast.handles("chat.post", by=("cyd",))
def post(message: Post, context: TaskContext[str]) -> None:
    raise TaskRejected(f"the channel is closed: {message.text!r}", code="chat.closed")


@cast.handles("ci.ship", by=("cyd",))
def ship(shipment: Shipment, context: TaskContext[str]) -> Shipped:
    return Shipped(version=f"{shipment.artifact} to {shipment.to}")
