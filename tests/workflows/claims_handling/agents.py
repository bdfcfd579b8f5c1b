from pydantic import BaseModel

from dalsegno_agents import TaskContext, TaskRejected, TaskRetry
from support.cast import Cast

cast = Cast()


class Document(BaseModel):
    document: str


class Policy(BaseModel):
    policy: str


class Cover(BaseModel):
    active: bool


class Claim(BaseModel):
    claim: str


class Money(BaseModel):
    amount: float


class ClaimMoney(Claim):
    amount: float


class Suspicious(ClaimMoney):
    pages: list[str]


class Score(BaseModel):
    score: float


class Clues(Score):
    clues: list[str]


class Verdict(BaseModel):
    clean: bool


class Reserve(BaseModel):
    reserve: str


class Paid(Claim):
    paid: float


@cast.handles("claim.read_document", by=("bob",))
def read_document(wanted: Document, context: TaskContext[str]) -> str:
    if wanted.document == "blank.pdf":
        raise TaskRejected("there is nothing on it", code="document.empty")
    return f"text of {wanted.document}"


@cast.handles("claim.look_up_policy")
def look_up_policy(wanted: Policy, context: TaskContext[str]) -> Cover:
    return Cover(active=wanted.policy.startswith("P"))


@cast.handles("claim.check_fraud", by=("cyd",))
def check_fraud(claim: Suspicious, context: TaskContext[str]) -> Score:
    context.spend(usd=0.02, tokens=1_500)
    return Score(score=0.8 if len(claim.pages) < 3 else 0.1)


@cast.handles("claim.fraud_rules")
def fraud_rules(money: Money, context: TaskContext[str]) -> Score:
    return Score(score=0.9 if money.amount > 5_000 else 0.2)


@cast.handles("fraud.visit", by=("bob",))
def visit(claim: Claim, context: TaskContext[str]) -> str:
    return "the car is dented"


@cast.handles("fraud.compare_photos", by=("cyd",))
def compare_photos(claim: Claim, context: TaskContext[str]) -> str:
    return "the photos are new"


@cast.handles("fraud.verdict", by=("cyd",))
def verdict(known: Clues, context: TaskContext[str]) -> Verdict:
    return Verdict(clean=len(known.clues) == 2)


@cast.handles("claim.reserve")
def reserve(claim: ClaimMoney, context: TaskContext[str]) -> Reserve:
    return Reserve(reserve=f"{claim.amount} for {claim.claim}")


@cast.handles("claim.release")
def release(reserve: Reserve, context: TaskContext[str]) -> Reserve:
    return reserve


@cast.handles("claim.pay")
def pay(claim: ClaimMoney, context: TaskContext[str]) -> Money:
    if context.attempt == 1:
        raise TaskRetry("the bank is closed at noon", code="bank.closed")
    return Money(amount=claim.amount)


@cast.handles("claim.remind", by=("bob",))
def remind(claim: Claim, context: TaskContext[str]) -> Claim:
    return claim


@cast.handles("claim.write", by=("bob",))
def write(paid: Paid, context: TaskContext[str]) -> str:
    return f"{paid.claim}: we pay {paid.paid:g}"
