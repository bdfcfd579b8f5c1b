"""Random workflows with every feature, and random things that happen to a run of one.

What happens is drawn as numbers and made into a message when its turn comes, so that it is about
something that is there: an attempt under way, a late one, a child, a task that could be undone.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from random import Random
from typing import Any, Final, NamedTuple

from hypothesis import strategies as st

from dalsegno_bus.ids import RunId, child_run_id
from dalsegno_bus.messages import (
    CancelRun,
    PauseRun,
    ReplanRun,
    ResumeRun,
    RetryRun,
    RewindRun,
    SignalRun,
    Usage,
)
from dalsegno_orchestrator.workflow.checking.checks import check
from dalsegno_orchestrator.workflow.decider import RunMessage
from dalsegno_orchestrator.workflow.events import RunEvent, TaskAssigned
from dalsegno_orchestrator.workflow.facts import AgentsChanged, PlanChosen, TasksFreed, TimeReached
from dalsegno_orchestrator.workflow.plan import Plan, compile_plan
from dalsegno_orchestrator.workflow.run import Run, Task
from dalsegno_orchestrator.workflow.turn import Refused
from support.reports import child_over, completed, failed, handoff, heartbeat, question, shared
from support.scenario import RUN, Directory, Scenario

NAMES: Final = ("p", "q", "r", "s", "t")
LENGTH_MAX: Final = 70
ROUNDS_MAX: Final = 400
"""So often whoever brings a run to its end does all that can be done."""


class Move(NamedTuple):
    """One thing that happens, with numbers to be taken modulo of what there is."""

    what: str
    number: int
    attempt: int


# --- workflows ---------------------------------------------------------------------------------

_KINDS: Final = (
    "do", "each", "rare", "wait", "wait", "sleep", "loop", "child", "plan", "plan", "hedge",
    "hedge", "ladder", "ladder", "beat", "quota", "reads",
)  # fmt: skip


def workflow_of(seed: int, count: int) -> dict[str, Any]:
    """Tasks in some order, each after some of those before it, and a run's own keys."""
    random = Random(seed)
    tasks: dict[str, Any] = {}
    for index, name in enumerate(NAMES[:count]):
        task = _task(random)
        before = [other for other in NAMES[:index] if random.random() < 0.3]
        if before:
            task["after"] = before
        if random.random() < 0.1:
            task["when"] = "${ input.yes }"
        if task.get("on_error") == "fallback":
            task["on_error"] = {"fallback": f"{name}_else"}
            tasks[f"{name}_else"] = _stand_in(random)
        tasks[name] = task
    top: dict[str, Any] = {
        "tasks": tasks,
        "cancel_grace": random.choice([0, 10]),
        "context": {"key": {"on_conflict": random.choice(["reject", "append"])}},
    }
    if random.random() < 0.25:
        limit = random.choice([{"tasks": 3}, {"usd": 2.0}, {"time": "2m"}])
        top["budget"] = {**limit, "on_exceeded": random.choice(["pause", "ask", "stop"])}
    if random.random() < 0.15:
        top["deadline"] = "5m"
    return top


def _stand_in(random: Random) -> dict[str, Any]:
    task: dict[str, Any] = {"capability": "do", "retry": {"max_attempts": 1}}
    return task | random.choice([{}, {}, {"on_error": "continue"}, {"dynamic": {"max_tasks": 3}}])


def _task(random: Random) -> dict[str, Any]:
    kind = random.choice(_KINDS)
    if kind == "wait":
        tell = [{"after": "10s", "capability": "do"}, {"after": "20s", "capability": "rare"}]
        wait = {"signal": random.choice(["go", "ok"]), "escalate": tell[: random.randrange(3)]}
        return {"wait": {**wait, "timeout": random.choice(["30s", "1h"])}}
    if kind == "sleep":
        return {"sleep": "5s"}
    task: dict[str, Any] = {} if kind == "child" else {"capability": "do"}
    task["retry"] = {"max_attempts": random.randint(1, 3), "delay": "1s", "jitter": 0}
    task["on_error"] = random.choice(["fail", "continue", "fallback"])
    if random.random() < 0.5:
        task["compensate"] = {"capability": "do", "retry": {"max_attempts": 1}}
    task |= _special(random, kind)
    if "foreach" in task and task["on_error"] == "fallback":
        task["on_error"] = "continue"
    return task


