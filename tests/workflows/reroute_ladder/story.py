from support.stories import Story

HASTE = {"tasks/read/reroute/2/wait": 0.2}


def play(run: Story) -> None:
    run.start({"page": "p. 12"})
    run.fail("read", code="ocr.unreadable", message="ada cannot make out a letter")
    run.fail("read", code="ocr.unreadable", message="bob cannot make out a letter")
    run.fail("read", code="ocr.dark", message="the lamp is being mended")
    run.after("1h")
    run.done("read", "p. 12: in the year of the comet")
    run.ends("completed", "p. 12: in the year of the comet")
