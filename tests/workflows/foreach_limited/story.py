from support.stories import Story


def play(run: Story) -> None:
    run.start({"pictures": ["bay.png", "cat.png", "sea.png"]})  # the first two are assigned
    run.done("shrink-1", {"file": "2-320-cat.png"})  # now the third begins
    run.done("shrink-0", {"file": "1-320-bay.png"})
    run.done("shrink-2", {"file": "3-320-sea.png"})
    run.done("album", {"page": "3 pictures, from 1-320-bay.png"})
    run.ends("completed", "3 pictures, from 1-320-bay.png")
