import pytest

from dalsegno_orchestrator.workflow.turn import Refused
from support.live import Live
from support.stories import Story

NEW = {"article": "kettle", "price": 19.5}


def play(run: Story) -> None:
    run.start(NEW)
    run.done("check", {"margin": 11.5})
    with pytest.raises(Refused, match="payload"):
        run.signal("approval", "yes")  # not what the workflow says that an approval looks like
    run.signal("approval", {"approved": True, "by": "lena"})
    run.done("publish", {**NEW, "by": "lena"})
    run.ends("completed", {"published": True, "decided_by": "lena"})


def play_too_late(run: Story) -> None:
    run.start(NEW)
    run.done("check", {"margin": 11.5})
    run.after("2d")
    run.ends("failed")


async def live(run: Live) -> None:
    await run.start(NEW)
    await run.until("signal-awaited")
    await run.is_refused(run.signal("approval", "yes"))
    await run.signal("approval", {"approved": True, "by": "lena"})
