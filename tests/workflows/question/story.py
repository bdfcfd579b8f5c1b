from support.stories import Story


def play(run: Story) -> None:
    run.start({"customer": "acme", "terms": "no penalty"})
    question = run.ask("offer", "legal.opinion", {"terms": "no penalty"}, timeout="2m")
    run.done(question, "risky", given={"terms": "no penalty"})
    run.done("offer", "acme: no penalty (risky)")
    run.ends("completed", "acme: no penalty (risky)")
