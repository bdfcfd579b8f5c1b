from datetime import UTC, datetime

from support.live import Live
from support.stories import Story
from support.ticks import Clock


def monday(month: int, day: int, hour: int) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=UTC)


def play(run: Story) -> None:
    run.now = monday(3, 20, 12)
    clock = Clock(run)  # registering is all it takes
    clock.strikes(monday(3, 23, 5))  # six in Berlin, in winter
    clock.starts()
    run.done("count", 500, given={"shop": "north"})
    # The run takes a week; and on the 29th the clock is put forward.
    clock.strikes(monday(3, 30, 4))  # six in Berlin, in summer: waits for the run before it
    run.done("mail", "500 sold")
    run.ends("completed", "500 sold")
    clock.hears_of_the_end()
    # Nobody was there for two Mondays: the last of them is made up for.
    clock.strikes(monday(4, 13, 9))


async def live(run: Live) -> None:
    """A tick comes once in a minute at most: here a person starts the run instead."""
    await run.start({"shop": "north"})
