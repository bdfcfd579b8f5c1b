"""Sentences about what is no run: workflows, schedules, limits."""

from typing import assert_never

from dalsegno_orchestrator.workflow import events as e
from dalsegno_projections.sentences.words import count, moment, short, why


def stream_sentence(event: e.StreamEvent) -> str:  # noqa: C901 - one case for each kind
    """What became of a workflow, a schedule or a limit, in one sentence."""
    match event:
        case e.WorkflowRegistered():
            return f"Version {event.workflow_version} of {event.workflow} was registered."
        case e.ScheduleSet():
            return (
                f"Version {event.workflow_version} of {event.workflow} runs at "
                f"{event.cron!r} ({event.timezone})."
            )
        case e.ScheduleRemoved():
            return f"{event.workflow} has no schedule any more."
        case e.SchedulePaused():
            return f"The schedule was paused{why(event.reason)}."
        case e.ScheduleResumed():
            return "The schedule goes on."
        case e.TickFired():
            return f"The tick of {moment(event.tick)} started the run {event.run_id}."
        case e.TickQueued():
            return f"The tick of {moment(event.tick)} waits for the run of the tick before."
        case e.TickSkipped():
            return _skipped(event)
        case e.ScheduledRunEnded():
            return f"The run {event.run_id} is over: {event.status.replace('_', ' ')}."
        case e.LimitSet():
            return _limit_set(event)
        case e.LimitRemoved():
            return f"{event.limit} is not limited any more."
        case _:
            assert_never(event)


def _skipped(event: e.TickSkipped) -> str:
    if event.count == 1:
        return f"The tick of {moment(event.tick)} was skipped: {short(event.reason)}."
    until = "" if event.last is None else f" to {moment(event.last)}"
    return (
        f"{count(event.count, 'tick')} from {moment(event.tick)}{until} were skipped: "
        f"{short(event.reason)}."
    )


def _limit_set(event: e.LimitSet) -> str:
    parts: list[str] = []
    if event.concurrency is not None:
        parts.append(f"{event.concurrency:.10g} at the same time")
    if event.rate is not None:
        parts.append(f"{event.rate:.10g} within {event.rate_seconds:.10g} s")
    return f"{event.limit} is limited to {' and '.join(parts) or 'nothing'}."
