from pydantic import BaseModel

from dalsegno_agents import TaskContext
from support.cast import Cast

cast = Cast()


class Order(BaseModel):
    order: str


class Parcel(BaseModel):
    parcel: str


class ParcelOf(Parcel):
    order: str


class Tracking(BaseModel):
    tracking: str


class Sent(Order):
    tracking: list[str]


@cast.handles("shop.charge")
def charge(order: Order, context: TaskContext[str]) -> Order:
    return order


@cast.handles("parcel.pack", by=("bob",))
def pack(parcel: Parcel, context: TaskContext[str]) -> Parcel:
    return parcel


@cast.handles("parcel.hand_over", by=("cyd",))
def hand_over(parcel: ParcelOf, context: TaskContext[str]) -> Tracking:
    return Tracking(tracking=f"{parcel.order}/{parcel.parcel}")


@cast.handles("shop.thank")
def thank(sent: Sent, context: TaskContext[str]) -> str:
    return f"thank you for {sent.order}: {' and '.join(sent.tracking)}"
