"""How each fact changes a run.

`evolve` changes the run in place, because one owner holds it and a run may have ten thousand tasks.
It checks nothing: what is recorded has happened. What it concludes without an event of its own
(which steps became ready, that a `foreach` is whole) follows from the events alone, so a replay
concludes the same.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import assert_never

from dalsegno_bus.ids import RunId, TaskId, item_id
from dalsegno_bus.messages import Failure, Json
from dalsegno_orchestrator.workflow.events import (
    ContextShared,
    RetryScheduled,
    RunCancelled,
    RunCompleted,
    RunEvent,
    RunFailed,
    RunPaused,
    RunResumed,
    RunStarted,
    SignalAwaited,
    SignalReceived,
    SignalTaken,
    TaskAssigned,
    TaskCompleted,
    TaskFailed,
    TaskParked,
    TaskRerouted,
    TasksExpanded,
    TaskSkipped,
    TaskTimedOut,
    TimerFired,
    TimerSet,
)
from dalsegno_orchestrator.workflow.plan import Plan, Step
from dalsegno_orchestrator.workflow.run import (
    ATTEMPT_GRACE_SECONDS,
    UNKNOWN,
    Run,
    Task,
    TaskStatus,
)


def begin(run_id: RunId, plan: Plan, event: RunStarted, at: datetime) -> Run:
    """The run after its first event."""
    deadline = plan.definition.deadline
    run = Run(
        id=run_id,
        plan=plan,
        input=event.input,
        labels=event.labels,
        started_at=at,
        deadline_at=None if deadline is None else at + timedelta(seconds=deadline),
        version=1,
        unresolved=sum(not step.is_fallback for step in plan.steps.values()),
    )
    for step_id in plan.roots:
        _make_ready(run, plan.steps[step_id], at)
    return run


def replay(run_id: RunId, plan: Plan, events: Iterable[tuple[RunEvent, datetime]]) -> Run:
    """The state after these events (at least one), oldest first, each with when it was recorded."""
    rest = iter(events)
    first, at = next(rest)
    assert isinstance(first, RunStarted)
    run = begin(run_id, plan, first, at)
    for event, at in rest:
        evolve(run, event, at)
    return run


def evolve(run: Run, event: RunEvent, at: datetime) -> None:  # noqa: C901 - one case for each kind
    """Fold one fact, recorded at `at`, into the run."""
    run.version += 1
    match event:
        case RunStarted():
            raise AssertionError("a run starts once: use `begin`")
        case TaskAssigned():
            _assigned(run, event, at)
        case TaskParked():
            _parked(run, event, at)
        case TasksExpanded():
            _expanded(run, event, at)
        case TaskCompleted():
            task = _task(run, event.task_id, "completed", at)
            _finished(run, task, event.output, at)
        case TaskFailed() | TaskTimedOut():
            _failed(run, event, at)
        case RetryScheduled():
            task = _task(run, event.task_id, "retrying", at)
            run.look(task, event.at)
        case TaskRerouted():
            task = _task(run, event.task_id, "ready", at)
            task.avoid = (*task.avoid, event.agent)
            run.ready.append(task.id)
        case TaskSkipped():
            task = _task(run, event.task_id, "skipped", at)
            _finished(run, task, None, at)
        case ContextShared():
            run.context[event.key] = event.value
            run.context_versions[event.key] = event.key_version
        case SignalAwaited():
            task = _task(run, event.task_id, "waiting", at)
            run.look(task, event.until)
        case SignalReceived():
            _signal_received(run, event, at)
        case SignalTaken():
            signal = next(s for s in run.signals if s.signal == event.signal)
            run.signals.remove(signal)
            task = _task(run, event.task_id, "completed", at)
            _finished(run, task, signal.payload, at)
        case TimerSet():
            task = _task(run, event.task_id, "sleeping", at)
            run.look(task, event.at)
        case TimerFired():
            task = _task(run, event.task_id, "completed", at)
            _finished(run, task, None, at)
        case RunPaused():
            run.status = "paused"
            run.paused_at = at
        case RunResumed():
            _resumed(run, at)
        case RunCompleted():
            run.status = "completed"
            run.output = event.output
        case RunFailed():
            run.status = "failed"
            run.error = event.error
            _end(run)
        case RunCancelled():
            run.status = "cancelled"
            run.error = Failure(code="run.cancelled", message=event.reason or "cancelled")
            _end(run)
        case _:
            assert_never(event)


def _task(run: Run, task_id: str, status: TaskStatus, at: datetime) -> Task:
    """The task, moved to this status and out of the lists of its last one."""
    task = run.tasks[TaskId(task_id)]
    match task.status:
        case "assigned":
            del run.assigned[task.id]
        case "parked":
            del run.parked[task.id]
        case "ready":
            if run.ready and run.ready[0] == task.id:
                run.ready.popleft()
            elif task.id in run.ready:
                run.ready.remove(task.id)
        case _:
            pass
    task.status = status
    task.changed_at = at
    task.look_at = None
    return task


def _assigned(run: Run, event: TaskAssigned, at: datetime) -> None:
    task = _task(run, event.task_id, "assigned", at)
    task.attempt = event.attempt
    task.agent = event.agent
    if event.input is not None:
        task.input = event.input
    run.assigned[task.id] = task
    wait = task.step.task.queue_timeout or task.step.task.timeout + ATTEMPT_GRACE_SECONDS
    run.look(task, at + timedelta(seconds=wait))


def _parked(run: Run, event: TaskParked, at: datetime) -> None:
    task = _task(run, event.task_id, "parked", at)
    run.parked[task.id] = task
    limit = task.step.task.queue_timeout
    run.look(task, None if limit is None else at + timedelta(seconds=limit))


def _expanded(run: Run, event: TasksExpanded, at: datetime) -> None:
    parent = _task(run, event.task_id, "expanded", at)
    parent.count = event.count
    if event.items is not None:
        parent.items = list(event.items)
    if event.count == 0:
        _resolve(run, parent, [], at)
        return
    _begin_items(run, parent, at)


def _begin_items(run: Run, parent: Task, at: datetime) -> None:
    """Make as many items ready as may run side by side."""
    limit = parent.step.task.max_parallel or parent.count
    while parent.begun < parent.count and parent.begun - parent.done < limit:
        task_id = item_id(parent.step.id, parent.begun)
        run.tasks[task_id] = Task(id=task_id, step=parent.step, index=parent.begun, changed_at=at)
        run.ready.append(task_id)
        parent.begun += 1


def _failed(run: Run, event: TaskFailed | TaskTimedOut, at: datetime) -> None:
    task = _task(run, event.task_id, "failed" if event.final else "retrying", at)
    task.error = event.error
    task.failures += 1
    if event.agent is not None and event.agent not in task.avoid:
        task.avoid = (*task.avoid, event.agent)
    if not event.final:
        return
    match task.step.task.on_error:
        case "fail":
            run.failing = run.failing or task.id
        case "continue":
            _finished(run, task, None, at)
        case _:
            fallback = run.plan.steps[task.step.task.fallback or ""]
            _make_ready(run, fallback, at)


def _finished(run: Run, task: Task, output: Json, at: datetime) -> None:
    task.output = output
    task.input = UNKNOWN
    if task.index is None:
        _resolve(run, task, output, at)
        return
    parent = run.tasks[TaskId(task.step.id)]
    parent.done += 1
    if parent.done < parent.count:
        _begin_items(run, parent, at)
        return
    outputs = [run.tasks[item_id(parent.step.id, index)].output for index in range(parent.count)]
    _resolve(run, parent, outputs, at)


def _resolve(run: Run, task: Task, output: Json, at: datetime) -> None:
    """The step is over: what needed it may begin. A fallback resolves whom it stands in for."""
    if task.status == "expanded":
        task.status = "completed"
        task.changed_at = at
    task.output = output
    step = task.step
    run.outputs[step.id] = output
    if step.fallback_of is not None:
        owner = run.tasks[TaskId(step.fallback_of)]
        _resolve(run, owner, output, at)
        return
    run.unresolved -= 1
    for dependent in step.dependents:
        after = run.plan.steps[dependent]
        missing = run.missing.get(dependent, len(after.needs)) - 1
        run.missing[dependent] = missing
        if missing == 0:
            _make_ready(run, after, at)


def _make_ready(run: Run, step: Step, at: datetime) -> None:
    task_id = TaskId(step.id)
    run.tasks[task_id] = Task(id=task_id, step=step, changed_at=at)
    run.ready.append(task_id)


def _signal_received(run: Run, event: SignalReceived, at: datetime) -> None:
    run.heard.add(event.message_id)
    if event.task_id is None:
        run.signals.append(event)
        return
    task = _task(run, event.task_id, "completed", at)
    _finished(run, task, event.payload, at)


def _resumed(run: Run, at: datetime) -> None:
    """Move every time that lies ahead by as long as it stood still."""
    assert run.paused_at is not None
    if run.deadline_at is not None:
        run.deadline_at += at - run.paused_at
    for task in run.tasks.values():
        if task.look_at is not None:
            stood_still = at - max(run.paused_at, task.changed_at)
            task.changed_at += stood_still
            run.look(task, task.look_at + stood_still)
    run.status, run.paused_at = "running", None


def _end(run: Run) -> None:
    run.ready.clear()
    run.assigned.clear()
    run.parked.clear()
    run.looks.clear()
