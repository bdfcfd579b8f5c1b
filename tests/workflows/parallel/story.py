from support.stories import Story


def play(run: Story) -> None:
    run.start({"city": "Bergen"})  # both are assigned at once
    run.done("traffic", {"minutes": 30})
    run.done("weather", {"rain": True})
    run.done("plan", {"take": "umbrella", "leave_minutes_early": 30})
    run.ends("completed", {"take": "umbrella", "leave_minutes_early": 30})
