from support.stories import Story

TEXT = "my invoice 17 is wrong"


def play(run: Story) -> None:
    run.start({"text": TEXT})
    known = {"invoice": "17", "text": TEXT}
    run.hand_off("answer", "support.billing", known, reason="it is about an invoice")
    run.done("answer", "invoice 17 was corrected", given=known)
    run.done("reply", "Hello, invoice 17 was corrected. Bye!")
    run.ends("completed", "Hello, invoice 17 was corrected. Bye!")
