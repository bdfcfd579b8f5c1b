from support.stories import Story

HASTE = {"tasks/sum/queue_timeout": 30}  # a machine that tests share may be slow for a moment


def play(run: Story) -> None:
    run.start({"last": 12})
    # They end in any order; the output keeps that of the items.
    run.done(
        "square-2",
        {"product": 144, "label": "item 2"},
        given={"left": 12, "right": 12, "label": "item 2"},
    )
    run.done("square-0", {"product": 1, "label": "item 0"})
    run.done("square-1", {"product": 4, "label": "item 1"})
    run.done("sum", 149.0, given=[1.0, 4.0, 144.0])
    run.ends("completed", 149.0)
