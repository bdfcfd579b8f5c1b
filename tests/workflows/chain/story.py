from support.stories import Story


def play(run: Story) -> None:
    run.start({"start": 37})
    for task, value in (("one", 37), ("two", 38), ("three", 39), ("four", 40), ("five", 41)):
        run.done(task, {"value": value + 1}, given={"value": value})
    run.ends("completed", 42)
