from typing import Any

from support.stories import Story


def plan(first: str) -> dict[str, Any]:
    """What the planner returns; it names its first task so."""
    return {
        "tasks": {
            first: {
                "capability": "study.look_up",
                "input": {"product": "kettle", "about": "price"},
            },
            "rivals": {
                "capability": "study.look_up",
                "input": {"product": "${ input.product }", "about": "rivals"},
            },
        },
        "output": {"findings": [f"${{ tasks.{first} }}", "${ tasks.rivals }"]},
    }


def play(run: Story) -> None:
    run.start({"product": "kettle"})
    run.done("research", plan("summary"))  # there is a task `summary`: all of the plan is refused
    run.after("1s")
    run.done("research", plan("prices"))
    run.done("rivals", "rivals of kettle")
    run.done("prices", "price of kettle")
    run.done("summary", "price of kettle; rivals of kettle")
    run.ends("completed", "price of kettle; rivals of kettle")


def play_stubborn(run: Story) -> None:
    run.start({"product": "kettle"})
    run.done("research", plan("summary"))
    run.after("1s")
    run.done("research", plan("summary"))  # two attempts are all there are
    run.ends("failed")
