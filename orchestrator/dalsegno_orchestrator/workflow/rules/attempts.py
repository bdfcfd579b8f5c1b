"""Attempts: who gets a task, what is tried after a failure, and when it has taken too long."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias

from dalsegno_bus.messages import Failure
from dalsegno_orchestrator.workflow.assignment import Choice
from dalsegno_orchestrator.workflow.cel.expressions import ExpressionFailed
from dalsegno_orchestrator.workflow.events import (
    LadderClimbed,
    RetryScheduled,
    TaskAssigned,
    TaskFailed,
    TaskParked,
    TaskRerouted,
    TaskTimedOut,
)
from dalsegno_orchestrator.workflow.grammar.durations import format_duration
from dalsegno_orchestrator.workflow.grammar.policies import OtherCapability, WaitBefore
from dalsegno_orchestrator.workflow.retry import delay_seconds, is_never, policy_for
from dalsegno_orchestrator.workflow.rules import budget
from dalsegno_orchestrator.workflow.rules.choosing import (
    choose_agent,
    choose_but,
    context_read,
    hedge_at,
    is_known,
    permits_of,
)
from dalsegno_orchestrator.workflow.run import ATTEMPT_GRACE_SECONDS, UNKNOWN, Task
from dalsegno_orchestrator.workflow.turn import Turn

HEDGE_AGAIN: Final = timedelta(seconds=1)
"""At least so long after nobody could take a second attempt, somebody is looked for again."""

WaitedFor: TypeAlias = Literal["attempt", "queue", "signal", "heartbeat"]

# --- who gets it -------------------------------------------------------------------------------


def assign(turn: Turn, task: Task) -> None:
    """Give the task to the best agent, or park it. Its input is evaluated first."""
    run = turn.run
    if run.budget is not None and budget.is_used_up(turn):
        return
    reads_context = task.given is UNKNOWN and "context" in task.step.input.roots
    if task.attempt and reads_context:
        task.input = UNKNOWN  # the context may have changed since the attempt before
    try:
        task_input = run.input_of(task)
        permits = permits_of(turn, task)
    except ExpressionFailed as error:
        cannot_begin(turn, task, str(error))
        return
    choice = choose_agent(turn, task)
    if not isinstance(choice, Choice):
        _park(turn, task, choice, forget_input=reads_context)
        return
    definition, after = run.plan.definition, task.step.task.hedge_after
    shortage = None
    if permits:
        unset = next((p for p in permits if not is_known(turn, p)), None)
        if unset is not None:
            name = unset.limit.partition(":")[2]
            text = f"there is no quota {name!r}; set it: dalsegno limits set {unset.limit} …"
            _park(turn, task, text, waits_for=unset.limit, forget_input=reads_context)
            return
        shortage = turn.facts.limits.shortage(
            permits, declared=definition.limits, taken=turn.taken, now=turn.facts.now
        )
    if shortage is not None:
        _park(
            turn,
            task,
            shortage.reason,
            waits_for=shortage.limit,
            until=shortage.until,
            forget_input=reads_context,
        )
        return
    turn.record(
        TaskAssigned(
            task_id=task.id,
            attempt=task.attempt + 1,
            agent=choice.agent,
            capability=task.capability or "",
            candidates=choice.candidates,
            reason=choice.reason,
            permits=permits,
            hedge_at=None if after is None else hedge_at(turn, task, choice.agent, after),
            context_read=context_read(run, task.step.input) if reads_context else None,
            input=task_input if reads_context else None,
        )
    )


def hedge(turn: Turn, task: Task) -> None:
    """Have another agent try as well, if there is one and the limits leave room."""
    if budget.is_used_up(turn):
        return
    choice = choose_agent(turn, task, besides=task.agent)
    if not isinstance(choice, Choice) or not choice.candidates[0].live:
        return  # who is not there cannot be faster
    try:
        permits = permits_of(turn, task)
    except ExpressionFailed:
        return
    if not all(is_known(turn, permit) for permit in permits):
        return
    limits = turn.run.plan.definition.limits
    if permits and turn.facts.limits.shortage(
        permits, declared=limits, taken=turn.taken, now=turn.facts.now
    ):
        return
    turn.record(
        TaskAssigned(
            task_id=task.id,
            attempt=task.attempt + 1,
            agent=choice.agent,
            capability=task.capability or "",
            candidates=choice.candidates,
            reason=f"hedges attempt {task.attempt}; {choice.reason}",
            hedges=task.attempt,
            permits=permits,
        )
    )


def _park(
    turn: Turn,
    task: Task,
    reason: str,
    *,
    waits_for: str = "",
    until: datetime | None = None,
    forget_input: bool,
) -> None:
    if forget_input:
        task.input = UNKNOWN  # the context may change while the task waits
    if task.status != "parked" or task.waits_for != waits_for:
        turn.record(
            TaskParked(
                task_id=task.id,
                capability=task.capability or "",
                reason=reason,
                waits_for=waits_for,
                until=until,
            )
        )


# --- what is tried next ------------------------------------------------------------------------


def cannot_begin(turn: Turn, task: Task, message: str) -> None:
    """The definition asks for something that is not there: no attempt would help."""
    fail_for_good(turn, task, Failure(code="expression", message=message))


def fail_for_good(turn: Turn, task: Task, error: Failure) -> None:
    """The task fails without an attempt of it having failed."""
    turn.record(
        TaskFailed(task_id=task.id, attempt=task.attempt, error=error, retryable=False, final=True)
    )


def may_go_on(turn: Turn, task: Task, error: Failure) -> bool:
    """Whether an attempt follows a failure that is not final by itself."""
    if len(task.opened) > 1:
        return True  # the other attempt goes on, whatever this one failed with
    if turn.run.ending is not None and task.role != "undo":
        return False
    retry = task.step.task.retry
    if is_never(retry, error.code):
        return False
    if task.failures + 1 < policy_for(retry, error.code).max_attempts:
        return True
    return task.rungs < len(task.step.task.reroute)


def try_again(turn: Turn, task: Task, asked_seconds: float | None = None) -> None:
    """After a failure that is not final: wait and ask again, or climb the ladder."""
    if task.status != "retrying":
        return  # another attempt is under way
    assert task.error is not None
    policy = policy_for(task.step.task.retry, task.error.code)
    if task.failures >= policy.max_attempts and task.rungs < len(task.step.task.reroute):
        _climb(turn, task)
        return
    delay = delay_seconds(
        policy, failures=task.failures, chance=turn.facts.chance, asked=asked_seconds
    )
    at = turn.facts.now + timedelta(seconds=delay)
    turn.record(RetryScheduled(task_id=task.id, at=at, delay_seconds=round(delay, 6)))


def _climb(turn: Turn, task: Task) -> None:
    reroute, number = task.step.task.reroute, task.rungs
    if reroute[number] == "other_agent" and number + 1 < len(reroute):
        others = choose_but(turn, task, task.avoid, None, only_others=True)
        number += not isinstance(others, Choice)  # there is nobody else: the rung after it
    rung = reroute[number]
    capability, others_only, at = task.capability or "", False, None
    match rung:
        case OtherCapability():
            capability = rung.capability
            reason = f"asks for {capability!r} instead"
        case WaitBefore():
            at = turn.facts.now + timedelta(seconds=rung.wait)
            reason = f"waits {format_duration(rung.wait)} and begins with all agents anew"
        case _:
            others_only = True
            reason = f"asks others than {', '.join(task.avoid) or 'before'}"
    turn.record(
        LadderClimbed(
            task_id=task.id,
            rung=number,
            capability=capability,
            others_only=others_only,
            at=at,
            reason=reason,
        )
    )


# --- when it takes too long --------------------------------------------------------------------


def look_at(turn: Turn, task: Task) -> None:
    """An attempt is old: over time at work, in the queue, or silent; or due to be hedged."""
    now = turn.facts.now
    if task.hedge_at is not None and now >= task.hedge_at and len(task.opened) == 1:
        hedge(turn, task)
        if turn.run.status == "paused":
            return
    looks: list[datetime] = []
    for number, agent in task.open_attempts():
        if task.status != "assigned":
            return
        found = _age(turn, task, number, agent)
        if isinstance(found, datetime):
            looks.append(found)
        else:
            waited_for, error = found
            time_out(turn, task, waited_for, error, attempt=number)
    if task.status == "assigned" and looks:
        if task.hedge_at is not None:
            looks.append(_hedge_again_at(task, now))
        turn.run.look(task, min(looks))


def _hedge_again_at(task: Task, now: datetime) -> datetime:
    """When the second attempt begins; where nobody could take it, when to ask once more."""
    assert task.hedge_at is not None
    if task.hedge_at > now:
        return task.hedge_at
    begun = min(opened.since for opened in task.opened.values())
    return now + max(task.hedge_at - begun, HEDGE_AGAIN)


def _age(turn: Turn, task: Task, attempt: int, agent: str) -> datetime | tuple[WaitedFor, Failure]:
    """When to look again at an attempt under way, or what it took too long for."""
    now, definition = turn.facts.now, task.step.task
    key = f"{turn.run.id}/{task.id}/{attempt}"
    since, opened = turn.facts.agents.working_since(agent, key), task.opened[attempt]
    began = since or opened.heard_at  # it may be heard of before it is seen at work
    if began is None:
        return _age_in_queue(turn, task, attempt, agent)
    until = began + timedelta(seconds=definition.timeout + ATTEMPT_GRACE_SECONDS)
    if now >= until:
        text = f"agent {agent!r} did not report within {format_duration(definition.timeout)}"
        return "attempt", Failure(code="task.timeout", message=text)
    if definition.heartbeat_timeout is None:
        return until
    heard_at = max(opened.heard_at or began, opened.since)
    silent_until = heard_at + timedelta(seconds=definition.heartbeat_timeout)
    if now >= silent_until:
        silence = format_duration(definition.heartbeat_timeout)
        text = f"agent {agent!r} told no progress for {silence}"
        return "heartbeat", Failure(code="task.heartbeat_timeout", message=text)
    return min(until, silent_until)


def _age_in_queue(
    turn: Turn, task: Task, attempt: int, agent: str
) -> datetime | tuple[WaitedFor, Failure]:
    now, definition = turn.facts.now, task.step.task
    limit = definition.queue_timeout
    begun = task.opened[attempt].since
    if limit is not None and now >= begun + timedelta(seconds=limit):
        text = f"no replica of {agent!r} took the task within {format_duration(limit)}"
        return "queue", Failure(code="task.queue_timeout", message=text)
    soon = definition.heartbeat_timeout or definition.timeout
    return now + timedelta(seconds=min(soon, definition.timeout))


def time_out(
    turn: Turn, task: Task, waited_for: WaitedFor, error: Failure, *, attempt: int | None = None
) -> None:
    """Give up on an attempt, on an agent that might come, or on a signal."""
    final = waited_for == "signal" or not may_go_on(turn, task, error)
    opened = None if attempt is None else task.opened.get(attempt)
    turn.record(
        TaskTimedOut(
            task_id=task.id,
            attempt=task.attempt if attempt is None else attempt,
            agent=None if opened is None else opened.agent,
            capability=task.capability or "",
            waited_for=waited_for,
            error=error,
            final=final,
        )
    )
    if not final:
        try_again(turn, task)


def reroute(turn: Turn, task: Task, gone: str) -> None:
    """Give what an agent has not begun to somebody else, if there is a live somebody else."""
    definition, agents = task.step.task, turn.facts.agents
    others = [
        view
        for view in agents.capable(task.capability or "")
        if view.slots > 0 and not view.draining and view.name != gone
        and definition.agent in {None, view.name}
        and all(view.labels.get(key) == value for key, value in definition.requires.items())
    ]  # fmt: skip
    for attempt, agent in task.open_attempts():
        key = f"{turn.run.id}/{task.id}/{attempt}"
        if agent != gone or agents.working_since(agent, key) is not None:
            continue
        if others or len(task.opened) > 1:
            reason = f"agent {agent!r} has no live replica that began it"
            turn.record(TaskRerouted(task_id=task.id, attempt=attempt, agent=agent, reason=reason))


def park_again(turn: Turn, tasks: Sequence[Task]) -> None:
    """Look at parked tasks once more: they go out, or stay."""
    for task in tasks:
        if turn.run.status not in {"running", "compensating"}:
            return
        if task.status == "parked":
            assign(turn, task)
