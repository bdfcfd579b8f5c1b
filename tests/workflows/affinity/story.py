from support.stories import Story


def play(run: Story) -> None:
    run.start({"examples": 500})
    run.done("train", {"model": "m500@cyd"}, agent="cyd")
    run.done("evaluate", "m500@cyd lies here: 97 %", agent="cyd")  # ada would be first by name
    run.ends("completed", "m500@cyd lies here: 97 %")


def play_agent_gone(run: Story) -> None:
    run.start({"examples": 500})
    run.done("train", {"model": "m500@cyd"}, agent="cyd")
    run.leave("cyd")  # before its replica began: somebody else has to fetch the model
    run.done("evaluate", "m500@cyd lies elsewhere: 97 %", agent="ada")
    run.ends("completed", "m500@cyd lies elsewhere: 97 %")
