"""The agent and the workflow that benchmarks use: a task that does nothing with about 300 bytes."""

from typing import Any, Final

from pydantic import BaseModel

from dalsegno_agents import Agent, TaskContext

PAYLOAD: Final = "x" * 270
TASKS: Final = 5
CAPABILITY: Final = "bench.noop"


class Note(BaseModel):
    """What goes in and comes out: about 300 bytes of JSON."""

    text: str
    number: int


agent: Agent[None] = Agent("bench", deps=None, concurrency=200)


@agent.handles(CAPABILITY)
async def pass_on(note: Note, context: TaskContext[None]) -> Note:
    """Hand the note on, one higher."""
    del context
    return Note(text=note.text, number=note.number + 1)


def chain_workflow() -> dict[str, Any]:
    """Five tasks in a row, each with the output of the one before."""
    tasks: dict[str, Any] = {"t0": {"capability": CAPABILITY, "input": "${ input }"}}
    for number in range(1, TASKS):
        before = f"${{ tasks.t{number - 1} }}"
        tasks[f"t{number}"] = {"capability": CAPABILITY, "input": before}
    return {
        "workflow": "bench-chain",
        "version": 1,
        "tasks": tasks,
        "output": f"${{ tasks.t{TASKS - 1} }}",
    }


def chain_input() -> dict[str, Any]:
    """What a chain starts with."""
    return Note(text=PAYLOAD, number=0).model_dump()