def _special(random: Random, kind: str) -> dict[str, Any]:
    """What makes a task one of its kind."""
    rungs: list[Any] = ["other_agent", {"wait": "5s"}, {"capability": "rare"}]
    random.shuffle(rungs)
    until = {"until": "${ output == 0 }", "max": 3, "delay": random.choice(["0s", "5s"])}
    specials: dict[str, dict[str, Any]] = {
        "each": {
            "foreach": list(range(random.randrange(5))),
            "max_parallel": random.choice([1, 2, None]),
        },
        "rare": {"capability": "rare", "queue_timeout": random.choice(["20s", None])},
        "loop": {"repeat": until},
        "child": {"workflow": "inner"},
        "plan": {"dynamic": {"max_tasks": 4, "max_depth": 2}},
        "hedge": {"hedge_after": "10s", "timeout": "40s", "queue_timeout": "1m"},
        "ladder": {"reroute": rungs[: random.randint(1, 3)]},
        "beat": {"heartbeat_timeout": "15s", "timeout": "1m"},
        "quota": {"quota": {"slow": random.randint(1, 2), "never": 0}},
        "reads": {"input": "${ has(context.key) }"},
    }
    return specials.get(kind, {})


_SEEDS: Final = st.integers(0, 2**32)


def workflows() -> st.SearchStrategy[dict[str, Any]]:
    """Workflows with one to five tasks."""
    return st.builds(workflow_of, _SEEDS, st.integers(1, len(NAMES)))


def plan_made(top: Mapping[str, Any], version: int = 1) -> Plan:
    definition, problems = check({"workflow": "test", "version": version, **top})
    assert definition is not None, problems
    assert not problems, problems
    return compile_plan(definition)


# --- what happens ------------------------------------------------------------------------------

_MOVES: Final = (
    *("done",) * 9, *("fail",) * 5, *("time",) * 7, "late", "forged", "signal", "join", "lose",
    "pause", "resume", "resume", "cancel", "retry", "retry", "rewind", "replan", "migrate",
    "child", "child", "handoff", "share", "share", "beat", "ask", "free", "budget", "budget",
)  # fmt: skip


def script_of(seed: int, length: int) -> list[Move]:
    """What happens; a shorter script is the beginning of a longer one."""
    random = Random(seed)
    return [
        Move(random.choice(_MOVES), random.randrange(21), random.randint(1, 3))
        for _ in range(length)
    ]


scripts: Final = st.builds(script_of, _SEEDS, st.integers(0, LENGTH_MAX))


def played(top: dict[str, Any], script: Sequence[Move]) -> Scenario:
    """A run of this workflow, after all this has happened to it."""
    run = begun(top, is_yes=len(script) % 2 == 0)
    for move in script:
        happen(run, move)
    return run


def begun(top: dict[str, Any], *, is_yes: bool) -> Scenario:
    directory = Directory()
    directory.add("a", "do")
    directory.add("b", "do")
    run = Scenario(plan_made(top), directory)
    run.limits.set("quota:slow", 2)
    run.limits.set("quota:never", 1)
    run.start({"yes": is_yes})
    return run


def happen(run: Scenario, move: Move) -> list[RunEvent]:
    """What follows from one move; nothing if it was refused."""
    if move.what == "join":
        run.agents.add("b", "do", "rare")
    if move.what == "time":
        run.now += timedelta(seconds=move.number * 4.0)
    try:
        return run.when(message_of(run, move), message_id=f"m{move.number}-{move.what}")
    except Refused:
        return []


