from support.live import Live
from support.stories import Story

QUESTION = {"question": "Was it raining?"}


def play(run: Story) -> None:
    run.start(QUESTION)
    run.done("archives", "Was it raining? In archives: yes.", usd=0.75, tokens=2000)
    run.done("papers", "Was it raining? In papers: yes.", usd=0.75, tokens=2000)
    run.signal("budget", {"usd": 2})
    run.done("report", "2 sources say yes", usd=0.1)
    run.ends("completed", "2 sources say yes")


def play_stopped(run: Story) -> None:
    run.start(QUESTION)
    run.done("archives", "Was it raining? In archives: yes.", usd=1.25, tokens=5000)
    run.signal("budget", {"stop": True})
    run.ends("failed")


async def live(run: Live) -> None:
    await run.start(QUESTION)
    await run.until("budget-exceeded")
    await run.signal("budget", {"usd": 2})
