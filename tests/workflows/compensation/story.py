from support.stories import Story


def play(run: Story) -> None:
    run.start({"traveller": "ida"})
    run.done("flight", {"booking": "flight for ida"})
    run.done("hotel", {"booking": "hotel for ida"})
    run.reject("car", code="car.none", message="no car is left")
    run.done("hotel-undo", "hotel for ida cancelled", given={"booking": "hotel for ida"})
    run.done("flight-undo", "flight for ida cancelled")
    run.ends("failed")
