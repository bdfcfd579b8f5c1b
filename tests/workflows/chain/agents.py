from pydantic import BaseModel

from dalsegno_agents import TaskContext
from support.cast import Cast

cast = Cast()


class Number(BaseModel):
    value: int


@cast.handles("demo.add")
def add(number: Number, context: TaskContext[str]) -> Number:
    return Number(value=number.value + 1)
