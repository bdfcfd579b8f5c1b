from pydantic import BaseModel

from dalsegno_agents import TaskContext
from support.cast import Cast

cast = Cast()


class Shop(BaseModel):
    shop: str


class Sold(BaseModel):
    sold: int


@cast.handles("sales.count")
def count(shop: Shop, context: TaskContext[str]) -> int:
    return 100 * len(shop.shop)


@cast.handles("sales.mail", by=("bob",))
def mail(sold: Sold, context: TaskContext[str]) -> str:
    return f"{sold.sold} sold"
