from support.stories import Story


def play(run: Story) -> None:
    run.start({"sources": ["times", "gazette", "post"]})
    run.done("fetch-0", "news of times")
    run.fail("fetch-1", code="feed.away", message="gazette does not answer")
    run.done("fetch-2", "news of post")
    run.done("digest", "news of times, news of post")
    run.ends("completed", {"digest": "news of times, news of post", "missing": 1})
