from pydantic import BaseModel

from dalsegno_agents import TaskContext, TaskRetry
from support.cast import Cast

cast = Cast()


class Amount(BaseModel):
    amount: int


@cast.handles("bank.withdraw")
def withdraw(wanted: Amount, context: TaskContext[str]) -> Amount:
    return wanted


@cast.handles("bank.foreign_deposit", by=("bob",))
def foreign_deposit(wanted: Amount, context: TaskContext[str]) -> Amount:
    raise TaskRetry("the other bank does not answer", code="bank.away")


@cast.handles("bank.deposit")
def deposit(wanted: Amount, context: TaskContext[str]) -> Amount:
    if context.attempt <= 2:  # until somebody opens the account again
        raise TaskRetry("the account is blocked", code="account.blocked")
    return wanted
