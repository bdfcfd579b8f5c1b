from pydantic import BaseModel

from dalsegno_agents import TaskContext
from support.cast import Cast

cast = Cast()


class Booking(BaseModel):
    what: str
    guests: int


class Invitation(BaseModel):
    guests: int
    wear: str


@cast.handles("party.book")
def book(booking: Booking, context: TaskContext[str]) -> str:
    return f"{booking.what} for {booking.guests}"


@cast.handles("party.invite", by=("bob",))
def invite(invitation: Invitation, context: TaskContext[str]) -> str:
    return f"{invitation.guests} invited, in {invitation.wear}"