def message_of(run: Scenario, move: Move) -> RunMessage:
    """The message that a move stands for now."""
    make = _ABOUT_ATTEMPTS.get(move.what)
    if make is None:
        return _ABOUT_RUNS.get(move.what, _time)(run, move)
    about = _attempt(run, move)
    return TimeReached() if about is None else make(run, *about, move.number)


def _attempt(run: Scenario, move: Move) -> tuple[str, int, str] | None:
    """An attempt under way; or, as the move says, any that ever was, or by another agent."""
    if move.what in {"late", "forged"}:
        known = [event for event, _ in run.history if isinstance(event, TaskAssigned)]
        if not known:
            return None
        about = known[-1 - move.number % len(known)]
        agent = about.agent if move.what == "late" else "mallory"
        return about.task_id, about.attempt if move.attempt < 3 else move.attempt, agent
    open_now = [
        (task.id, number, agent)
        for task in run.run.assigned.values()
        for number, agent in task.open_attempts()
    ]
    return open_now[move.number % len(open_now)] if open_now else None


def _done(run: Scenario, task: str, attempt: int, agent: str, number: int) -> RunMessage:
    output = output_for(run.run, task, number)
    usage = Usage(usd=0.5) if number % 2 else None
    return completed(task, output, attempt=attempt, agent=agent, usage=usage)


def output_for(run: Run, task: str, number: int) -> Any:
    """A plan from whoever has to make one, else a number."""
    known = next((one for one in run.tasks.values() if one.id == task), None)
    if known is None or known.step.task.dynamic is None or known.is_beside:
        return number % 3
    part: dict[str, Any] = {"capability": "do", "retry": {"max_attempts": 1}}
    name = f"{known.step.id}_{number % 4}"
    plans: list[Any] = [
        {"tasks": {}},
        {"tasks": {name: part}},
        {"tasks": {name: part, f"{name}b": {**part, "after": [name]}}},
        {"tasks": {name: {**part, "dynamic": {}}}},
        {"tasks": {name: {**part, "on_error": {"fallback": f"{name}b"}}, f"{name}b": part}},
        {"tasks": {name: {**part, "after": ["nobody"]}}},
        "no plan",
    ]
    return plans[number % len(plans)]


def _fail(run: Scenario, task: str, attempt: int, agent: str, number: int) -> RunMessage:
    return failed(task, attempt=attempt, agent=agent, retryable=number % 4 > 0)


_ABOUT_ATTEMPTS: Final[Mapping[str, Callable[[Scenario, str, int, str, int], RunMessage]]] = {
    "done": _done,
    "late": _done,
    "forged": _done,
    "fail": _fail,
    "handoff": lambda run, task, attempt, agent, number: handoff(
        task, ("do", "rare")[number % 2], attempt=attempt, agent=agent
    ),
    "share": lambda run, task, attempt, agent, number: shared(
        task, "key", number, attempt=attempt, agent=agent, seen=number % 3
    ),
    "beat": lambda run, task, attempt, agent, number: heartbeat(
        task, number, attempt=attempt, agent=agent
    ),
    "ask": lambda run, task, attempt, agent, number: question(
        task, f"q{number % 2}", ("do", "rare")[number % 3 == 0], attempt=attempt, agent=agent
    ),
}


def _time(run: Scenario, move: Move) -> RunMessage:
    return TimeReached()


def _child(run: Scenario, move: Move) -> RunMessage:
    delegated = list(run.run.delegated.values())
    if not delegated:
        return child_over("nobody", RunId(RUN))
    task = delegated[move.number % len(delegated)]
    child = child_run_id(RUN, task.id, task.attempt - (move.attempt == 3))
    statuses = ("completed", "completed", "failed", "cancelled", "rejected")
    return child_over(task.id, child, statuses[move.number % 5], attempt=task.attempt)


