from pydantic import BaseModel

from dalsegno_agents import TaskContext
from support.cast import Cast

cast = Cast()

SCORES = (0.4, 0.7, 0.95)


class Draft(BaseModel):
    topic: str
    round: int
    text: str


class Scored(BaseModel):
    text: str
    score: float


class Text(BaseModel):
    text: str


@cast.handles("text.improve", by=("cyd",))
def improve(draft: Draft, context: TaskContext[str]) -> Scored:
    return Scored(text=f"{draft.text or draft.topic}.", score=SCORES[draft.round])


@cast.handles("text.publish")
def publish(final: Text, context: TaskContext[str]) -> str:
    return f"published: {final.text}"
