from support.live import Live
from support.stories import Story

INPUT = {
    "contract": "K-12",
    "clauses": ["ACME delivers", "ACME pays a penalty"],
    "price": 1000,
    "limit": 950,
}


def play(run: Story) -> None:
    run.start(INPUT)
    run.done("redact-0", {"text": "[party] delivers"})
    run.done("redact-1", {"text": "[party] pays a penalty"})
    run.done("review-0", {"risk": 1}, given={"clause": "[party] delivers"}, usd=0.03, tokens=2000)
    run.done("review-1", {"risk": 3}, usd=0.03, tokens=2000)
    question = run.ask("risks", "contract.opinion", {"risk": 3}, timeout="2m")
    run.done(question, "yes, if it is cheap")
    run.done("risks", {"worth_it": True, "opinion": "yes, if it is cheap"})
    run.child_done("negotiate-0", {"price": 980, "agreed": False})
    # The second round begins at what they asked for in the first: 980.
    run.child_done("negotiate-1", {"price": 930, "agreed": True})
    run.signal("signed", {"by": "lena"})
    run.done("archive", "K-12 for 930, signed by lena")
    run.ends("completed", "K-12 for 930, signed by lena")


def play_no_deal(run: Story) -> None:
    run.start({**INPUT, "clauses": ["ACME delivers"]})
    run.done("redact-0", {"text": "[party] delivers"})
    run.done("review-0", {"risk": 1})
    run.done("risks", {"worth_it": True, "opinion": "yes"})
    for number, price in enumerate((980, 975, 970, 965)):
        run.child_done(f"negotiate-{number}", {"price": price, "agreed": False})
    run.done("lawyers", {"price": 0, "agreed": False})  # four rounds are all there are
    run.ends("completed")


async def live(run: Live) -> None:
    await run.start(INPUT)
    await run.until("signal-awaited")
    await run.signal("signed", {"by": "lena"})
