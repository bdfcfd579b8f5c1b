from support.stories import Story

HASTE = {"tasks/forecast/retry/delay": 0.1}


def play(run: Story) -> None:
    run.start({"article": "kettle"})
    run.fail("forecast", code="model.broken", message="the model does not load")
    run.after("5s")
    run.fail("forecast", code="model.broken", message="the model does not load")
    run.done("last_year", {"pieces": 120, "basis": "last year"})
    run.done("order", "120 of kettle")
    run.ends("completed", {"ordered": "120 of kettle", "basis": "last year"})
