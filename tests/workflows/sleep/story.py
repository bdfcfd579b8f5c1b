from support.stories import Story

HASTE = {"tasks/two_weeks/sleep": 0.2}


def play(run: Story) -> None:
    run.start({"invoice": "2026-17"})
    run.done("send", {"invoice": "2026-17"})
    run.after("14d")
    run.done("look", {"paid": False})
    run.done("remind", {"invoice": "2026-17"})
    run.ends("completed", {"paid": False, "reminded": True})
