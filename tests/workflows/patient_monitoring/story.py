from support.stories import Story

HASTE = {
    "tasks/watch/repeat/delay": 0.1,
    "tasks/assess/hedge_after": 0.3,
    "tasks/at_bed/wait/escalate/0/after": 0.2,
    "tasks/at_bed/wait/escalate/1/after": 0.4,
    "tasks/at_bed/wait/timeout": 4,
}


def play(run: Story) -> None:
    run.start({"patient": "bed 4", "ward": "east", "pulse_max": 120})
    run.done("watch-0", {"pulse": 72})
    run.after("5m")
    run.done("watch-1", {"pulse": 75})
    run.after("5m")
    run.done("watch-2", {"pulse": 141})
    run.after("2s")  # the first assessment takes long: a second begins elsewhere
    run.done("assess", {"level": 2}, attempt=2)
    run.done("alarm", "nurse called")
    run.after("2m")
    run.done("at_bed-escalation-0", "doctor called")
    run.after("3m")
    run.done("at_bed-escalation-1", "chief called")
    run.after("25m")  # and nobody came
    run.done("emergency", {"by": "the emergency team"})
    run.done("note", "bed 4: pulse 141, the emergency team came")
    run.ends(
        "completed",
        {"note": "bed 4: pulse 141, the emergency team came", "by": "the emergency team"},
    )


def play_nurse_comes(run: Story) -> None:
    run.start({"patient": "bed 4", "ward": "east", "pulse_max": 120})
    run.done("watch-0", {"pulse": 130})
    run.done("assess", {"level": 1})
    run.done("alarm", "nurse called")
    run.signal("at_bed", {"by": "nurse kim"})
    run.done("note", "bed 4: pulse 130, nurse kim came")
    run.ends("completed", {"note": "bed 4: pulse 130, nurse kim came", "by": "nurse kim"})
