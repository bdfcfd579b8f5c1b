from support.stories import Story


def play(run: Story) -> None:
    run.start({"order": "A7", "parcels": ["books", "lamp"]})
    run.done("pay", {"order": "A7"})  # two runs of `parcel` are started
    run.child_done("ship-1", {"tracking": "A7/lamp"})
    run.child_done("ship-0", {"tracking": "A7/books"})
    run.done("thank", "thank you for A7: A7/books and A7/lamp")
    run.ends("completed", "thank you for A7: A7/books and A7/lamp")


def play_cancelled(run: Story) -> None:
    run.start({"order": "A7", "parcels": ["books", "lamp"]})
    run.done("pay", {"order": "A7"})
    run.child_done("ship-0", {"tracking": "A7/books"})
    run.cancel("the customer changed her mind")  # the other run is cancelled with it
    run.child_cancelled("ship-1")
    run.ends("cancelled")
