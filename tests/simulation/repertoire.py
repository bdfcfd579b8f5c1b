"""What is played: workflows, what each run of them has to come to, and the agents that do the work.

Whatever an attempt does follows from its input and its number, so that the end of a run does not
depend on what goes wrong around it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel

from dalsegno_agents import Agent, TaskContext, TaskRejected

QUICK: Final = {"max_attempts": 4, "delay": "100ms", "jitter": 0.5}
SIGNALS: Final = ("go",)


class Job(BaseModel):
    """What a task is told to do."""

    value: int = 0
    seconds: float = 0.0
    fails: int = 0
    """So many attempts fail before one does not."""


class Made(BaseModel):
    """What comes of it."""

    value: int


class Diary:
    """What one process of an agent has begun to work on."""

    def __init__(self) -> None:
        self.begun: set[tuple[str, str, int]] = set()
        self.twice: list[str] = []

    def note(self, context: "TaskContext[Diary]") -> None:
        """An attempt begins: once, however often it is delivered."""
        key = (str(context.run_id), str(context.task_id), context.attempt)
        if key in self.begun:
            self.twice.append("/".join(map(str, key)))
        self.begun.add(key)


async def add(job: Job, context: TaskContext[Diary]) -> Made:
    """One more."""
    context.deps.note(context)
    await asyncio.sleep(job.seconds)
    if context.attempt <= job.fails:
        raise RuntimeError(f"attempt {context.attempt} fails")
    return Made(value=job.value + 1)


async def refuse(job: Job, context: TaskContext[Diary]) -> Made:
    """Never."""
    context.deps.note(context)
    raise TaskRejected("no")


def agent_called(name: str, diary: Diary) -> Agent[Diary]:
    """An agent of the simulation; all can do the same."""
    agent: Agent[Diary] = Agent(name, deps=diary, concurrency=4)
    agent.handles("add")(add)
    agent.handles("refuse")(refuse)
    return agent


@dataclass(frozen=True)
class Piece:
    """A workflow, and how every run of it ends."""

    documents: Sequence[Mapping[str, Any]]
    status: str
    output: Any = None

    @property
    def name(self) -> str:
        return str(self.documents[-1]["workflow"])


def _step(value: Any = 1, *, seconds: float = 0.0, fails: int = 0, **more: Any) -> dict[str, Any]:
    told = {"value": value, "seconds": seconds, "fails": fails}
    return {"capability": "add", "input": told, "retry": QUICK, **more}


def _booked(value: int, **more: Any) -> dict[str, Any]:
    return _step(value, compensate=_step(value), **more)


def _piece(name: str, tasks: Mapping[str, Any], status: str, output: Any, **top: Any) -> Piece:
    document = {"workflow": name, "version": 1, "tasks": tasks, "output": output, **top}
    return Piece((document,), status, output if not isinstance(output, str) else None)


def _of(piece: Piece, output: Any) -> Piece:
    return Piece(piece.documents, piece.status, output)


_CHILD: Final = {
    "workflow": "inner", "version": 1,
    "tasks": {"one": _step("${ input.value }", seconds=0.5), "two": _step("${ tasks.one.value }")},
    "output": "${ tasks.two.value }",
}  # fmt: skip
_PARENT: Final = {
    "workflow": "outer", "version": 1,
    "tasks": {"a": _step(), "part": {"workflow": "inner", "input": {"value": "${ tasks.a.value }"}},
              "b": _step("${ tasks.part }")},
    "output": "${ tasks.b.value }",
}  # fmt: skip

PIECES: Final[Mapping[str, Piece]] = {
    piece.name: piece
    for piece in (
        _of(_piece("chain", {"a": _step(), "b": _step("${ tasks.a.value }", seconds=1.0),
                             "c": _step("${ tasks.b.value }")},
                   "completed", "${ tasks.c.value }"), 4),
        _of(_piece("stumble", {"a": _step(fails=2), "b": _step("${ tasks.a.value }", fails=1)},
                   "completed", "${ tasks.b.value }"), 3),
        _of(_piece("diamond", {"a": _step(), "b": _step("${ tasks.a.value }", seconds=0.3),
                               "c": _step("${ tasks.a.value }", seconds=3.0),
                               "d": _step("${ tasks.b.value + tasks.c.value }")},
                   "completed", "${ tasks.d.value }"), 7),
        _of(_piece("each", {"many": _step("${ item }", seconds=0.2, foreach=[1, 2, 3, 4, 5],
                                          max_parallel=2)},
                   "completed", "${ size(tasks.many) }"), 5),
        _of(_piece("limited", {"many": _step("${ item }", seconds=0.5, foreach=[1, 2, 3, 4])},
                   "completed", "${ size(tasks.many) }", limits={"concurrency": 2}), 4),
        _of(_piece("asleep", {"nap": {"sleep": "2s"}, "a": _step(after=["nap"])},
                   "completed", "${ tasks.a.value }"), 2),
        _of(_piece("asked", {"a": _step(), "go": {"wait": {"signal": "go"}, "after": ["a"]},
                             "b": _step("${ tasks.go.value }")},
                   "completed", "${ tasks.b.value }"), 8),
        _piece("trip", {"flight": _booked(1), "hotel": _booked(2, after=["flight"]),
                        "car": {"capability": "refuse", "after": ["hotel"]}},
               "failed", None, cancel_grace=0),
        _of(_piece("carry-on", {"a": {"capability": "refuse", "on_error": "continue"},
                                "b": _step(after=["a"])},
                   "completed", "${ tasks.b.value }"), 2),
        _of(_piece("again", {"a": _step("${ previous == null ? 0 : previous.value }",
                                        repeat={"until": "${ output.value >= 3 }", "max": 5})},
                   "completed", "${ tasks.a.value }"), 3),
        Piece((_CHILD, _PARENT), "completed", 5),
    )
}  # fmt: skip
