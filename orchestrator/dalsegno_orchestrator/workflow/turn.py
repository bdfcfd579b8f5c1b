"""One decision under way: what is known, what came in, what follows, fact by fact.

`decider` makes a `Turn` for each message; nobody else does.
"""

from datetime import timedelta
from typing import Final, cast

from dalsegno_bus.ids import TaskId
from dalsegno_bus.messages import (
    CompletedReport,
    ContextReport,
    FailedReport,
    Failure,
    Json,
    PauseRun,
    Report,
    SignalRun,
)
from dalsegno_orchestrator.workflow.assignment import Choice, choose
from dalsegno_orchestrator.workflow.events import (
    ContextShared,
    RetryScheduled,
    RunCompleted,
    RunEvent,
    RunFailed,
    RunPaused,
    RunResumed,
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
from dalsegno_orchestrator.workflow.evolve import evolve
from dalsegno_orchestrator.workflow.expressions import ExpressionFailed
from dalsegno_orchestrator.workflow.facts import AgentsChanged, Facts
from dalsegno_orchestrator.workflow.retry import delay_seconds
from dalsegno_orchestrator.workflow.run import ATTEMPT_GRACE_SECONDS, UNKNOWN, Run, Task

ITEMS_MAX: Final = 100_000
"""How many items one `foreach` may have."""


def is_awaited(run: Run, report: Report) -> bool:
    """Whether this report is about an attempt that is under way, by the agent that has it."""
    task = run.assigned.get(TaskId(report.task_id))
    return task is not None and task.attempt == report.attempt and task.agent == report.agent


class Turn:
    """One decision: the run, what is known, and the facts so far."""

    def __init__(self, run: Run, facts: Facts) -> None:
        self.run = run
        self.facts = facts
        self.events: list[RunEvent] = []

    def record(self, event: RunEvent) -> None:
        self.events.append(event)
        evolve(self.run, event, self.facts.now)

    # --- what came in -------------------------------------------------------------------------

    def completed(self, report: CompletedReport) -> None:
        if is_awaited(self.run, report):
            task = self.run.assigned[TaskId(report.task_id)]
            self.record(
                TaskCompleted(
                    task_id=report.task_id,
                    attempt=report.attempt,
                    agent=report.agent,
                    replica=report.replica,
                    capability=task.step.task.capability or "",
                    output=report.output,
                    usage=report.usage,
                    queue_seconds=report.queue_seconds,
                    work_seconds=report.work_seconds,
                )
            )

    def failed(self, report: FailedReport) -> None:
        if not is_awaited(self.run, report):
            return
        task = self.run.assigned[TaskId(report.task_id)]
        final = not (report.retryable and self._may_retry(task))
        self.record(
            TaskFailed(
                task_id=report.task_id,
                attempt=report.attempt,
                agent=report.agent,
                replica=report.replica,
                capability=task.step.task.capability or "",
                error=report.error,
                retryable=report.retryable,
                final=final,
                usage=report.usage,
                queue_seconds=report.queue_seconds,
                work_seconds=report.work_seconds,
            )
        )
        if not final:
            self._schedule_retry(task, report.retry_after_seconds)

    def shared(self, report: ContextReport) -> None:
        if not is_awaited(self.run, report):
            return
        version = self.run.context_versions.get(report.key, 0)
        if version and self.run.context[report.key] == report.value:
            return  # a copy of the report
        self.record(
            ContextShared(
                task_id=report.task_id,
                attempt=report.attempt,
                agent=report.agent,
                key=report.key,
                key_version=version + 1,
                value=report.value,
            )
        )

    def signalled(self, message: SignalRun) -> None:
        if self.facts.message_id in self.run.heard:
            return
        waiting = self.run.waiting_for(message.signal)
        self.record(
            SignalReceived(
                signal=message.signal,
                payload=message.payload,
                message_id=self.facts.message_id,
                task_id=None if waiting is None else waiting.id,
            )
        )

    def paused(self, message: PauseRun) -> None:
        if self.run.status == "running":
            self.record(RunPaused(reason=message.reason))

    def resumed(self) -> None:
        if self.run.status == "paused":
            self.record(RunResumed())
            self.agents_changed(AgentsChanged())

    def time_reached(self) -> None:
        if self.run.status == "paused":
            return
        now = self.facts.now
        deadline = self.run.deadline_at
        if deadline is not None and now >= deadline:
            seconds = cast("float", self.run.plan.definition.deadline)
            text = f"the run did not end within its deadline of {seconds:g} s"
            self._fail_run(Failure(code="run.deadline", message=text), None)
            return
        for task in self.run.due(now):
            self._look_at(task)

    def agents_changed(self, message: AgentsChanged) -> None:
        if self.run.status == "paused":
            return
        for task in list(self.run.parked.values()):
            self._assign(task)
        if not message.gone:
            return
        for task in list(self.run.assigned.values()):
            if task.agent in message.gone:
                self._reroute(task, f"agent {task.agent!r} has no live replica")

    # --- what follows -------------------------------------------------------------------------

    def go_on(self) -> None:
        """Begin whatever is ready, and end the run when nothing is left."""
        run = self.run
        while run.status == "running":
            if run.failing is not None:
                task = run.tasks[run.failing]
                assert task.error is not None
                self._fail_run(task.error, task.id)
            elif run.ready:
                self._begin(run.tasks[run.ready[0]])
            elif run.unresolved == 0:
                self._complete_run()
            else:
                return

    def _begin(self, task: Task) -> None:
        step = task.step
        try:
            if task.index is None and task.attempt == 0:
                if step.when is not None and not step.when.evaluate(self.run.scope()):
                    self.record(TaskSkipped(task_id=task.id, reason=f"not {step.task.when}"))
                    return
                if step.foreach is not None:
                    self._expand(task)
                    return
            if step.task.wait is not None:
                self._wait(task)
            elif step.task.sleep is not None:
                until = self.facts.now + timedelta(seconds=step.task.sleep)
                self.record(TimerSet(task_id=task.id, at=until))
            else:
                self._assign(task)
        except ExpressionFailed as error:
            self._cannot_begin(task, str(error))

    def _cannot_begin(self, task: Task, message: str) -> None:
        error = Failure(code="expression", message=message)
        self.record(
            TaskFailed(
                task_id=task.id, attempt=task.attempt, error=error, retryable=False, final=True
            )
        )

    def _expand(self, task: Task) -> None:
        template = task.step.foreach
        assert template is not None
        items: Json = template.evaluate(self.run.scope())
        if not isinstance(items, list):
            text = f"foreach needs a list, and {task.step.task.foreach!r} gave another value"
            self._cannot_begin(task, text)
            return
        listed = cast("list[Json]", items)
        if len(listed) > ITEMS_MAX:
            text = f"foreach has {len(listed)} items; at most {ITEMS_MAX} are possible"
            self._cannot_begin(task, text)
            return
        kept = tuple(listed) if "context" in template.roots else None
        self.record(TasksExpanded(task_id=task.id, count=len(listed), items=kept))

    def _wait(self, task: Task) -> None:
        wait = task.step.task.wait
        assert wait is not None
        if any(signal.signal == wait.signal for signal in self.run.signals):
            self.record(SignalTaken(task_id=task.id, signal=wait.signal))
            return
        until = None
        if wait.timeout is not None:
            until = self.facts.now + timedelta(seconds=wait.timeout)
        self.record(SignalAwaited(task_id=task.id, signal=wait.signal, until=until))

    def _assign(self, task: Task) -> None:
        """Give the task to the best agent, or park it. Its input is evaluated first."""
        definition = task.step.task
        capability = definition.capability
        assert capability is not None
        try:
            task_input = self.run.input_of(task)
        except ExpressionFailed as error:
            self._cannot_begin(task, str(error))
            return
        choice = choose(
            self.facts.agents,
            capability,
            requires=definition.requires,
            prefer=definition.prefer,
            pinned=definition.agent,
            avoid=task.avoid,
        )
        reads_context = "context" in task.step.input.roots
        if isinstance(choice, Choice):
            self.record(
                TaskAssigned(
                    task_id=task.id,
                    attempt=task.attempt + 1,
                    agent=choice.agent,
                    capability=capability,
                    candidates=choice.candidates,
                    reason=choice.reason,
                    input=task_input if reads_context else None,
                )
            )
            return
        if reads_context:
            task.input = UNKNOWN  # the context may change while the task waits
        if task.status != "parked":
            self.record(TaskParked(task_id=task.id, capability=capability, reason=choice))

    def _may_retry(self, task: Task) -> bool:
        return task.failures + 1 < task.step.task.retry.max_attempts

    def _schedule_retry(self, task: Task, asked_seconds: float | None) -> None:
        delay = delay_seconds(
            task.step.task.retry,
            failures=task.failures,
            chance=self.facts.chance,
            asked=asked_seconds,
        )
        at = self.facts.now + timedelta(seconds=delay)
        self.record(RetryScheduled(task_id=task.id, at=at, delay_seconds=round(delay, 6)))

    def _look_at(self, task: Task) -> None:
        match task.status:
            case "retrying":
                self._assign(task)
            case "sleeping":
                self.record(TimerFired(task_id=task.id))
            case "waiting":
                wait = task.step.task.wait
                assert wait is not None
                text = f"no signal {wait.signal!r} came within {wait.timeout:g} s"
                self._time_out(task, "signal", Failure(code="task.signal_timeout", message=text))
            case "parked":
                limit = task.step.task.queue_timeout
                text = f"no agent could take the task within {limit:g} s"
                self._time_out(task, "queue", Failure(code="task.queue_timeout", message=text))
            case "assigned":
                self._look_at_attempt(task)
            case _:
                pass

    def _look_at_attempt(self, task: Task) -> None:
        """An attempt is old: over time at work, over time in the queue, or fine."""
        now, definition = self.facts.now, task.step.task
        key = f"{self.run.id}/{task.id}/{task.attempt}"
        since = self.facts.agents.working_since(task.agent or "", key)
        if since is not None:
            until = since + timedelta(seconds=definition.timeout + ATTEMPT_GRACE_SECONDS)
            if now < until:
                self.run.look(task, until)
                return
            text = f"agent {task.agent!r} did not report within {definition.timeout:g} s"
            self._time_out(task, "attempt", Failure(code="task.timeout", message=text))
            return
        limit = definition.queue_timeout
        if limit is not None and now >= task.changed_at + timedelta(seconds=limit):
            text = f"no replica of {task.agent!r} took the task within {limit:g} s"
            self._time_out(task, "queue", Failure(code="task.queue_timeout", message=text))
            return
        self.run.look(task, now + timedelta(seconds=definition.timeout))

    def _time_out(self, task: Task, waited_for: str, error: Failure) -> None:
        final = waited_for == "signal" or not self._may_retry(task)
        self.record(
            TaskTimedOut(
                task_id=task.id,
                attempt=task.attempt,
                agent=task.agent if task.status == "assigned" else None,
                capability=task.step.task.capability or "",
                waited_for=waited_for,  # pyright: ignore[reportArgumentType] - one of the three
                error=error,
                final=final,
            )
        )
        if not final:
            self._schedule_retry(task, None)

    def _reroute(self, task: Task, reason: str) -> None:
        """Give an attempt to somebody else, if there is a live somebody else."""
        definition = task.step.task
        others = [
            view
            for view in self.facts.agents.capable(definition.capability or "")
            if view.slots > 0 and view.name != task.agent
            and definition.agent in {None, view.name}
            and all(view.labels.get(key) == value for key, value in definition.requires.items())
        ]  # fmt: skip
        if others and task.agent is not None:
            self.record(
                TaskRerouted(task_id=task.id, attempt=task.attempt, agent=task.agent, reason=reason)
            )

    def _complete_run(self) -> None:
        template = self.run.plan.output
        try:
            output: Json = None if template is None else template.evaluate(self.run.scope())
        except ExpressionFailed as error:
            self._fail_run(Failure(code="expression", message=f"output: {error}"), None)
            return
        self.record(RunCompleted(output=output))

    def _fail_run(self, error: Failure, task_id: TaskId | None) -> None:
        self.record(RunFailed(task_id=task_id, error=error, abandoned=self.run.abandoned()))
