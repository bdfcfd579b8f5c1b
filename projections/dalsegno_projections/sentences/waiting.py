"""Sentences about signals, timers and the people who are told."""

from typing import TypeAlias, assert_never

from dalsegno_orchestrator.workflow import events as e
from dalsegno_projections.sentences.words import moment

WaitingFact: TypeAlias = (
    e.SignalAwaited | e.SignalReceived | e.SignalTaken | e.TimerSet | e.TimerFired | e.WaitEscalated
)


def waiting_sentence(event: WaitingFact) -> str:
    """What a run waits for, or what has come, in one sentence."""
    match event:
        case e.SignalAwaited():
            until = "" if event.until is None else f" until {moment(event.until)}"
            return f"{event.task_id} waits for the signal {event.signal!r}{until}."
        case e.SignalReceived():
            taken = f"{event.task_id} took it" if event.task_id else "nobody waits for it yet"
            return f"The signal {event.signal!r} came in; {taken}."
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
