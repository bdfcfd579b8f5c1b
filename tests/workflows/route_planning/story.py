from typing import Any

from support.live import Live
from support.stories import Story

INPUT = {"depot": "harbour", "stops": ["Ash", "Bow"]}
STOP: dict[str, Any] = {
    "add": {
        "fuel": {
            "capability": "route.time_leg",
            "after": ["depart"],
            "input": {"to": "the pump", "by": "harbour road"},
        }
    },
    "reason": "the tank is empty",
}


def legs(owner: str, *legs: tuple[str, str]) -> dict[str, Any]:
    """What a planner returns."""
    tasks = {
        f"{owner}_{to.lower()}": {"capability": "route.time_leg", "input": {"to": to, "by": by}}
        for to, by in legs
    }
    return {"tasks": tasks, "output": {"legs": [f"${{ tasks.{name} }}" for name in tasks]}}


def play(run: Story) -> None:
    run.start(INPUT)
    run.done("map", {"roads": ["harbour road", "coast road"]})
    run.done("tour", legs("tour", ("Ash", "harbour road"), ("Bow", "coast road")))
    run.done("tour_ash", "Ash by harbour road, 12 min")
    run.done("tour_bow", "Bow by coast road, 10 min")
    run.replan(**STOP)
    run.signal("roads", {"closed": ["Bow"]})
    run.done("detour", legs("detour", ("Bow", "the long way round")))
    run.done("fuel", "the pump by harbour road, 12 min")
    run.done("detour_bow", "Bow by the long way round, 18 min")
    run.progress("drive", 0.0, "on the road")
    run.done("drive", "3 legs driven")
    run.ends("completed", "3 legs driven")


async def live(run: Live) -> None:
    await run.start(INPUT)
    await run.until("signal-awaited")
    await run.client.replan(run.run_id, **STOP)
    await run.signal("roads", {"closed": ["Bow"]})
