from support.live import Live
from support.stories import Story

HASTE = {"tasks/withdraw/compensate/retry/delay": 0.1}
WHY = "the account is open again"


def play(run: Story) -> None:
    run.start({"amount": 100})
    run.done("withdraw", {"amount": 100})
    run.fail("deposit", code="bank.away", message="the other bank does not answer")
    run.fail("withdraw-undo", code="account.blocked", message="the account is blocked")
    run.after("1m")
    run.fail("withdraw-undo", code="account.blocked", message="the account is blocked")
    run.ends("compensation_failed")
    run.retry(reason=WHY)
    run.done("withdraw-undo", {"amount": 100})
    run.ends("failed")


async def live(run: Live) -> None:
    await run.start({"amount": 100})
    await run.until("run-compensation-failed")
    await run.client.retry(run.run_id, reason=WHY)
