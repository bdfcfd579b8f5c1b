from support.stories import Story


def play(run: Story) -> None:
    run.start({"topic": "Tides"})
    run.done(
        "draft-0",
        {"text": "Tides.", "score": 0.4},
        given={"topic": "Tides", "round": 0, "text": ""},
    )
    run.done("draft-1", {"text": "Tides..", "score": 0.7})
    run.done(
        "draft-2",
        {"text": "Tides...", "score": 0.95},
        given={"topic": "Tides", "round": 2, "text": "Tides.."},
    )
    run.done("publish", "published: Tides...")
    run.ends("completed", "published: Tides...")


def play_never_good_enough(run: Story) -> None:
    run.start({"topic": "Tides"})
    for iteration in range(5):
        run.done(f"draft-{iteration}", {"text": "Tides", "score": 0.4})
    run.ends("failed")
