"""How each fact changes a run.

`evolve` changes the run in place, because one owner holds it and a run may have ten thousand tasks.
It checks nothing: what is recorded has happened. What it concludes without an event of its own
(which steps became ready, that a `foreach` is whole) follows from the events alone, so a replay
concludes the same. `folding` has what each family of facts does.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, get_args

from dalsegno_bus.ids import RunId, TaskId
from dalsegno_orchestrator.workflow import events as e
from dalsegno_orchestrator.workflow.folding import attempts, endings, plans, steps, waiting
from dalsegno_orchestrator.workflow.plan import Plan
from dalsegno_orchestrator.workflow.run import Run


def begin(run_id: RunId, plan: Plan, event: e.RunStarted, at: datetime) -> Run:
    """The run after its first event."""
    deadline, budget = plan.definition.deadline, plan.definition.budget
    time = None if budget is None else budget.time
    run = Run(
        id=run_id,
        plan=plan,
        follows=plan.digest,
        input=event.input,
        labels=event.labels,
        parent=event.parent,
        started_at=at,
        deadline_at=None if deadline is None else at + timedelta(seconds=deadline),
        budget=budget,
        budget_at=None if time is None else at + timedelta(seconds=time),
        version=1,
        unresolved=sum(not step.is_fallback for step in plan.steps.values()),
    )
    for step_id in plan.roots:
        steps.make_ready(run, plan.steps[step_id], at)
    return run


def replay(run_id: RunId, plan: Plan, events: Iterable[tuple[e.RunEvent, datetime]]) -> Run:
    """The state after these events (at least one), oldest first, each with when it was recorded."""
    rest = iter(events)
    first, at = next(rest)
    assert isinstance(first, e.RunStarted)
    run = begin(run_id, plan, first, at)
    for event, at in rest:
        evolve(run, event, at)
    return run


def evolve(run: Run, event: e.RunEvent, at: datetime) -> None:
    """Fold one fact, recorded at `at`, into the run."""
    run.version += 1
    _FOLDS[type(event)](run, event, at)


def _started(run: Run, event: e.RunStarted, at: datetime) -> None:
    raise AssertionError("a run starts once: use `begin`")


def _retry_scheduled(run: Run, event: e.RetryScheduled, at: datetime) -> None:
    task = steps.move(run, event.task_id, "retrying", at)
    run.look(task, event.at)


def _skipped(run: Run, event: e.TaskSkipped, at: datetime) -> None:
    task = steps.move(run, event.task_id, "skipped", at)
    steps.finished(run, task, None, at)


def _repeat_ended(run: Run, event: e.RepeatEnded, at: datetime) -> None:
    task = steps.move(run, event.task_id, "completed", at)
    last = run.tasks[TaskId(f"{event.task_id}-{event.iterations - 1}")]
    steps.resolve(run, task, last.output, at)


def _progressed(run: Run, event: e.AttemptProgressed, at: datetime) -> None:
    task = run.tasks[TaskId(event.task_id)]
    task.progress = event.progress
    opened = task.opened.get(event.attempt)
    if opened is not None:
        task.opened[event.attempt] = opened._replace(heard_at=at)


def _shared(run: Run, event: e.ContextShared, at: datetime) -> None:
    run.context[event.key] = event.value
    run.context_versions[event.key] = event.key_version
    run.written.add((event.task_id, event.attempt, event.key))


def _timer_set(run: Run, event: e.TimerSet, at: datetime) -> None:
    task = steps.move(run, event.task_id, "sleeping", at)
    run.look(task, event.at)


def _timer_fired(run: Run, event: e.TimerFired, at: datetime) -> None:
    task = steps.move(run, event.task_id, "completed", at)
    steps.finished(run, task, None, at)


def _paused(run: Run, event: e.RunPaused, at: datetime) -> None:
    run.status, run.paused_at = "paused", at


def _nothing(run: Run, event: e.RunEvent, at: datetime) -> None:
    """The fact says why; another one says what follows."""


def _once(fold: Callable[[Run, Any, datetime], None]) -> Callable[[Run, Any, datetime], None]:
    """Remember the request that a fact answers: a copy of it changes nothing."""

    def folded(run: Run, event: Any, at: datetime) -> None:
        run.heard.add(event.message_id)
        fold(run, event, at)

    return folded


_FOLDS: Final[Mapping[type[e.RunEvent], Callable[[Run, Any, datetime], None]]] = {
    e.RunStarted: _started,
    # attempts
    e.TaskAssigned: attempts.assigned,
    e.TaskParked: attempts.parked,
    e.TaskCompleted: attempts.completed,
    e.TaskFailed: attempts.failed,
    e.TaskTimedOut: attempts.failed,
    e.RetryScheduled: _retry_scheduled,
    e.TaskRerouted: attempts.rerouted,
    e.LadderClimbed: attempts.climbed,
    e.TaskHandedOff: attempts.handed_off,
    e.AttemptProgressed: _progressed,
    e.ChildStarted: attempts.child_started,
    e.ChildEnded: attempts.child_ended,
    # steps
    e.TasksExpanded: steps.expanded,
    e.TaskRepeated: steps.repeated,
    e.RepeatEnded: _repeat_ended,
    e.TaskSkipped: _skipped,
    # what agents tell each other
    e.ContextShared: _shared,
    e.ContextConflicted: _nothing,
    e.QuestionAsked: waiting.asked,
    # signals and time
    e.SignalAwaited: waiting.awaited,
    e.SignalReceived: waiting.received,
    e.SignalTaken: waiting.taken,
    e.WaitEscalated: waiting.escalated,
    e.TimerSet: _timer_set,
    e.TimerFired: _timer_fired,
    # the plan
    e.PlanProposed: attempts.proposed,
    e.PlanAccepted: plans.accepted,
    e.PlanRejected: plans.rejected,
    e.PlanFinished: plans.plan_finished,
    e.RunReplanned: _once(plans.replanned),
    e.RunMigrated: _once(plans.migrated),
    e.RunRewound: _once(plans.rewound),
    e.RunReopened: _once(plans.reopened),
    # the run
    e.RunPaused: _once(_paused),
    e.RunResumed: _once(lambda run, event, at: endings.resumed(run, at)),
    e.BudgetExceeded: lambda run, event, at: endings.exceeded(run, event),
    e.BudgetRaised: endings.raised,
    e.RunEnding: lambda run, event, at: endings.ending(run, event),
    e.CompensationStarted: endings.compensating,
    e.CompensationFailed: lambda run, event, at: endings.not_compensated(run, event),
    e.RunCompleted: lambda run, event, at: endings.ended(run, event),
    e.RunFailed: lambda run, event, at: endings.ended(run, event),
    e.RunCancelled: lambda run, event, at: endings.ended(run, event),
    e.RunCompensationFailed: lambda run, event, at: endings.ended(run, event),
}
assert _FOLDS.keys() == set(get_args(e.RunEvent)), "every kind of event changes a run somehow"
