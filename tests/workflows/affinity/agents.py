from pydantic import BaseModel

from dalsegno_agents import TaskContext
from support.cast import Cast

cast = Cast()


class Examples(BaseModel):
    examples: int


class Model(BaseModel):
    model: str


@cast.handles("ml.train", by=("ada", "bob", "cyd"))
def train(examples: Examples, context: TaskContext[str]) -> Model:
    return Model(model=f"m{examples.examples}@{context.deps}")


@cast.handles("ml.evaluate", by=("ada", "bob", "cyd"))
def evaluate(model: Model, context: TaskContext[str]) -> str:
    where = "here" if model.model.endswith(f"@{context.deps}") else "elsewhere"
    return f"{model.model} lies {where}: 97 %"
