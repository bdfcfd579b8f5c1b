from pydantic import BaseModel

from dalsegno_agents import TaskContext, TaskRejected
from support.cast import Cast

cast = Cast()


class Wish(BaseModel):
    what: str
    who: str


class Booking(BaseModel):
    booking: str


@cast.handles("trip.book")
def book(wish: Wish, context: TaskContext[str]) -> Booking:
    if wish.what == "car":
        raise TaskRejected("no car is left", code="car.none")
    return Booking(booking=f"{wish.what} for {wish.who}")


@cast.handles("trip.cancel", by=("bob",))
def cancel(booking: Booking, context: TaskContext[str]) -> str:
    return f"{booking.booking} cancelled"
