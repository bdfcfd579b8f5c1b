"""What is wrong with one task by itself: what it is, which keys it may have, how they agree.

Works on the document as it was written; what has the wrong shape is passed over, because the model
names it anyway. What tasks have to do with each other is the matter of `references`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, cast

from dalsegno_bus.errors import UsageError
from dalsegno_bus.messages import Json, Problem
from dalsegno_orchestrator.workflow.grammar.durations import format_duration, parse_duration
from dalsegno_orchestrator.workflow.grammar.policies import TASK_TIMEOUT_SECONDS, Retry
from dalsegno_orchestrator.workflow.grammar.schema import InputSchema, SchemaInvalid
from dalsegno_orchestrator.workflow.grammar.shape import Place, did_you_mean, dotted

KINDS: Final = ("capability", "workflow", "wait", "sleep")
"""A task has exactly one of these."""

_OF_AGENTS: Final = (
    "dynamic",
    "requires",
    "prefer",
    "timeout",
    "queue_timeout",
    "heartbeat_timeout",
    "agent",
    "same_agent_as",
    "reroute",
    "hedge_after",
    "priority",
    "quota",
)
"""What says how an agent is asked, and means nothing where none is."""

_OF_WORK: Final = ("input", "foreach", "max_parallel", "repeat", "retry", "compensate")
"""What means something for an agent and for a sub-workflow."""

_CODE: Final = re.compile(r"[A-Za-z0-9._-]+\*?")
_INSTEAD: Final = {
    ("wait", "timeout"): "write wait: {signal: …, timeout: …}",
    ("workflow", "timeout"): "set deadline in the sub-workflow",
    ("workflow", "agent"): "pin agents in the tasks of the sub-workflow",
    ("workflow", "dynamic"): "let a task of the sub-workflow plan",
}


def task_problems(name: str, task: Mapping[str, Json]) -> Iterator[Problem]:
    """All that is wrong with the task called `name`, without looking at the others."""
    place: Place = ("tasks", name)
    kinds = [kind for kind in KINDS if task.get(kind) is not None]
    if len(kinds) > 1:
        yield _problem(
            place,
            f"a task does one thing, and this one has {' and '.join(kinds)}",
            "keep one, and make another task for the other",
        )
    elif not kinds and not any(did_you_mean(key, KINDS) for key in task):
        listed = ", ".join(KINDS)
        yield _problem(
            place, "nothing says what this task does", f"give it exactly one of {listed}"
        )
    elif kinds:
        yield from _of_kind(place, task, kinds[0])
    yield from _retry_problems((*place, "retry"), task.get("retry"))
    undoing = _mapping(task.get("compensate"))
    yield from _retry_problems((*place, "compensate", "retry"), undoing.get("retry"))


def _of_kind(place: Place, task: Mapping[str, Json], kind: str) -> Iterator[Problem]:
    yield from _strange_keys(place, task, kind)
    if kind in {"capability", "workflow"}:
        yield from _many_times(place, task)
    if kind == "capability":
        yield from _agent_problems(place, task)
        yield from _time_problems(place, task)
        yield from _ladder_problems(place, task)
        yield from _quota_problems(place, task)
    elif kind == "wait":
        yield from _wait_problems((*place, "wait"), _mapping(task.get("wait")))


# --- which keys -------------------------------------------------------------------------------


def _strange_keys(place: Place, task: Mapping[str, Json], kind: str) -> Iterator[Problem]:
    if kind != "workflow" and task.get("workflow_version") is not None:
        yield _problem(
            (*place, "workflow_version"),
            f"'workflow_version' is for tasks with a workflow, and this one has {kind!r}",
            "remove 'workflow_version'",
        )
    strange = {"capability": (), "workflow": _OF_AGENTS}.get(kind, (*_OF_WORK, *_OF_AGENTS))
    for key in strange:
        if task.get(key) is None:
            continue
        whose = "a capability or a workflow" if key in _OF_WORK else "a capability"
        yield _problem(
            (*place, key),
            f"{key!r} is for tasks with {whose}, and this one has {kind!r}",
            _INSTEAD.get((kind, key), f"remove {key!r}"),
        )


def _many_times(place: Place, task: Mapping[str, Json]) -> Iterator[Problem]:
    foreach, repeat = task.get("foreach") is not None, task.get("repeat") is not None
    if task.get("max_parallel") is not None and not foreach:
        yield _problem(
            (*place, "max_parallel"),
            "max_parallel limits the items of a foreach, and there is none",
            "add foreach, or remove max_parallel",
        )
    if foreach and repeat:
        yield _problem(
            (*place, "repeat"),
            "a task cannot have both foreach and repeat",
            "put the repeat into a sub-workflow, and call that for each item",
        )
    elif task.get("dynamic") is not None and (foreach or repeat):
        key = "foreach" if foreach else "repeat"
        yield _problem(
            (*place, "dynamic"),
            f"a task with {key} cannot make plans",
            f"let a task without {key} plan, or put it into a sub-workflow",
        )


# --- who does it, and when --------------------------------------------------------------------


def _agent_problems(place: Place, task: Mapping[str, Json]) -> Iterator[Problem]:
    agent = task.get("agent")
    if agent is None:
        return
    if task.get("hedge_after") is not None:
        yield _problem(
            (*place, "hedge_after"),
            f"hedging asks a second agent, and only {agent!r} may do this task",
            "remove agent or hedge_after",
        )
    if task.get("same_agent_as") is not None:
        yield _problem(
            (*place, "same_agent_as"),
            f"only {agent!r} may do this task, so no other agent can be preferred",
            "remove agent or same_agent_as",
        )


def _time_problems(place: Place, task: Mapping[str, Json]) -> Iterator[Problem]:
    timeout = _seconds(task.get("timeout", TASK_TIMEOUT_SECONDS))
    if timeout is None:
        return
    longest = format_duration(timeout)
    heartbeat = _seconds(task.get("heartbeat_timeout"))
    if heartbeat is not None and heartbeat > timeout:
        yield _problem(
            (*place, "heartbeat_timeout"),
            f"heartbeat_timeout ({format_duration(heartbeat)}) is longer than timeout ({longest})",
            f"make it shorter than {longest}, or set a longer timeout",
        )
    hedge = _seconds(task.get("hedge_after"))
    if hedge is not None and hedge >= timeout:
        yield _problem(
            (*place, "hedge_after"),
            f"an attempt is over after {longest}, so none is hedged after {format_duration(hedge)}",
            f"make it shorter than {longest}, or set a longer timeout",
        )


def _ladder_problems(place: Place, task: Mapping[str, Json]) -> Iterator[Problem]:
    agent, capability = task.get("agent"), task.get("capability")
    for index, rung in enumerate(_sequence(task.get("reroute"))):
        at = (*place, "reroute", index)
        if rung == "other_agent" and agent is not None:
            yield _problem(
                at, f"there is no other agent: only {agent!r} may do this task", "remove agent"
            )
        asked = _mapping(rung).get("capability")
        if isinstance(asked, str) and asked == capability and index == 0:
            yield _problem(
                at,
                f"the task asks for {asked!r} already",
                "use other_agent, {wait: 5m} or another capability",
            )


def _quota_problems(place: Place, task: Mapping[str, Json]) -> Iterator[Problem]:
    """Numbers only; expressions are the matter of `references`."""
    for quota, amount in _mapping(task.get("quota")).items():
        at = (*place, "quota", quota)
        if isinstance(amount, str):
            continue
        if isinstance(amount, bool) or not isinstance(amount, (int, float)):
            yield _problem(
                at,
                "what is taken of a quota is a number, or one expression that gives one",
                'write 1, or "${ input.tokens }"',
            )
        elif amount < 0:
            yield _problem(at, f"nothing less than 0 can be taken of a quota, not {amount}")


# --- what follows a failure -------------------------------------------------------------------


def _retry_problems(place: Place, retry: Json) -> Iterator[Problem]:
    written, default = _mapping(retry), Retry()
    delay = _seconds(written.get("delay", default.delay))
    longest = _seconds(written.get("max_delay", default.max_delay))
    yield from _delay_problems(place, delay, longest)
    never = [code for code in _sequence(written.get("never")) if isinstance(code, str)]
    for index, code in enumerate(never):
        yield from _code_problems((*place, "never", index), code)
    for code, policy in _mapping(written.get("by_code")).items():
        at = (*place, "by_code", code)
        yield from _code_problems(at, code)
        if code in never:
            yield _problem(
                at,
                f"no attempt follows {code!r}, because never lists it too",
                "remove one of the two",
            )
        other = _mapping(policy)
        if "delay" in other or "max_delay" in other:
            own_delay = _seconds(other["delay"]) if "delay" in other else delay
            own_longest = _seconds(other["max_delay"]) if "max_delay" in other else longest
            yield from _delay_problems(at, own_delay, own_longest)


def _delay_problems(place: Place, delay: float | None, longest: float | None) -> Iterator[Problem]:
    if delay is not None and longest is not None and delay > longest:
        yield _problem(
            (*place, "delay"),
            f"delay ({format_duration(delay)}) is longer than "
            f"max_delay ({format_duration(longest)})",
            f"set max_delay to {format_duration(delay)} or more",
        )


def _code_problems(place: Place, code: str) -> Iterator[Problem]:
    if code == "*":
        yield _problem(
            place, "'*' stands for every error", "set max_attempts and delay for all of them"
        )
    elif not _CODE.fullmatch(code):
        yield _problem(
            place,
            f"{code!r} is no error code, nor the beginning of one",
            "use letters, digits and ._-, with * at the end only, such as model.*",
        )


# --- waiting ----------------------------------------------------------------------------------


def _wait_problems(place: Place, wait: Mapping[str, Json]) -> Iterator[Problem]:
    yield from schema_problems((*place, "payload"), wait.get("payload"))
    limit = _seconds(wait.get("timeout"))
    before = 0.0
    for index, written in enumerate(_sequence(wait.get("escalate"))):
        at = (*place, "escalate", index, "after")
        after = _seconds(_mapping(written).get("after"))
        if after is None:
            continue
        if after <= before:
            yield _problem(
                at,
                f"this escalation comes after {format_duration(after)}, and the one before it "
                f"after {format_duration(before)}",
                "write them in the order of their times, each longer than the one before",
            )
        elif limit is not None and after >= limit:
            yield _problem(
                at,
                f"the wait is over after {format_duration(limit)}, so nobody would be told "
                f"after {format_duration(after)}",
                f"make it shorter than {format_duration(limit)}, or wait longer",
            )
        before = max(before, after)


def schema_problems(place: Place, schema: Json) -> Iterator[Problem]:
    """What keeps a value at this place from being a JSON Schema."""
    if not isinstance(schema, Mapping):
        return
    try:
        InputSchema(cast("Mapping[str, Json]", schema), written_at=dotted(place))
    except SchemaInvalid as error:
        message = f"this is not a JSON Schema: {error.reason}"
        yield Problem(message=message, path=error.path, suggestion=error.suggestion)


# --- values as they were written --------------------------------------------------------------


def _problem(place: Place, message: str, suggestion: str | None = None) -> Problem:
    return Problem(message=message, path=dotted(place), suggestion=suggestion)


def _mapping(value: Json) -> Mapping[str, Json]:
    return cast("Mapping[str, Json]", value) if isinstance(value, Mapping) else {}


def _sequence(value: Json) -> Sequence[Json]:
    return cast("Sequence[Json]", value) if isinstance(value, (list, tuple)) else ()


def _seconds(value: Json) -> float | None:
    """A duration; None if it is none, which is a fault of shape."""
    if value is None:
        return None
    try:
        return parse_duration(value)
    except UsageError:
        return None
