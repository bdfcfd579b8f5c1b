"""Budgets: what a run may cost, looked at before anything new begins."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias, cast

from dalsegno_bus.errors import UsageError
from dalsegno_bus.messages import Json, SignalRun
from dalsegno_orchestrator.workflow.events import (
    BudgetExceeded,
    BudgetRaised,
    RunPaused,
    RunResumed,
    SignalReceived,
)
from dalsegno_orchestrator.workflow.grammar.durations import format_duration, parse_duration
from dalsegno_orchestrator.workflow.run import Run
from dalsegno_orchestrator.workflow.turn import Refused, Turn

Limit: TypeAlias = Literal["usd", "tokens", "tasks", "time"]

SIGNAL: Final = "budget"
"""The signal that answers whether a run may cost more."""
RECEIPT_MAX: Final = 20
"""So many tasks are named in a receipt, the dearest."""


def is_used_up(turn: Turn) -> bool:
    """Whether nothing new may begin; says so in the history, and acts as declared."""
    run = turn.run
    if run.budget is None or run.ending is not None:
        return False
    if is_to_stop(run):
        return True
    found = _exceeded(run, turn.facts.now)
    if found is None:
        return False
    limit, allowed = found
    action = run.budget.on_exceeded
    spent = run.spent
    turn.record(
        BudgetExceeded(
            limit=limit,
            allowed=allowed,
            action=action,
            spent_usd=round(spent.usd, 9),
            spent_tokens=spent.tokens,
            spent_tasks=spent.tasks,
            spent_seconds=(turn.facts.now - run.started_at).total_seconds(),
            by_task=_receipt(run, limit),
        )
    )
    if action == "stop":
        return True
    answer = f"answer with the signal {SIGNAL!r}: {{{limit}: …}} or {{stop: true}}"
    text = f"the budget of {_amount(limit, allowed)} is used up; {answer}"
    if action == "pause":
        text += ", or resume the run to go on without this limit"
    turn.record(RunPaused(reason=text))
    return True


def is_to_stop(run: Run) -> bool:
    """Whether the run has to fail because of its budget."""
    return bool(run.exceeded) and "stop" in run.exceeded.values()


def why_stopped(run: Run) -> str:
    """In words, for the error of the run."""
    limit = next(iter(run.exceeded), "time")
    allowed = None if run.budget is None else getattr(run.budget, limit)
    return f"the budget of {_amount(limit, allowed or 0)} is used up"


def is_answer(turn: Turn, message: SignalRun) -> bool:
    """Whether this signal says what a run that stands still for its budget may cost."""
    run = turn.run
    return message.signal == SIGNAL and run.status == "paused" and bool(run.exceeded)


def is_asking(run: Run) -> bool:
    """Whether the run waits to hear whether it may cost more."""
    return "ask" in run.exceeded.values()


def answered(turn: Turn, message: SignalRun) -> bool:
    """Take the new limits and go on; True: the answer is that the run has to stop.

    Raises:
        Refused: The payload says neither.
    """
    payload = message.payload
    if isinstance(payload, Mapping) and cast("Mapping[str, Any]", payload).get("stop") is True:
        turn.record(
            SignalReceived(signal=SIGNAL, payload=message.payload, message_id=turn.facts.message_id)
        )
        return True
    turn.record(_raised(turn, payload))
    turn.record(RunResumed())
    return False


def _raised(turn: Turn, payload: Json) -> BudgetRaised:
    wanted = "say what the run may cost from now on in all, {usd: 10}, or {stop: true}"
    if not isinstance(payload, Mapping) or not payload:
        raise Refused.because(f"this is no answer: {wanted}", path="payload")
    given = dict(cast("Mapping[str, Any]", payload))
    try:
        if "time" in given:
            given["time_seconds"] = parse_duration(given.pop("time"))
        raised = BudgetRaised(message_id=turn.facts.message_id, **given)
    except (UsageError, ValueError, TypeError) as error:
        raise Refused.because(f"this is no answer: {wanted}", path="payload") from error
    limits = (raised.usd, raised.tokens, raised.tasks, raised.time_seconds)
    if all(limit is None for limit in limits):
        raise Refused.because(f"this is no answer: {wanted}", path="payload")
    if any(limit is not None and limit <= 0 for limit in limits):
        raise Refused.because("a limit is more than 0", path="payload")
    return raised


def _exceeded(run: Run, now: datetime) -> tuple[Limit, float] | None:
    budget, spent = run.budget, run.spent
    assert budget is not None
    reached: tuple[tuple[Limit, float | None, float], ...] = (
        ("usd", budget.usd, spent.usd),
        ("tokens", budget.tokens, spent.tokens),
        ("tasks", budget.tasks, spent.tasks),
    )
    for limit, allowed, used in reached:
        if allowed is not None and used >= allowed and limit not in run.exceeded:
            return limit, allowed
    if budget.time is not None and run.budget_at is not None and "time" not in run.exceeded:
        return ("time", budget.time) if now >= run.budget_at else None
    return None


def _receipt(run: Run, limit: Limit) -> dict[str, float]:
    if limit not in {"usd", "tokens"}:
        return {}
    by_step = {name: float(getattr(spent, limit)) for name, spent in run.spent_by.items()}
    dearest = sorted(by_step.items(), key=lambda pair: (-pair[1], pair[0]))
    return {name: round(amount, 9) for name, amount in dearest[:RECEIPT_MAX] if amount > 0}


def _amount(limit: str, allowed: float) -> str:
    match limit:
        case "usd":
            return f"{allowed:g} USD"
        case "time":
            return format_duration(allowed)
        case _:
            return f"{allowed:g} {limit}"
