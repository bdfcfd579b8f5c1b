from support.live import Live
from support.stories import Story

HASTE = {
    "tasks/decision/wait/escalate/0/after": 0.2,
    "tasks/decision/wait/escalate/1/after": 0.4,
}
REQUEST = {"person": "kim", "table": "salaries"}


def play(run: Story) -> None:
    run.start(REQUEST)
    run.after("4h")
    run.done("decision-escalation-0", {"whom": "deputy", "about": "salaries"})
    run.after("20h")
    run.done("decision-escalation-1", {"whom": "head", "about": "salaries"})
    run.signal("decision", {"granted": True})
    run.done("grant", REQUEST)
    run.ends("completed", {"granted": True})


async def live(run: Live) -> None:
    await run.start(REQUEST)
    await run.until("task-completed", "decision-escalation-1")
    await run.signal("decision", {"granted": True})
