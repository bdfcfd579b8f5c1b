from pydantic import BaseModel

from dalsegno_agents import TaskContext
from support.cast import Cast

cast = Cast()


class Amount(BaseModel):
    amount: float


class Review(BaseModel):
    approved: bool


class Payment(BaseModel):
    to: str
    amount: float


class Person(BaseModel):
    to: str


@cast.handles("expense.review")
def review(claim: Amount, context: TaskContext[str]) -> Review:
    return Review(approved=claim.amount < 10_000)


@cast.handles("expense.pay")
def pay(payment: Payment, context: TaskContext[str]) -> Payment:
    return payment


@cast.handles("expense.decline")
def decline(person: Person, context: TaskContext[str]) -> Person:
    return person
