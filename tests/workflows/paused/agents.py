from pydantic import BaseModel

from dalsegno_agents import TaskContext
from support.cast import Cast

cast = Cast()


class Step(BaseModel):
    change: str
    region: str


@cast.handles("rollout.apply", by=("cyd",))
def apply(step: Step, context: TaskContext[str]) -> str:
    return f"{step.change} in {step.region}"
