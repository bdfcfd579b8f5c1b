"""The plays: one for each of what a saga may do beside running tasks in order."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from integration.recovery.stage import Play, Stage
from pydantic import BaseModel

from dalsegno_agents import Agent, Handoff, Plan, TaskContext, TaskRejected
from dalsegno_bus.ids import RunId, child_run_id

GRACE: Final = {"cancel_grace": "300ms"}
FAST: Final = {"max_attempts": 3, "delay": "10ms", "jitter": 0}


class Number(BaseModel):
    value: int = 0


async def add(number: Number, context: TaskContext[None]) -> Number:
    return Number(value=number.value + 1)


async def same(number: Number, context: TaskContext[None]) -> Number:
    return number


async def nap(number: Number, context: TaskContext[None]) -> Number:
    await asyncio.sleep(0.03)
    return number


async def plan(number: Number, context: TaskContext[None]) -> Plan:
    first = {"capability": "add", "input": {"value": number.value}}
    second = {"capability": "add", "input": "${ tasks.p1 }"}
    return Plan(tasks={"p1": first, "p2": second}, output="${ tasks.p2.value }")


async def refuse(number: Number, context: TaskContext[None]) -> Number:
    raise TaskRejected("no car is left")


async def stick(number: Number, context: TaskContext[None]) -> Number:
    await asyncio.Event().wait()
    return number


async def translate(number: Number, context: TaskContext[None]) -> Number:
    """Whoever has it first never ends it."""
    return await stick(number, context) if context.attempt == 1 else Number(value=7)


async def front(number: Number, context: TaskContext[None]) -> Number | Handoff:
    return Handoff(capability="add", input=Number(value=number.value + 10))


async def wonder(number: Number, context: TaskContext[None]) -> Number:
    answer: Any = await context.ask("double", number, timeout=30)
    return Number(value=answer["value"])


async def double(number: Number, context: TaskContext[None]) -> Number:
    return Number(value=number.value * 2)


async def note(number: Number, context: TaskContext[None]) -> Number:
    context.share("hours", number.value)
    return number


async def pay(number: Number, context: TaskContext[None]) -> Number:
    context.spend(usd=1.0)
    return Number(value=number.value + 1)


async def spoil(number: Number, context: TaskContext[None]) -> Number:
    """Fails the first time, for good."""
    if context.attempt == 1:
        raise TaskRejected("not today")
    return Number(value=number.value + 1)


HAND: Final = {
    "add": add, "book": same, "front": front, "nap": nap, "note": note, "pay": pay, "plan": plan,
    "refuse": refuse, "spoil": spoil, "stick": stick, "translate": translate, "unbook": same,
    "wonder": wonder,
}  # fmt: skip
OTHER: Final = {"double": double, "translate": translate}


def troupe() -> Sequence[Agent[Any]]:
    """Agents that can do all that the plays ask for."""
    agents: list[Agent[Any]] = []
    for name, handlers in (("hand", HAND), ("other", OTHER)):
        agent: Agent[None] = Agent(name, deps=None, concurrency=16)
        for capability, handler in handlers.items():
            agent.handles(capability)(handler)
        agents.append(agent)
    return agents


def step(capability: str, value: Any = 1, **more: Any) -> dict[str, Any]:
    return {"capability": capability, "input": {"value": value}, **more}


def booked(value: int, **more: Any) -> dict[str, Any]:
    undo = {"capability": "unbook", "input": {"value": value}, "retry": FAST}
    return step("book", value, compensate=undo, **more)


async def simply(stage: Stage) -> RunId:
    return await stage.until_ended(await stage.start({"value": 1}))


def signalled(signal: str, payload: Any, after: str) -> Callable[[Stage], Awaitable[RunId]]:
    """Sends a signal once the history has what it has to come after."""

    async def act(stage: Stage) -> RunId:
        run_id = await stage.start({"value": 1})
        await stage.world.until_recorded(run_id, after)
        await stage.world.client.signal(run_id, signal, payload)
        return await stage.until_ended(run_id)

    return act


async def cancelled(stage: Stage) -> RunId:
    """Cancels the run when what is at the bottom of it is at work."""
    run_id = await stage.start({"value": 1})
    middle = child_run_id(run_id, "part", 1)
    bottom = child_run_id(middle, "part", 1)
    await stage.world.until_recorded(bottom, "task-assigned", 2)
    await stage.world.client.cancel(run_id, "enough")
    return await stage.until_ended(run_id)


async def retried(stage: Stage) -> RunId:
    run_id = await stage.until_ended(await stage.start({"value": 1}))
    await stage.world.client.retry(run_id)
    return await stage.until_ended(run_id, 2)


async def rewound(stage: Stage) -> RunId:
    run_id = await stage.until_ended(await stage.start({"value": 1}))
    await stage.world.client.rewind(run_id, "two")
    return await stage.until_ended(run_id, 2)


async def rewound_to_its_child(stage: Stage) -> RunId:
    """Goes back to before a sub-workflow that is under way: its run has to end, and another one."""
    run_id = await stage.start({"value": 1})
    first, second = (child_run_id(run_id, "part", attempt) for attempt in (1, 2))
    await stage.world.until_recorded(first, "signal-awaited")
    await stage.world.client.rewind(run_id, "part")
    await stage.world.until_recorded(second, "signal-awaited")
    await stage.world.client.signal(second, "go")
    return await stage.until_ended(run_id)


def _deep(name: str, tasks: dict[str, Any], output: Any = None, **top: Any) -> list[dict[str, Any]]:
    """Three levels: the run, one that it has do its part, and one that that one has."""
    part = {"part": {"workflow": f"{name}-middle", "input": "${ input }"}}
    below = {"part": {"workflow": f"{name}-bottom", "input": "${ input }"}}
    return [
        {"workflow": f"{name}-bottom", "tasks": tasks, "output": output, **top},
        {"workflow": f"{name}-middle", "tasks": below, "output": "${ tasks.part }", **top},
        {"workflow": f"{name}-top", "tasks": part, "output": "${ tasks.part }", **top},
    ]


def play(
    name: str,
    tasks: dict[str, Any],
    outcome: tuple[str, Any],
    act: Callable[[Stage], Awaitable[RunId]] = simply,
    /,
    **top: Any,
) -> Play:
    workflow = {"workflow": name, "tasks": tasks, **top}
    return Play(name, [workflow], troupe, act, outcome)


TRIP: Final = {
    "flight": booked(1),
    "hotel": booked(2, after=["flight"]),
    "car": step("refuse", after=["hotel"]),
}

PLAYS: Final = {
    one.name: one
    for one in (
        Play(
            "levels",
            _deep("levels", {"one": step("add", "${ input.value }"),
                             "two": step("add", "${ tasks.one.value }")}, "${ tasks.two.value }"),
            troupe, simply, ("completed", 3),
        ),
        Play(
            "cancelled",
            _deep("cancelled", {"one": booked(1), "two": step("stick", after=["one"])}, **GRACE),
            troupe, cancelled, ("cancelled", None),
        ),
        Play(
            "rewound-child",
            [{"workflow": "rc-child", "tasks": {"go": {"wait": {"signal": "go"}}}},
             {"workflow": "rc", "tasks": {"one": step("add"),
                "part": {"workflow": "rc-child", "after": ["one"]}}, "output": 5}],
            troupe, rewound_to_its_child, ("completed", 5),
        ),
        play("plan", {"plan": step("plan", dynamic={"max_tasks": 5}),
                      "last": step("add", "${ tasks.plan }")},
             ("completed", 4), output="${ tasks.last.value }"),
        play("repeat", {"again": step("add", "${ previous == null ? 0 : previous.value }",
                        repeat={"until": "${ output.value >= 3 }", "max": 5})},
             ("completed", 3), output="${ tasks.again.value }"),
        play("trip", TRIP, ("failed", None), **GRACE),
        play("hedge", {"one": step("translate", hedge_after="60ms")},
             ("completed", 7), output="${ tasks.one.value }"),
        play("handoff", {"one": step("front")}, ("completed", 12), output="${ tasks.one.value }"),
        play("question", {"one": step("wonder", 4)},
             ("completed", 8), output="${ tasks.one.value }"),
        play("limit", {"many": step("nap", "${ item }", foreach=[1, 2, 3, 4, 5])},
             ("completed", 5), output="${ size(tasks.many) }", limits={"concurrency": 2}),
        play("escalation",
             {"go": {"wait": {"signal": "go", "escalate": [
                 {"after": "20ms", "capability": "add", "input": {"value": 1}}]}}},
             ("completed", {"ok": True}), signalled("go", {"ok": True}, "wait-escalated"),
             output="${ tasks.go }"),
        play("retried", {"one": step("add"), "two": step("spoil", "${ tasks.one.value }")},
             ("completed", 3), retried, output="${ tasks.two.value }"),
        play("rewound", {"one": step("add"), "two": step("add", "${ tasks.one.value }"),
                         "three": step("add", "${ tasks.two.value }")},
             ("completed", 4), rewound, output="${ tasks.three.value }"),
        play("budget", {"one": step("pay"), "two": step("pay", "${ tasks.one.value }")},
             ("completed", 3), signalled("budget", {"usd": 10}, "run-paused"),
             output="${ tasks.two.value }", budget={"usd": 1.0, "on_exceeded": "ask"}),
    )
}  # fmt: skip

MERGE: Final = play("merge", {"a": step("note", 3), "b": step("note", 4),
               "sum": step("add", "${ context.hours }", after=["a", "b"])},
     ("completed", 8), output="${ tasks.sum.value }",
     context={"hours": {"on_conflict": "sum"}})  # fmt: skip
"""What an attempt shares travels apart from its end, which may overtake it."""
