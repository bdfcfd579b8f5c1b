from typing import Any

from pydantic import BaseModel

from dalsegno_agents import Plan, TaskContext
from support.cast import Cast

cast = Cast()


class Depot(BaseModel):
    depot: str


class Roads(BaseModel):
    roads: list[str]


class Stops(Roads):
    stops: list[str]


class Leg(BaseModel):
    to: str
    by: str


class Tour(BaseModel):
    legs: list[str]
    more: list[str]


@cast.handles("route.map")
def road_map(depot: Depot, context: TaskContext[str]) -> Roads:
    return Roads(roads=[f"{depot.depot} road", "coast road"])


@cast.handles("route.plan", by=("cyd",))
def plan(wanted: Stops, context: TaskContext[str]) -> Plan:
    """One task for each stop; all legs are timed at the same time."""
    tasks: dict[str, dict[str, Any]] = {}
    for number, stop in enumerate(wanted.stops):
        by = wanted.roads[number % len(wanted.roads)]
        name = f"{context.task_id}_{stop.lower()}"
        tasks[name] = {"capability": "route.time_leg", "input": {"to": stop, "by": by}}
    return Plan(tasks=tasks, output={"legs": [f"${{ tasks.{name} }}" for name in tasks]})


@cast.handles("route.time_leg", by=("bob",))
def time_leg(leg: Leg, context: TaskContext[str]) -> str:
    return f"{leg.to} by {leg.by}, {len(leg.by)} min"


@cast.handles("route.drive")
def drive(tour: Tour, context: TaskContext[str]) -> str:
    context.progress(0.0, "on the road")
    return f"{len(tour.legs) + len(tour.more)} legs driven"
