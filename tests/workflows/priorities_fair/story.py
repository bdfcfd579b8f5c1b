from support.stories import Story

ANYTIME = {"task-parked"}  # on real processes bob has room for all three


def play(run: Story) -> None:
    run.queue("bob", room=1)  # his queue is short, so that what waits can still be put in order
    run.start({"tenant": "acme"})  # `archive` comes first and takes the place
    run.done("archive", "archive of acme")
    run.free("urgent", "monthly")  # the line says in which order to try: there is room for one
    run.done("urgent", "urgent of acme")
    run.free("monthly")
    run.done("monthly", "monthly of acme")
    run.ends("completed")
