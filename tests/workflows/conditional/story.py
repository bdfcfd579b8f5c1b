from support.stories import Story


def play(run: Story) -> None:
    run.start({"employee": "kim", "amount": 80.5})  # below 500: nobody reviews it
    run.done("pay", {"to": "kim", "amount": 80.5})
    run.ends("completed", {"paid": {"to": "kim", "amount": 80.5}, "declined": None})


def play_large(run: Story) -> None:
    run.start({"employee": "kim", "amount": 12000})
    run.done("review", {"approved": False})
    run.done("decline", {"to": "kim"})
    run.ends("completed", {"paid": None, "declined": {"to": "kim"}})
