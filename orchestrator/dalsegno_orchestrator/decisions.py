"""What follows from a batch of messages, run by run, in the order in which they came.

Pure but for the cache it reads: it writes into the runs in memory and into the `Batch`, and sends
and stores nothing.
"""

import random
from collections.abc import Sequence
from typing import Final

from dalsegno_bus.errors import Unavailable
from dalsegno_bus.ids import ENTROPY, LIMITS, RunId, StreamId, schedule_id
from dalsegno_bus.messages import (
    Accepted,
    CancelRun,
    ChildOver,
    MigrateRun,
    PauseSchedule,
    Problem,
    QuestionReport,
    RegisterWorkflow,
    Rejected,
    Reply,
    Report,
    ResumeSchedule,
    RetryRun,
    RewindRun,
    RunRequest,
    SetLimit,
    StartRun,
    TaskReport,
)
from dalsegno_orchestrator.batch import Answer, Batch, over_of
from dalsegno_orchestrator.directory.agents import Directory
from dalsegno_orchestrator.heard import Heard
from dalsegno_orchestrator.kin import waits_for
from dalsegno_orchestrator.limits.waits import Waits
from dalsegno_orchestrator.registry import Registration, Registry
from dalsegno_orchestrator.replies import (
    accepted,
    forgery,
    is_waited_for,
    never_begun,
    never_started,
    same_run,
)
from dalsegno_orchestrator.runs import Runs
from dalsegno_orchestrator.schedules import schedule_wanted
from dalsegno_orchestrator.work import Undecidable, Work
from dalsegno_orchestrator.workflow.decider import RunMessage, decide, start
from dalsegno_orchestrator.workflow.events import RunEvent
from dalsegno_orchestrator.workflow.facts import (
    AgentsChanged,
    Facts,
    Limits,
    PlanChosen,
    TasksFreed,
    TimeReached,
)
from dalsegno_orchestrator.workflow.plan import Plan
from dalsegno_orchestrator.workflow.rules.questions import answer_to
from dalsegno_orchestrator.workflow.run import Run
from dalsegno_orchestrator.workflow.schedule import ScheduleMessage
from dalsegno_orchestrator.workflow.turn import Refused

ITSELF: Final = "orchestrator"
SERVED_EVENTS_MAX: Final = 5_000
"""A batch with so many events is stored before more of those that wait are let go."""


