"""Signals: waiting for them, taking them, and telling somebody when they do not come."""

from datetime import timedelta

from dalsegno_bus.ids import escalation_id
from dalsegno_bus.messages import Failure, SignalRun
from dalsegno_orchestrator.workflow.events import (
    SignalAwaited,
    SignalReceived,
    SignalTaken,
    WaitEscalated,
)
from dalsegno_orchestrator.workflow.grammar.durations import format_duration
from dalsegno_orchestrator.workflow.rules import attempts, budget, ending
from dalsegno_orchestrator.workflow.run import ENDING, Task
from dalsegno_orchestrator.workflow.turn import Refused, Turn


def wait(turn: Turn, task: Task) -> None:
    """Take a signal that came before, or wait for one."""
    definition = task.step.task.wait
    assert definition is not None
    if any(signal.signal == definition.signal for signal in turn.run.signals):
        turn.record(SignalTaken(task_id=task.id, signal=definition.signal))
        return
    until = None
    if definition.timeout is not None:
        until = turn.facts.now + timedelta(seconds=definition.timeout)
    turn.record(SignalAwaited(task_id=task.id, signal=definition.signal, until=until))


def signalled(turn: Turn, message: SignalRun) -> None:
    """Hand a payload to whoever waits for it.

    Raises:
        Refused: The payload does not fit what the workflow says of it, or the run is ending.
    """
    run = turn.run
    if turn.facts.message_id in run.heard:
        return
    if run.status in ENDING:
        raise Refused.because(f"run {run.id} is {run.status}: nothing waits for signals")
    if budget.is_answer(turn, message):
        if budget.answered(turn, message):
            error = Failure(code="run.budget", message=budget.why_stopped(run))
            ending.fail(turn, error, None)
        return
    problems = run.plan.signal_problems(message.signal, message.payload)
    if problems:
        raise Refused(problems)
    waiting = run.waiting_for(message.signal)
    turn.record(
        SignalReceived(
            signal=message.signal,
            payload=message.payload,
            message_id=turn.facts.message_id,
            task_id=None if waiting is None else waiting.id,
        )
    )


def look_at(turn: Turn, task: Task) -> None:
    """A signal has not come for a while: tell somebody, or give up."""
    definition = task.step.task.wait
    assert definition is not None
    if task.until is not None and turn.facts.now >= task.until:
        limit = format_duration(definition.timeout or 0)
        text = f"no signal {definition.signal!r} came within {limit}"
        attempts.time_out(turn, task, "signal", Failure(code="task.signal_timeout", message=text))
        return
    if task.told < len(definition.escalate):
        turn.record(
            WaitEscalated(
                task_id=task.id,
                level=task.told,
                escalation_id=escalation_id(task.id, task.told),
            )
        )
    else:
        turn.run.look(task, task.until)
