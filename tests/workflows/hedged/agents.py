import asyncio

from pydantic import BaseModel

from dalsegno_agents import TaskContext
from support.cast import Cast

cast = Cast()


class Text(BaseModel):
    text: str


@cast.handles("text.translate", by=("ada", "bob"))
async def translate(text: Text, context: TaskContext[str]) -> str:
    if context.attempt == 1:  # whoever has it first takes very long
        await asyncio.sleep(3600)
    return text.text.upper()
