from support.live import Live
from support.stories import Story

HASTE = {
    "tasks/import/retry/delay": 0.1,
    "tasks/rates/retry/delay": 0.1,
    "tasks/review/wait/escalate/0/after": 0.3,
}
INPUT = {"month": "2026-03", "companies": ["north", "south"]}
REVIEWED = {"by": "lena", "accepted": True, "note": "a rounding of the bank"}
REPORT = "2026-03: 2200.55 USD, signed by cora"


def play(run: Story) -> None:
    run.start(INPUT)
    run.fail("rates", code="rates.missing", message="the bank has not published them")
    run.done("lock-0", {"company": "north"})
    run.done("lock-1", {"company": "south"})
    run.done("import-0", {"company": "north", "total": 1200.0}, usd=0.01)
    run.fail("import-1", code="ledger.busy", message="the ledger is being backed up")
    run.after("30s")
    run.done("import-1", {"company": "south", "total": 800.5}, usd=0.01)
    run.after("30s")
    run.fail("rates", code="rates.missing", message="the bank has not published them")
    run.done("rates_of_last_month", {"usd": 1.1, "source": "last month"})

    run.done("reconcile-0", {"company": "north", "difference": 0.0})
    run.done("reconcile-1", {"company": "south", "difference": 0.5})  # somebody has to look
    run.after("1d")
    run.done("review-escalation-0", {"whom": "head of accounting"})
    run.signal("reviewed", REVIEWED)

    totals = {"totals": [1200.0, 800.5], "rate": 1.1}
    run.done("consolidate", {"total": 2200.55}, given=totals, usd=0.5, tokens=9000)
    run.signal("signed", {"by": "cora"})
    run.done("report", REPORT)
    run.done("tell", {"whom": "everybody"})
    run.ends("completed", {"report": REPORT, "rates": "last month"})


def play_cancelled(run: Story) -> None:
    run.start(INPUT)
    run.done("lock-0", {"company": "north"})
    run.done("lock-1", {"company": "south"})
    run.done("import-0", {"company": "north", "total": 1200.0})
    run.cancel("the month is not over")
    run.after("30s")  # the grace: import-1 and rates say nothing in it
    run.done("lock-1-undo", {"company": "south"}, given={"company": "south", "month": "2026-03"})
    run.done("lock-0-undo", {"company": "north"})
    run.ends("cancelled")


async def live(run: Live) -> None:
    await run.start(INPUT)
    await run.until("task-completed", "review-escalation-0")
    await run.signal("reviewed", REVIEWED)
    await run.until("signal-awaited", "sign_off")
    await run.signal("signed", {"by": "cora"})
