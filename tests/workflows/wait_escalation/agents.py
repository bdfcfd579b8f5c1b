from pydantic import BaseModel

from dalsegno_agents import TaskContext
from support.cast import Cast

cast = Cast()


class Note(BaseModel):
    whom: str
    about: str


class Access(BaseModel):
    person: str
    table: str


@cast.handles("people.tell", by=("bob",))
def tell(note: Note, context: TaskContext[str]) -> Note:
    return note


@cast.handles("access.grant")
def grant(access: Access, context: TaskContext[str]) -> Access:
    return access
