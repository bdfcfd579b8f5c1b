from support.live import Live
from support.stories import Story


def play(run: Story) -> None:
    run.start({"slogan": "buy"})
    run.done("reserve", {"place": "the wall for 'buy'"})
    run.cancel("nobody wants it")
    run.reject("print", code="task.cancelled", message="cancelled")  # within its grace
    run.done("reserve-undo", "released the wall for 'buy'")
    run.ends("cancelled")


async def live(run: Live) -> None:
    await run.start({"slogan": "buy"})
    await run.until_at_work("print")
    await run.client.cancel(run.run_id, reason="nobody wants it")
