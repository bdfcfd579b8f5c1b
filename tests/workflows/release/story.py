from support.live import Live
from support.stories import Story

HASTE = {"tasks/cool_down/sleep": 0.1}
BUILT = {"artifact": "c0ffee1.tar", "seconds": 72}


def play(run: Story) -> None:
    run.start({"commit": "c0ffee1"})
    run.share("build", "region", "eu-north", seen=0)
    run.done(
        "build", BUILT, given={"name": "build c0ffee1 of release v2", "price": "costs ${amount}"}
    )
    run.reject("announce", code="chat.closed", message="the channel is closed: 'built 72 s'")
    run.signal("approval", {"name": "lena"})
    run.after("90s")
    run.done(
        "ship",
        {"version": "c0ffee1.tar to eu-north"},
        given={"artifact": "c0ffee1.tar", "to": "eu-north"},
    )
    run.ends("completed", {"shipped": "c0ffee1.tar to eu-north", "by": "lena"})


async def live(run: Live) -> None:
    await run.start({"commit": "c0ffee1"})
    await run.until("signal-awaited")
    await run.signal("approval", {"name": "lena"})
