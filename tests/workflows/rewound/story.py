from support.live import Live
from support.stories import Story

WHY = "a story was wrong"


def play(run: Story) -> None:
    run.start({"month": "May"})
    run.done("stories", "stories of May")
    run.done("picture", "a picture of May")
    run.done("layout", "stories of May with a picture of May")
    run.rewind("stories", reason=WHY)  # the picture stays
    run.done("stories", "stories of May, corrected")  # attempt 2: numbers never come twice
    run.done("layout", "stories of May, corrected with a picture of May")
    run.signal("proof_read", {})
    run.done("send", "sent: stories of May, corrected with a picture of May")
    run.ends("completed", "sent: stories of May, corrected with a picture of May")


async def live(run: Live) -> None:
    await run.start({"month": "May"})
    await run.until("signal-awaited")
    await run.client.rewind(run.run_id, "stories", reason=WHY)
    await run.until("signal-awaited", count=2)
    await run.signal("proof_read", {})
