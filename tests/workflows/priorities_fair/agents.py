from pydantic import BaseModel

from dalsegno_agents import TaskContext
from support.cast import Cast

cast = Cast()


class Batch(BaseModel):
    tenant: str
    what: str


@cast.handles("invoice.store", by=("bob",))
def store(batch: Batch, context: TaskContext[str]) -> str:
    return f"{batch.what} of {batch.tenant}"
