"""Sentences about one task: who has it, how its attempts end, what is tried next."""

from typing import Final, TypeAlias, assert_never, cast

from dalsegno_bus.messages import Json
from dalsegno_orchestrator.workflow import events as e
from dalsegno_projections.sentences.words import because, count, lasting, moment, short, why

AttemptFact: TypeAlias = (
    e.TaskAssigned
    | e.TaskCompleted
    | e.TaskFailed
    | e.TaskTimedOut
    | e.TaskRerouted
    | e.TaskHandedOff
    | e.AttemptProgressed
    | e.ContextShared
    | e.ContextConflicted
    | e.QuestionAsked
)
"""What one attempt did, or what became of it."""

TaskFact: TypeAlias = (
    e.TaskParked
    | e.TasksExpanded
    | e.RetryScheduled
    | e.TaskSkipped
    | e.LadderClimbed
    | e.TaskRepeated
    | e.RepeatEnded
    | e.ChildStarted
    | e.ChildEnded
    | e.CompensationFailed
)
"""What became of a task as a whole."""


_EXHAUSTED: Final = "task.repeat_exhausted"
_ENDED: Final = {
    "rejected": "was refused",
    "cancelled": "was cancelled",
    "compensation_failed": "failed (not all of it is undone)",
}


def attempt_sentence(event: AttemptFact) -> str:  # noqa: C901 - one case for each kind
    """What an attempt did, in one sentence."""
    match event:
        case e.TaskAssigned():
            return _assigned(event)
        case e.TaskCompleted():
            return _completed(event)
        case e.TaskFailed():
            return _failed(event)
        case e.TaskTimedOut():
            return _timed_out(event)
        case e.TaskRerouted():
            return (
                f"Attempt {event.attempt} of {event.task_id} was taken from {event.agent}: "
                f"{short(event.reason)}."
            )
        case e.TaskHandedOff():
            return (
                f"{event.agent} handed {event.task_id} on, after attempt {event.attempt}, to an "
                f"agent with {event.to_capability}{because(event.reason)}."
            )
        case e.AttemptProgressed():
            return _progressed(event)
        case e.ContextShared():
            merged = ", merged with what was there," if event.merged else ""
            return (
                f"{event.agent} shared {event.key!r} (version {event.key_version}){merged} "
                f"from {event.task_id}."
            )
        case e.ContextConflicted():
            return (
                f"{event.agent} could not share {event.key!r} from {event.task_id}: it had seen "
                f"version {event.base_version}, and version {event.key_version} was there."
            )
        case e.QuestionAsked():
            return (
                f"{event.agent} asks whoever has {event.capability}, from {event.task_id}: "
                f"{event.question_id} has the answer."
            )
        case _:
            assert_never(event)


def task_sentence(event: TaskFact) -> str:  # noqa: C901 - one case for each kind
    """What became of a task, in one sentence."""
    match event:
        case e.TaskParked():
            until = "" if event.until is None else f" until {moment(event.until)}"
            return f"{event.task_id} is parked{until}: {short(event.reason)}."
        case e.TasksExpanded():
            return f"{event.task_id} became {count(event.count, 'task')}, one for each item."
        case e.RetryScheduled():
            return f"{event.task_id} is tried again after {lasting(event.delay_seconds)}."
        case e.TaskSkipped():
            return f"{event.task_id} was skipped: {short(event.reason)}."
        case e.LadderClimbed():
            return _climbed(event)
        case e.TaskRepeated():
            later = "" if event.at is None else f", not before {moment(event.at)}"
            return f"{event.task_id} runs for the {_ordinal(event.iteration + 1)} time{later}."
        case e.RepeatEnded():
            return f"{event.task_id} is done after {count(event.iterations, 'time')}."
        case e.ChildStarted():
            version = "" if event.workflow_version is None else f" version {event.workflow_version}"
            return (
                f"Attempt {event.attempt} of {event.task_id} is the run {event.run_id} "
                f"of {event.workflow}{version}."
            )
        case e.ChildEnded():
            return _child_ended(event)
        case e.CompensationFailed():
            return f"{event.task_id} could not be undone: {short(event.error.message)}."
        case _:
            assert_never(event)


def _assigned(event: e.TaskAssigned) -> str:
    beside = "" if event.hedges is None else f" beside attempt {event.hedges}"
    return (
        f"Attempt {event.attempt} of {event.task_id} went to {event.agent}{beside}"
        f"{because(event.reason)}."
    )


def _completed(event: e.TaskCompleted) -> str:
    others = ", ".join(f"attempt {each.attempt} at {each.agent}" for each in event.abandoned)
    first = f", before {others}" if others else ""
    return (
        f"{event.agent} completed attempt {event.attempt} of {event.task_id} "
        f"in {lasting(event.work_seconds)}{first}."
    )


def _failed(event: e.TaskFailed) -> str:
    final = "for good" if event.final else "and is tried again"
    if event.agent is None:
        verb = "ended without success" if event.error.code == _EXHAUSTED else "could not begin"
        return f"{event.task_id} {verb}: {short(event.error.message)}."
    return (
        f"Attempt {event.attempt} of {event.task_id} failed {final} at {event.agent}: "
        f"{short(event.error.message)}."
    )


def _progressed(event: e.AttemptProgressed) -> str:
    """With what the attempt told, as far as it is what the SDK makes of it."""
    is_told = isinstance(event.progress, dict)
    told = cast("dict[str, Json]", event.progress if is_told else {})
    fraction, message = told.get("fraction"), told.get("message")
    words = [
        f"{fraction:.0%}" if isinstance(fraction, int | float) else "",
        short(message) if isinstance(message, str) else "",
    ]
    far = ", ".join(word for word in words if word)
    return (
        f"{event.agent} is at work on attempt {event.attempt} of {event.task_id}"
        f"{f' ({far})' if far else ''}."
    )


def _timed_out(event: e.TaskTimedOut) -> str:
    what = event.task_id
    if event.attempt:
        what = f"Attempt {event.attempt} of {event.task_id}"
    end = "for good" if event.final else "and is tried again"
    return f"{what} timed out {end}: {short(event.error.message)}."


def _climbed(event: e.LadderClimbed) -> str:
    others = ", of other agents" if event.others_only else ""
    later = "" if event.at is None else f" after {moment(event.at)}"
    return (
        f"{event.task_id} asks for {event.capability}{others}{later}, as rung {event.rung + 1} of "
        f"its ladder{why(event.reason)}."
    )


def _child_ended(event: e.ChildEnded) -> str:
    again = "" if event.final else " and is tried again"
    reason = "" if event.error is None else why(event.error.message)
    ended = _ENDED.get(event.status, event.status)
    return f"The run {event.run_id} that does {event.task_id} {ended}{again}{reason}."


def _ordinal(number: int) -> str:
    if number % 100 in {11, 12, 13}:
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"
