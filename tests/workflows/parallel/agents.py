from pydantic import BaseModel

from dalsegno_agents import TaskContext
from support.cast import Cast

cast = Cast()


class Place(BaseModel):
    city: str


class Weather(BaseModel):
    rain: bool


class Traffic(BaseModel):
    minutes: int


class Both(BaseModel):
    rain: bool
    minutes: int


class Day(BaseModel):
    take: str
    leave_minutes_early: int


@cast.handles("news.weather")
def weather(place: Place, context: TaskContext[str]) -> Weather:
    return Weather(rain=place.city == "Bergen")


@cast.handles("news.traffic", by=("bob",))
def traffic(place: Place, context: TaskContext[str]) -> Traffic:
    return Traffic(minutes=5 * len(place.city))


@cast.handles("news.plan_day", by=("cyd",))
def plan_day(known: Both, context: TaskContext[str]) -> Day:
    return Day(take="umbrella" if known.rain else "hat", leave_minutes_early=known.minutes)
