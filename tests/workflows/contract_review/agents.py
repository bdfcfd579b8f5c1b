from pydantic import BaseModel

from dalsegno_agents import TaskContext
from support.cast import Cast

cast = Cast()


class Clause(BaseModel):
    clause: str


class Text(BaseModel):
    text: str


class Finding(BaseModel):
    risk: int


class Findings(BaseModel):
    findings: list[Finding]


class Risks(BaseModel):
    worth_it: bool
    opinion: str


class Question(BaseModel):
    risk: int


class Offer(BaseModel):
    round: int
    price: int
    limit: int


class Price(BaseModel):
    price: int


class Asked(Price):
    asked: int


class Answer(Price):
    agreed: bool


class Contract(BaseModel):
    contract: str


class Signed(Contract, Price):
    by: str


@cast.handles("contract.redact", by=("ada", "bob"))
def redact(clause: Clause, context: TaskContext[str]) -> Text:
    return Text(text=clause.clause.replace("ACME", "[party]"))


@cast.handles("contract.review", by=("cyd",))
def review(clause: Clause, context: TaskContext[str]) -> Finding:
    context.spend(usd=0.03, tokens=2_000)
    return Finding(risk=3 if "penalty" in clause.clause else 1)


@cast.handles("contract.weigh", by=("cyd",))
async def weigh(known: Findings, context: TaskContext[str]) -> Risks:
    worst = max(finding.risk for finding in known.findings)
    opinion = await context.ask("contract.opinion", Question(risk=worst), timeout=120)
    return Risks(worth_it=opinion != "no", opinion=str(opinion))


@cast.handles("contract.opinion", by=("bob",))
def opinion(question: Question, context: TaskContext[str]) -> str:
    return "yes, if it is cheap" if question.risk < 5 else "no"


@cast.handles("deal.offer")
def offer(wanted: Offer, context: TaskContext[str]) -> Price:
    return Price(price=min(wanted.limit, wanted.price - 100 // wanted.round))


@cast.handles("deal.answer", by=("bob",))
def answer(offered: Asked, context: TaskContext[str]) -> Answer:
    if offered.asked - offered.price <= 50:
        return Answer(price=offered.price, agreed=True)
    return Answer(price=offered.asked - 20, agreed=False)


@cast.handles("contract.hand_to_lawyers")
def hand_to_lawyers(contract: Contract, context: TaskContext[str]) -> Answer:
    return Answer(price=0, agreed=False)


@cast.handles("contract.archive")
def archive(signed: Signed, context: TaskContext[str]) -> str:
    return f"{signed.contract} for {signed.price}, signed by {signed.by}"
