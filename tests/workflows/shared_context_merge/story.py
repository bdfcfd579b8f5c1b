from support.stories import Story

HASTE = {"tasks/night/retry/delay": 0.1}


def play(run: Story) -> None:
    run.start({"incident": 7})
    # Nobody has seen anything when they begin: version 0 of every key.
    run.share("network", "tags", ["outage", "network"], seen=0)
    run.share("network", "hours", 7, seen=0)
    run.done("network", "network was looked at")
    run.share("database", "tags", ["outage", "database"], seen=0)
    run.share("database", "hours", 8, seen=0)
    run.done("database", "database was looked at")

    run.share("day", "leader", "day", seen=0)
    run.done("day", "day leads")
    run.share("night", "leader", "night", seen=0)  # refused: the attempt fails with it
    run.after("1s")
    run.done("night", "night follows day", given={"shift": "night", "leader": "day"})

    report = "outage, network, database: 15 hours, led by day"
    run.done("report", report)
    run.ends("completed", report)