class Decisions:
    """Hands each message to the core, with what it may know."""

    def __init__(
        self, *, registry: Registry, directory: Directory, runs: Runs, waits: Waits
    ) -> None:
        self._registry = registry
        self._directory = directory
        self._runs = runs
        self._waits = waits
        self._schedules = runs.schedules
        self._chance = random.Random(ENTROPY.get().bits(64))  # noqa: S311 - spreads retries

    def take(self, work: Work, batch: Batch) -> None:
        """Decide on everything in `work`; what follows is in `batch` and in the runs in memory.

        Raises:
            Undecidable: The core failed on one message; leave it out and begin again.
        """
        for heard in work.heard:
            self._hear(work, batch, heard)
            self._serve(work, batch)
        for heard, fault in work.refused:
            self._refuse(batch, heard, fault)
        due = [run for run_id in work.due if (run := self._runs.held(run_id)) is not None]
        for run in due:
            if run.id not in work.left_alone:
                self._apply(batch, run, TimeReached(), None)
                self._serve(work, batch)
        for stream in work.due:
            if self._schedules.holds(stream) and stream not in work.left_alone:
                self._schedule(batch, stream, TimeReached(), None)
        if work.changed is not None:
            for run in self._concerned(work.changed):
                if run.id not in work.left_alone:
                    self._apply(batch, run, work.changed, None)
            self._waits.agents_changed()
        self._serve(work, batch)

    def _serve(self, work: Work, batch: Batch) -> None:
        """Let those in the line go that can, before anybody new may take what was given back."""
        while len(batch.sealed) < SERVED_EVENTS_MAX:
            named = self._waits.offer(batch.now)
            if named is None:
                return
            run_id, task_id = named
            run = self._runs.held(run_id)
            if run is None or run_id in work.left_alone or task_id not in run.parked:
                self._waits.line.drop(run_id)
                if run is not None and run_id not in work.left_alone:
                    self._waits.line.admit(run)
                continue
            served = self._waits.served()
            self._apply(batch, run, TasksFreed(tasks=(task_id,)), None, limits=served)
            self._waits.tried(run, task_id, served)

    def _hear(self, work: Work, batch: Batch, heard: Heard) -> None:
        match heard.message:
            case None:
                self._refuse(batch, heard, heard.fault)
            case StartRun() as message:
                self._start(work, batch, heard, message)
            case RegisterWorkflow() as message:
                self._register(batch, heard, message)
            case SetLimit() as message:
                self._set_limit(batch, heard, message)
            case PauseSchedule() | ResumeSchedule() as message:
                self._schedule(batch, heard.stream_id, message, heard)
            case ChildOver() as message if self._schedules.holds(message.run_id):
                self._schedule(batch, message.run_id, message, heard)
            case Report() | ChildOver() as message:
                self._report(work, batch, heard, message)
            case message:
                self._request(work, batch, heard, message)

    def _report(
        self, work: Work, batch: Batch, heard: Heard, message: TaskReport | ChildOver
    ) -> None:
        run = self._runs.held(message.run_id)
        if run is not None and is_waited_for(run, message):
            self._apply(batch, run, message, heard)
            if isinstance(message, QuestionReport):
                answer = answer_to(run, message)
                batch.answered += [] if answer is None else [answer]
        elif run is not None:
            forged = None if isinstance(message, ChildOver) else forgery(run, message)
            if forged is not None:
                self._refuse(batch, heard, forged)
                return
            batch.ignored += 1
            batch.doubt(run)
        elif message.run_id in work.ended:
            batch.ignored += 1
        elif (version := self._runs.ended_at(message.run_id)) is not None:
            batch.ignored += 1
            batch.doubted[message.run_id] = version
        else:
            fault = self._runs.broken.get(message.run_id, f"there is no run {message.run_id}")
            self._refuse(batch, heard, fault)

    def _apply(
        self,
        batch: Batch,
        run: Run,
        message: RunMessage,
        heard: Heard | None,
        *,
        limits: Limits | None = None,
    ) -> None:
        by, cause = (ITSELF, "") if heard is None else (heard.by, heard.message_id)
        try:
            events = decide(run, message, self._facts(batch, cause, limits))
            batch.record(run, events, by=by, cause=cause)
        except Refused:
            raise
        except Exception as error:
            # The one wall of this process: our own fault in one decision must not stop the rest.
            raise Undecidable(run.id, heard, error) from error
        self._note(batch, run, events)

    def _start(self, work: Work, batch: Batch, heard: Heard, message: StartRun) -> None:
        known = self._runs.held(message.run_id) or work.ended.get(message.run_id)
        if known is not None:
            over = over_of(known)
            if message.parent is not None and over is not None:
                batch.told_runs.append(over)  # the parent did not hear of it
            self._answer(batch, heard, same_run(known, message))
            return
        fault = self._runs.broken.get(message.run_id)
        if fault is not None:
            problem = Problem(message=fault, path="run_id", suggestion="start it under another id")
            self._refuse_start(batch, heard, message, (problem,))
            return
        if self._is_late(batch, message):
            self._reject(batch, heard, Problem(message="its parent does not wait for it"))
            return
        plan = self._registry.plan(message.workflow, message.version)
        if isinstance(plan, Problem):
            self._refuse_start(batch, heard, message, (plan,))
            return
        try:
            run, events = start(plan, message, self._facts(batch, heard.message_id))
            batch.record(run, events, by=heard.by, cause=heard.message_id)
        except Refused as error:
            self._refuse_start(batch, heard, message, error.problems)
            return
        except Exception as error:
            raise Undecidable(message.run_id, heard, error) from error
        self._runs.hold(run)
        self._note(batch, run, events)
        batch.started.add(run.id)
        self._answer(batch, heard, accepted(run))

    def _is_late(self, batch: Batch, message: StartRun) -> bool:
        """Whether the run was to do a task that does not wait for it any more."""
        above = message.parent
        if above is None or not above.task_id:
            return False
        parent = self._runs.held(above.run_id)
        version = self._runs.ended_at(above.run_id) if parent is None else parent.version
        if version is None or (
            parent is not None and waits_for(parent, above.task_id, message.run_id)
        ):
            return False
        batch.doubted[above.run_id] = version
        return True

    def _refuse_start(
        self, batch: Batch, heard: Heard, message: StartRun, reasons: Sequence[Problem]
    ) -> None:
        """Say why, also to the run that it was to be a part of."""
        self._answer(batch, heard, Rejected(reasons=tuple(reasons)))
        over = never_started(message, reasons)
        batch.told_runs += [] if over is None else [over]

    def _register(self, batch: Batch, heard: Heard, message: RegisterWorkflow) -> None:
        try:
            decided = self._registry.decide(message.definition)
        except Unavailable:
            raise
        except Exception as error:  # the same wall as in `_apply`
            raise Undecidable(RunId(heard.stream_id), heard, error) from error
        match decided:
            case Registration():
                batch.register(decided, by=heard.by, cause=heard.message_id)
                event = decided.event
                name, version = event.workflow, event.workflow_version
            case Plan():
                name, version = decided.definition.workflow, decided.definition.version
            case problems:
                self._answer(batch, heard, Rejected(reasons=tuple(problems)))
                return
        self._schedule(batch, schedule_id(name), schedule_wanted(self._registry, decided), heard)
        stream = RunId(heard.stream_id)
        reply = Accepted(run_id=stream, workflow=name, version=version, status="registered")
        self._answer(batch, heard, reply)

    def _schedule(
        self, batch: Batch, stream: StreamId, message: ScheduleMessage, heard: Heard | None
    ) -> None:
        by, cause = (ITSELF, "") if heard is None else (heard.by, heard.message_id)
        try:
            reply = self._schedules.hear(
                batch.schedules, stream, message, now=batch.now, by=by, cause=cause
            )
        except Exception as error:  # the same wall as in `_apply`
            raise Undecidable(RunId(stream), heard, error) from error
        if heard is not None and reply is not None:
            self._answer(batch, heard, reply)

    def _set_limit(self, batch: Batch, heard: Heard, message: SetLimit) -> None:
        decided = self._waits.ledger.settings.decide(message)
        if isinstance(decided, list):
            self._answer(batch, heard, Rejected(reasons=tuple(decided)))
            return
        if decided is not None:
            batch.register(decided, by=heard.by, cause=heard.message_id)
        reply = Accepted(
            run_id=RunId(LIMITS),
            workflow=message.limit,
            version=self._waits.ledger.settings.version + (decided is not None),
            status="removed" if message.concurrency is None and message.rate is None else "set",
        )
        self._answer(batch, heard, reply)

    def _request(self, work: Work, batch: Batch, heard: Heard, message: RunRequest) -> None:
        run = self._runs.held(message.run_id) or work.ended.get(message.run_id)
        if run is None:
            if isinstance(message, CancelRun):
                over = never_begun(message)
                batch.told_runs += [] if over is None else [over]
            fault = self._runs.broken.get(message.run_id, f"there is no run {message.run_id}")
            self._reject(batch, heard, Problem(message=fault, path="run_id"))
            return
        if not run.is_open and isinstance(message, CancelRun):
            over = over_of(run)
            if message.parent is not None and over is not None:
                batch.told_runs.append(over)  # the parent did not hear of it
        elif not run.is_open and heard.message_id in run.heard:
            pass  # a copy of what was done: who asked did not hear so
        elif not run.is_open and not isinstance(message, RetryRun | RewindRun):
            text = f"run {run.id} is {run.status}: nothing waits, and nothing can be changed"
            self._reject(batch, heard, Problem(message=text))
            return
        else:
            before = run.version
            asked = self._wanted_plan(run, message) if isinstance(message, MigrateRun) else message
            if isinstance(asked, Problem):
                self._reject(batch, heard, asked)
                return
            try:
                self._apply(batch, run, asked, heard)
            except Refused as refused:
                batch.doubt(run)
                self._answer(batch, heard, Rejected(reasons=refused.problems))
                return
            if run.version == before:
                batch.doubt(run)
            self._reopen(batch, run)
        self._answer(batch, heard, accepted(run))

    def _wanted_plan(self, run: Run, message: MigrateRun) -> PlanChosen | Problem:
        plan = self._registry.plan(run.plan.definition.workflow, message.version)
        return plan if isinstance(plan, Problem) else PlanChosen(plan=plan)

    def _reopen(self, batch: Batch, run: Run) -> None:
        """A run that had ended, and goes on, has to be kept in memory and in the index again."""
        if run.is_open and self._runs.held(run.id) is None:
            self._runs.hold(run)
            batch.started.add(run.id)

    def _concerned(self, changed: AgentsChanged) -> list[Run]:
        """The runs whose attempts have to be looked at; parked tasks stand in the line."""
        if not changed.gone:
            return []
        return [
            run
            for run in self._runs
            if any(
                agent in changed.gone
                for task in run.assigned.values()
                for _, agent in task.open_attempts()
            )
        ]

    def _note(self, batch: Batch, run: Run, events: Sequence[RunEvent]) -> None:
        """Count what was decided, for the decisions after it."""
        self._directory.observe(events, batch.now)
        change = self._waits.note(run, events, batch.now)
        if change is not None:
            batch.permits.append(change)

    def _facts(self, batch: Batch, message_id: str, limits: Limits | None = None) -> Facts:
        return Facts(
            now=batch.now,
            chance=self._chance.random(),
            message_id=message_id,
            agents=self._directory,
            limits=self._waits.newcomers if limits is None else limits,
        )

    def _reject(self, batch: Batch, heard: Heard, problem: Problem) -> None:
        self._answer(batch, heard, Rejected(reasons=(problem,)))

    def _refuse(self, batch: Batch, heard: Heard, fault: str) -> None:
        """Nobody can use this message: keep it for people, and tell who waits for an answer."""
        batch.refused.append((heard.delivery, fault))
        problem = Problem(message=fault)
        if isinstance(heard.message, StartRun):
            self._refuse_start(batch, heard, heard.message, (problem,))
        else:
            self._reject(batch, heard, problem)

    def _answer(self, batch: Batch, heard: Heard, reply: Reply) -> None:
        if heard.reply_to is not None:
            batch.answers.append(Answer(heard.reply_to, heard.message_id, reply))
