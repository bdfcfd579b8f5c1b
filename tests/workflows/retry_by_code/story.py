from support.stories import Story

HASTE = {
    "tasks/write/retry/delay": 0.1,
    "tasks/write/retry/factor": 1,
    "tasks/write/retry/by_code/model.busy/delay": 0.1,
}


def play(run: Story) -> None:
    run.start({"to": "Ida"})
    run.fail("write", code="model.busy", message="others are being served")
    run.after("500ms")
    # The agent asks for more time than the policy would give; that counts.
    run.fail("write", code="model.busy", message="please come back later", after="700ms")
    run.after("700ms")
    # Another code, another policy; but all failures count, so the pause is that after the third.
    run.fail("write", code="net.reset", message="the connection was cut")
    run.after("18s")
    run.done("write", "Dear Ida")
    run.fail("post", code="address.unknown", message="Ida has moved")  # it is never tried again
    run.ends("completed", {"text": "Dear Ida", "posted": False})
