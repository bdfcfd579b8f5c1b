from pydantic import BaseModel

from dalsegno_agents import TaskContext
from support.cast import Cast

cast = Cast()


class Wish(BaseModel):
    customer: str
    terms: str


class Terms(BaseModel):
    terms: str


@cast.handles("sales.offer")
async def offer(wish: Wish, context: TaskContext[str]) -> str:
    opinion = await context.ask("legal.opinion", {"terms": wish.terms}, timeout=120)
    return f"{wish.customer}: {wish.terms} ({opinion})"


@cast.handles("legal.opinion", by=("bob",))
def opinion(terms: Terms, context: TaskContext[str]) -> str:
    return "risky" if "penalty" in terms.terms else "fine"
