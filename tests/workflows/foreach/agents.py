from pydantic import BaseModel, RootModel

from dalsegno_agents import TaskContext
from support.cast import Cast

cast = Cast()


class Factors(BaseModel):
    left: int
    right: int
    label: str


class Product(BaseModel):
    product: int
    label: str


@cast.handles("math.multiply")
def multiply(factors: Factors, context: TaskContext[str]) -> Product:
    return Product(product=factors.left * factors.right, label=factors.label)


@cast.handles("math.sum", by=("bob",))
def add_up(numbers: RootModel[list[float]], context: TaskContext[str]) -> float:
    return sum(numbers.root)
