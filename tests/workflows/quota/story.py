from support.live import Live
from support.stories import Story

PAGES = {
    "pages": [
        {"text": "Call me Ishmael.", "tokens": 600},
        {"text": "Some years ago …", "tokens": 300},
        {"text": "never mind how long", "tokens": 400},
    ]
}
SUMMARIES = ["Call me ", "Some yea", "never mi"]
LIMIT = "quota:model-tokens"


def play(run: Story) -> None:
    run.limit(LIMIT, rate="1000/m")
    run.start(PAGES)  # 600 and 300 fit into the minute, 400 more do not
    run.done("page-0", SUMMARIES[0])
    run.done("page-1", SUMMARIES[1])
    run.pass_by("1m")
    run.free("page-2")
    run.done("page-2", SUMMARIES[2])
    run.ends("completed", SUMMARIES)


async def live(run: Live) -> None:
    await run.client.set_limit(LIMIT, rate=1000, rate_seconds=1)  # a short minute
    await run.start(PAGES)
    await run.until("task-parked", "page-2")
