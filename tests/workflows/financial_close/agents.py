from pydantic import BaseModel

from dalsegno_agents import TaskContext, TaskRetry
from support.cast import Cast

cast = Cast()

BOOKED = {"north": 1200.0, "south": 800.5, "west": 310.25}


class Month(BaseModel):
    month: str


class CompanyMonth(Month):
    company: str


class Company(BaseModel):
    company: str


class Booked(Company):
    total: float


class Reconciled(Company):
    difference: float


class Rates(BaseModel):
    usd: float
    source: str


class Totals(BaseModel):
    totals: list[float]
    rate: float


class Group(BaseModel):
    total: float


class Signed(Month):
    total: float
    by: str


class Whom(BaseModel):
    whom: str


@cast.handles("close.lock")
def lock(wanted: CompanyMonth, context: TaskContext[str]) -> Company:
    return Company(company=wanted.company)


@cast.handles("close.unlock")
def unlock(wanted: CompanyMonth, context: TaskContext[str]) -> Company:
    return Company(company=wanted.company)


@cast.handles("close.import", by=("bob",))
def import_books(wanted: CompanyMonth, context: TaskContext[str]) -> Booked:
    if wanted.company == "south" and context.attempt == 1:
        raise TaskRetry("the ledger is being backed up", code="ledger.busy")
    context.spend(usd=0.01)
    return Booked(company=wanted.company, total=BOOKED[wanted.company])


@cast.handles("close.rates", by=("cyd",))
def rates(month: Month, context: TaskContext[str]) -> Rates:
    raise TaskRetry("the bank has not published them", code="rates.missing")


@cast.handles("close.last_rates", by=("cyd",))
def last_rates(month: Month, context: TaskContext[str]) -> Rates:
    return Rates(usd=1.1, source="last month")


@cast.handles("close.reconcile")
def reconcile(booked: Booked, context: TaskContext[str]) -> Reconciled:
    return Reconciled(company=booked.company, difference=booked.total % 1)


@cast.handles("close.consolidate", by=("cyd",))
def consolidate(totals: Totals, context: TaskContext[str]) -> Group:
    context.spend(usd=0.5, tokens=9_000)
    return Group(total=round(sum(totals.totals) * totals.rate, 2))


@cast.handles("close.report")
def report(signed: Signed, context: TaskContext[str]) -> str:
    return f"{signed.month}: {signed.total} USD, signed by {signed.by}"


@cast.handles("close.remind", by=("bob",))
def remind(whom: Whom, context: TaskContext[str]) -> Whom:
    return whom
