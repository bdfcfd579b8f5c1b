from support.live import Live
from support.stories import Story

HASTE = {"tasks/rest/sleep": 4}
WHY = "the mayor visits"


def play(run: Story) -> None:
    run.start({"change": "c7"})
    run.done("north", "c7 in north")
    run.pass_by("30m")
    run.pause(WHY)
    run.pass_by("5h")  # the hour is long over, and nothing happens
    run.resume()
    run.after("30m")  # what was left of it
    run.done("south", "c7 in south")
    run.ends("completed")


async def live(run: Live) -> None:
    await run.start({"change": "c7"})
    await run.until("timer-set")
    await run.client.pause(run.run_id, reason=WHY)
    await run.client.resume(run.run_id)