def _replan(run: Scenario, move: Move) -> RunMessage:
    steps = list(run.run.plan.steps)
    name, new = steps[move.number % len(steps)], f"new_{move.number}"
    after = steps[(move.number + 1) % len(steps)]
    match move.attempt:
        case 1:
            return ReplanRun(run_id=RUN, add={new: {"capability": "do", "after": [after]}})
        case 2:
            return ReplanRun(run_id=RUN, drop=(name,))
        case _:
            return ReplanRun(run_id=RUN, change={name: {"capability": "do"}})


def _migrate(run: Scenario, move: Move) -> RunMessage:
    document = run.run.plan.definition.to_json()
    document["tasks"] = {**document["tasks"], f"more_{move.number}": {"capability": "do"}}
    if move.attempt == 3:
        document["tasks"].pop(next(iter(document["tasks"])))
    document["version"] = run.run.plan.definition.version + 1
    definition, problems = check(document)
    if definition is None or problems:
        return TimeReached()
    return PlanChosen(plan=compile_plan(definition))


def _rewind(run: Scenario, move: Move) -> RunMessage:
    steps = list(run.run.plan.steps)
    return RewindRun(run_id=RUN, task_id=steps[move.number % len(steps)])


def _budget(run: Scenario, move: Move) -> RunMessage:
    raised: dict[str, Any] = {"tasks": 1000, "usd": 1000, "time": "9h"}
    payload = {"stop": True} if move.number == 0 else raised
    return SignalRun(run_id=RUN, signal="budget", payload=payload)


_ABOUT_RUNS: Final[Mapping[str, Callable[[Scenario, Move], RunMessage]]] = {
    "child": _child,
    "replan": _replan,
    "migrate": _migrate,
    "rewind": _rewind,
    "budget": _budget,
    "signal": lambda run, move: SignalRun(run_id=RUN, signal=("go", "ok")[move.number % 2]),
    "join": lambda run, move: AgentsChanged(),
    "lose": lambda run, move: AgentsChanged(gone=frozenset({("a", "b")[move.number % 2]})),
    "pause": lambda run, move: PauseRun(run_id=RUN),
    "resume": lambda run, move: ResumeRun(run_id=RUN),
    "cancel": lambda run, move: CancelRun(run_id=RUN) if move.number < 8 else TimeReached(),
    "retry": lambda run, move: RetryRun(run_id=RUN),
    "free": lambda run, move: TasksFreed(tasks=tuple(run.run.parked)),
}


# --- bringing it to its end --------------------------------------------------------------------


def brought_to_its_end(run: Scenario) -> bool:
    """Everybody does what the run waits for; False: it does not end all the same."""
    for name in ("a", "b", "c"):
        run.agents.add(name, "do", "rare")
    run.limits.set("quota:slow", 1000)
    for _ in range(ROUNDS_MAX):
        if not run.run.is_open:
            return True
        _help(run)
    return not run.run.is_open


def _help(run: Scenario) -> None:
    state = run.run
    if state.status == "paused":
        run.signal("budget", {"tasks": 10_000, "usd": 10_000, "time": "9d"})
    if state.status == "paused":
        run.when(ResumeRun(run_id=RUN))
    run.when(TasksFreed(tasks=tuple(state.parked)))
    for task in [*state.assigned.values()]:
        for number, agent in task.open_attempts():
            output: Any = {"tasks": {}} if _plans(task) else 0
            run.when(completed(task.id, output, attempt=number, agent=agent))
    for task in [*state.delegated.values()]:
        assert task.child is not None
        run.when(child_over(task.id, task.child, attempt=task.attempt))
    for signal in ("go", "ok"):
        if state.status == "running" and state.waiting_for(signal) is not None:
            run.signal(signal)
    look = state.next_look()
    run.now = max(run.now, run.now if look is None else look)
    run.when(TimeReached())


def _plans(task: Task) -> bool:
    return task.step.task.dynamic is not None and not task.is_beside
