from support.live import Live
from support.stories import Story

ANALYSIS = {"rows": 1000, "anomalies": ["ledger"]}
REPORT = {"title": "1000 rows", "odd": ["ledger"]}


def play(run: Story) -> None:
    run.start({"sources": ["bank", "ledger"]})
    run.done("gather-0", {"source": "bank", "rows": 400})
    run.done("gather-1", {"source": "ledger", "rows": 600})
    run.done("analyze", ANALYSIS)  # ada and cyd are in the EU, and ada is fast
    run.signal("approval", {"by": "lena"})
    run.done("report", REPORT)
    run.ends("completed", REPORT)


async def live(run: Live) -> None:
    await run.start({"sources": ["bank", "ledger"]})
    await run.until("signal-awaited")
    await run.signal("approval", {"by": "lena"})
