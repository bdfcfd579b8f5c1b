import asyncio

from pydantic import BaseModel

from dalsegno_agents import TaskContext
from support.cast import Cast

cast = Cast()

PULSES = (72, 75, 141)


class Reading(BaseModel):
    patient: str
    reading: int


class Pulse(BaseModel):
    pulse: int


class Limited(Pulse):
    limit: int


class Level(BaseModel):
    level: int


class Call(Level):
    whom: str
    patient: str


class Patient(BaseModel):
    patient: str


class Somebody(BaseModel):
    by: str


class Note(Patient, Pulse, Somebody):
    pass


@cast.handles("ward.read_monitor", by=("bob",))
def read_monitor(wanted: Reading, context: TaskContext[str]) -> Pulse:
    return Pulse(pulse=PULSES[wanted.reading])


@cast.handles("ward.assess", by=("ada", "cyd"))
async def assess(found: Limited, context: TaskContext[str]) -> Level:
    if context.attempt == 1:
        await asyncio.sleep(3600)  # lost in thought
    return Level(level=(found.pulse - found.limit) // 10)


@cast.handles("ward.call", by=("bob",))
def call(wanted: Call, context: TaskContext[str]) -> str:
    return f"{wanted.whom} called"


@cast.handles("ward.emergency")
def emergency(patient: Patient, context: TaskContext[str]) -> Somebody:
    return Somebody(by="the emergency team")


@cast.handles("ward.note", by=("cyd",))
def note(known: Note, context: TaskContext[str]) -> str:
    return f"{known.patient}: pulse {known.pulse}, {known.by} came"
