from support.stories import Story

HASTE = {"tasks/index/heartbeat_timeout": 1.5, "tasks/index/retry/delay": 0.1}


def play(run: Story) -> None:
    run.start({"documents": 1000})
    run.at_work("index")
    run.progress("index", 0.5, "half of them", state={"done": 500})
    run.after("30s")  # not a word since
    run.after("1s")
    assert run.last_progress("index")["state"] == {"done": 500}  # the next attempt is given it
    run.done("index", "1000 documents, 500 of them by the last attempt")
    run.ends("completed", "1000 documents, 500 of them by the last attempt")
