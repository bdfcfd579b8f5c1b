from support.live import Live
from support.stories import Story

HASTE = {"tasks/pay/retry/delay": 0.1, "tasks/adjuster/wait/escalate/0/after": 0.3}
INPUT = {
    "claim": "C-81",
    "policy": "P-7",
    "amount": 3100.5,
    "documents": ["report.pdf", "photo.pdf", "blank.pdf"],
    "region": "north",
}
ADJUSTED = {"amount": 2800.0, "by": "omar"}


def play(run: Story) -> None:
    run.start(INPUT)
    run.done("cover", {"active": True})
    run.done("read-0", "text of report.pdf")
    run.done("read-1", "text of photo.pdf")
    run.reject("read-2", code="document.empty", message="there is nothing on it")
    run.done("fraud", {"score": 0.8}, usd=0.02, tokens=1500)  # one page is missing: suspicious
    run.child_done("investigate", {"clean": True})
    run.done("reserve", {"reserve": "3100.5 for C-81"})
    run.after("5d")
    run.done("adjuster-escalation-0", {"claim": "C-81"})
    run.signal("adjusted", ADJUSTED)
    run.fail("pay", code="bank.closed", message="the bank is closed at noon")
    run.after("10s")
    run.done("pay", {"amount": 2800.0}, given={"claim": "C-81", "amount": 2800.0})
    run.done("letter", "C-81: we pay 2800")
    run.ends("completed", {"paid": 2800.0, "suspicion": 0.8, "letter": "C-81: we pay 2800"})


def play_small_and_clean(run: Story) -> None:
    """Nobody has to look: the money is there within the minute."""
    run.start({**INPUT, "amount": 400, "documents": ["report.pdf"]})
    run.done("cover", {"active": True})
    run.done("read-0", "text of report.pdf")
    run.fail("fraud", code="model.broken", message="the model does not load", retryable=False)
    run.done("fraud_rules", {"score": 0.2})
    run.done("reserve", {"reserve": "400 for C-81"})
    run.done("pay", {"amount": 400})
    run.done("letter", "C-81: we pay 400")
    run.ends("completed", {"paid": 400, "suspicion": 0.2, "letter": "C-81: we pay 400"})


async def live(run: Live) -> None:
    await run.start(INPUT)
    await run.until("task-completed", "adjuster-escalation-0")
    await run.signal("adjusted", ADJUSTED)
