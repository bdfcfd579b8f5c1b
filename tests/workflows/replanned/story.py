from typing import Any

from support.live import Live
from support.stories import Story

CHANGES: dict[str, Any] = {
    "add": {
        "tents": {
            "capability": "party.book",
            "after": ["confirm"],
            "input": {"what": "tents", "guests": "${ input.guests }"},
        }
    },
    "drop": ["lights"],
    "change": {
        "invite": {
            "capability": "party.invite",
            "after": ["tents"],
            "input": {"guests": "${ input.guests }", "wear": "boots"},
        }
    },
    "reason": "the venue is a meadow",
}


def play(run: Story) -> None:
    run.start({"guests": 40})
    run.done("venue", "hall for 40")
    run.replan(**CHANGES)
    run.signal("confirmed", {})
    run.done("tents", "tents for 40")
    run.done("invite", "40 invited, in boots", given={"guests": 40, "wear": "boots"})
    run.ends("completed")


async def live(run: Live) -> None:
    await run.start({"guests": 40})
    await run.until("signal-awaited")
    await run.client.replan(run.run_id, **CHANGES)
    await run.signal("confirmed", {})
