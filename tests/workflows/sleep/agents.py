from pydantic import BaseModel

from dalsegno_agents import TaskContext
from support.cast import Cast

cast = Cast()


class Invoice(BaseModel):
    invoice: str


class Paid(BaseModel):
    paid: bool


@cast.handles("billing.send")
def send(invoice: Invoice, context: TaskContext[str]) -> Invoice:
    return invoice


@cast.handles("billing.is_paid", by=("bob",))
def is_paid(invoice: Invoice, context: TaskContext[str]) -> Paid:
    return Paid(paid=invoice.invoice.endswith("-paid"))


@cast.handles("billing.remind")
def remind(invoice: Invoice, context: TaskContext[str]) -> Invoice:
    return invoice
