from support.stories import Story

HASTE = {"tasks/translate/hedge_after": 0.3}


def play(run: Story) -> None:
    run.start({"text": "dal segno"})
    run.after("3s")
    run.done("translate", "DAL SEGNO", attempt=2)
    run.ends("completed", "DAL SEGNO")


def play_first_wins(run: Story) -> None:
    run.start({"text": "dal segno"})
    run.after("3s")
    run.done("translate", "DAL SEGNO", attempt=1)  # slow, and still the first to report
    run.ends("completed", "DAL SEGNO")
