"""Sentences about signals, timers and the people who are told."""

from typing import Final, TypeAlias, assert_never

from dalsegno_orchestrator.workflow import events as e
from dalsegno_projections.sentences.words import moment

WaitingFact: TypeAlias = (
    e.SignalAwaited | e.SignalReceived | e.SignalTaken | e.TimerSet | e.TimerFired | e.WaitEscalated
)

_BUDGET: Final = "budget"
_STOP: Final = {"stop": True}
"""The answer to a budget that is used up, which no task waits for."""


def waiting_sentence(event: WaitingFact) -> str:
    """What a run waits for, or what has come, in one sentence."""
    match event:
        case e.SignalAwaited():
            until = "" if event.until is None else f" until {moment(event.until)}"
            return f"{event.task_id} waits for the signal {event.signal!r}{until}."
        case e.SignalReceived():
            return _received(event)
        case e.SignalTaken():
            return f"{event.task_id} took the signal {event.signal!r}, which had come before."
        case e.TimerSet():
            return f"{event.task_id} sleeps until {moment(event.at)}."
        case e.TimerFired():
            return f"{event.task_id} has slept enough."
        case e.WaitEscalated():
            return f"{event.task_id} has waited for so long that {event.escalation_id} tells of it."
        case _:
            assert_never(event)


def _received(event: e.SignalReceived) -> str:
    if event.task_id:
        return f"The signal {event.signal!r} came in; {event.task_id} took it."
    if event.signal == _BUDGET and event.payload == _STOP:
        return "The signal 'budget' came in: the run shall stop."
    return f"The signal {event.signal!r} came in; nobody waits for it yet."
