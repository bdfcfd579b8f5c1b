"""What happened, in one sentence for people: one case for each kind of event."""

from typing import assert_never

from dalsegno_orchestrator.workflow import events as e

_WORDS_MAX = 300
"""How many characters of somebody else's words a sentence quotes."""


def sentence_of(event: e.Event) -> str:  # noqa: C901 - one case for each kind
    """The event as one sentence, bounded in length, without payloads."""
    match event:
        case e.RunStarted():
            return f"A run of {event.workflow} (version {event.workflow_version}) was accepted."
        case e.TaskAssigned():
            return _assigned(event)
        case e.TaskCompleted():
            return (
                f"{event.agent} completed attempt {event.attempt} of {event.task_id} "
                f"in {event.work_seconds:.3g} s."
            )
        case e.TaskParked():
            return f"{event.task_id} is parked: {_short(event.reason)}."
        case e.TasksExpanded():
            return f"{event.task_id} became {_count(event.count, 'task')}, one for each item."
        case e.TaskFailed():
            return _failed(event)
        case e.TaskTimedOut():
            return _timed_out(event)
        case e.RetryScheduled():
            return f"{event.task_id} is tried again after {event.delay_seconds:.3g} s."
        case e.TaskRerouted():
            return (
                f"Attempt {event.attempt} of {event.task_id} was taken from {event.agent}: "
                f"{_short(event.reason)}."
            )
        case e.TaskSkipped():
            return f"{event.task_id} was skipped: {_short(event.reason)}."
        case e.ContextShared():
            return (
                f"{event.agent} shared {event.key!r} (version {event.key_version}) "
                f"from {event.task_id}."
            )
        case e.SignalAwaited():
            until = "" if event.until is None else f" until {event.until:%Y-%m-%d %H:%M:%S} UTC"
            return f"{event.task_id} waits for the signal {event.signal!r}{until}."
        case e.SignalReceived():
            taken = f"{event.task_id} took it" if event.task_id else "nobody waits for it yet"
            return f"The signal {event.signal!r} came in; {taken}."
        case e.SignalTaken():
            return f"{event.task_id} took the signal {event.signal!r}, which had come before."
        case e.TimerSet():
            return f"{event.task_id} sleeps until {event.at:%Y-%m-%d %H:%M:%S} UTC."
        case e.TimerFired():
            return f"{event.task_id} has slept enough."
        case e.RunPaused():
            why = f": {_short(event.reason)}" if event.reason else ""
            return f"The run was paused{why}."
        case e.RunResumed():
            return "The run goes on."
        case e.RunCompleted():
            return "The run completed."
        case e.RunFailed():
            blame = f" because of {event.task_id}" if event.task_id else ""
            return f"The run failed{blame}: {_short(event.error.message)}."
        case e.RunCancelled():
            why = f": {_short(event.reason)}" if event.reason else ""
            return f"The run was cancelled{why}."
        case e.WorkflowRegistered():
            return f"Version {event.workflow_version} of {event.workflow} was registered."
        case _:
            assert_never(event)


def _assigned(event: e.TaskAssigned) -> str:
    why = f" ({_short(event.reason)})" if event.reason else ""
    return f"Attempt {event.attempt} of {event.task_id} went to {event.agent}{why}."


def _failed(event: e.TaskFailed) -> str:
    final = "for good" if event.final else "and is tried again"
    if event.agent is None:
        return f"{event.task_id} could not begin: {_short(event.error.message)}."
    return (
        f"Attempt {event.attempt} of {event.task_id} failed {final} at {event.agent}: "
        f"{_short(event.error.message)}."
    )


def _timed_out(event: e.TaskTimedOut) -> str:
    what = event.task_id
    if event.attempt:
        what = f"Attempt {event.attempt} of {event.task_id}"
    end = "for good" if event.final else "and is tried again"
    return f"{what} timed out {end}: {_short(event.error.message)}."


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _short(words: str) -> str:
    """Somebody else's words on one line, without a full stop of their own."""
    line = " ".join(words.split()).rstrip(".")
    return line if len(line) <= _WORDS_MAX else line[: _WORDS_MAX - 1] + "…"
