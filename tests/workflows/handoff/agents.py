from pydantic import BaseModel

from dalsegno_agents import Handoff, TaskContext
from support.cast import Cast

cast = Cast()


class Ticket(BaseModel):
    text: str


class Invoice(BaseModel):
    invoice: str
    text: str


class Answer(BaseModel):
    answer: str


@cast.handles("support.front_desk")
def front_desk(ticket: Ticket, context: TaskContext[str]) -> str | Handoff:
    words = ticket.text.split()
    if "invoice" not in words:
        return "have you tried to switch it off and on?"
    number = words[words.index("invoice") + 1]
    known = Invoice(invoice=number, text=ticket.text)
    return Handoff(capability="support.billing", input=known, reason="it is about an invoice")


@cast.handles("support.billing", by=("bob",))
def billing(invoice: Invoice, context: TaskContext[str]) -> str:
    return f"invoice {invoice.invoice} was corrected"


@cast.handles("support.reply", by=("cyd",))
def reply(answer: Answer, context: TaskContext[str]) -> str:
    return f"Hello, {answer.answer}. Bye!"
