"""What follows from a batch of messages, run by run, in the order in which they came.

Pure but for the cache it reads: it writes into the runs in memory and into the `Batch`, and sends
and stores nothing.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from dalsegno_bus.errors import Unavailable
from dalsegno_bus.ids import RunId
from dalsegno_bus.messages import (
    Accepted,
    CancelRun,
    CompletedReport,
    ContextReport,
    FailedReport,
    PauseRun,
    Problem,
    RegisterWorkflow,
    Rejected,
    Reply,
    ResumeRun,
    SignalRun,
    StartRun,
)
from dalsegno_orchestrator.batch import Answer, Batch
from dalsegno_orchestrator.directory import Directory
from dalsegno_orchestrator.heard import Heard
from dalsegno_orchestrator.registry import Registration, Registry
from dalsegno_orchestrator.runs import Runs
from dalsegno_orchestrator.workflow.decider import InputRejected, RunMessage, decide, start
from dalsegno_orchestrator.workflow.facts import AgentsChanged, Facts, TimeReached
from dalsegno_orchestrator.workflow.plan import Plan
from dalsegno_orchestrator.workflow.run import Run
from dalsegno_orchestrator.workflow.turn import is_awaited

ITSELF: Final = "orchestrator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What one batch is about: messages, runs whose time has come, a change among the agents."""

    heard: Sequence[Heard] = ()
    due: Sequence[RunId] = ()
    changed: AgentsChanged | None = None
    refused: Sequence[tuple[Heard, str]] = ()
    """Messages found to be undecidable, with the reason."""
    ended: Mapping[RunId, Run] = field(default_factory=dict[RunId, Run])
    """Runs that messages ask about, though they have ended."""
    left_alone: frozenset[RunId] = frozenset()
    """Runs whose time or agents cannot be decided on; a message may still move them."""
    undecided: frozenset[RunId] = frozenset()
    """Runs that a decision broke off on: thrown out of memory, they have to be loaded again."""

    def without(self, fault: "Undecidable") -> "Work":
        """The same work, less what could not be decided."""
        if fault.heard is None:
            left_alone = self.left_alone | {fault.run_id}
            return replace(self, left_alone=left_alone, undecided=self.undecided | left_alone)
        undecided = self.undecided
        if not isinstance(fault.heard.message, RegisterWorkflow):
            undecided |= {fault.run_id}
        return replace(
            self,
            undecided=undecided,
            heard=[heard for heard in self.heard if heard is not fault.heard],
            refused=(*self.refused, (fault.heard, str(fault))),
        )


class Undecidable(Exception):
    """`decide` itself failed: a fault of ours, kept to one message of one run."""

    def __init__(self, run_id: RunId, heard: Heard | None, error: Exception) -> None:
        super().__init__(run_id, heard, error)
        self.run_id = run_id
        self.heard = heard
        self._error = error

    def __str__(self) -> str:
        return f"internal fault while deciding on run {self.run_id}: {self._error!r}"


class Decisions:
    """Hands each message to the core, with what it may know."""

    def __init__(self, *, registry: Registry, directory: Directory, runs: Runs) -> None:
        self._registry = registry
        self._directory = directory
        self._runs = runs
        self._chance = random.Random()  # noqa: S311 - spreads retries

    def take(self, work: Work, batch: Batch) -> None:
        """Decide on everything in `work`; what follows is in `batch` and in the runs in memory.

        Raises:
            Undecidable: The core failed on one message; leave it out and begin again.
        """
        for heard in work.heard:
            self._hear(work, batch, heard)
        for heard, fault in work.refused:
            self._refuse(batch, heard, fault)
        due = [run for run_id in work.due if (run := self._runs.held(run_id)) is not None]
        for run in due:
            if run.id not in work.left_alone:
                self._apply(batch, run, TimeReached(), None)
        if work.changed is not None:
            for run in self._concerned(work.changed):
                if run.id not in work.left_alone:
                    self._apply(batch, run, work.changed, None)

    def _hear(self, work: Work, batch: Batch, heard: Heard) -> None:
        match heard.message:
            case None:
                self._refuse(batch, heard, heard.fault)
            case StartRun() as message:
                self._start(work, batch, heard, message)
            case RegisterWorkflow() as message:
                self._register(batch, heard, message)
            case CancelRun() | SignalRun() | PauseRun() | ResumeRun() as message:
                self._request(work, batch, heard, message)
            case CompletedReport() | FailedReport() | ContextReport() as message:
                self._report(work, batch, heard, message)

    def _report(
        self,
        work: Work,
        batch: Batch,
        heard: Heard,
        message: CompletedReport | FailedReport | ContextReport,
    ) -> None:
        run = self._runs.held(message.run_id)
        if run is not None and is_awaited(run, message):
            self._apply(batch, run, message, heard)
        elif run is not None:
            batch.ignored += 1
            batch.doubted[run.id] = run.version
        elif message.run_id in work.ended or self._runs.has_ended(message.run_id):
            batch.ignored += 1
        else:
            fault = self._runs.broken.get(message.run_id, f"there is no run {message.run_id}")
            self._refuse(batch, heard, fault)

    def _apply(self, batch: Batch, run: Run, message: RunMessage, heard: Heard | None) -> None:
        by, cause = (ITSELF, "") if heard is None else (heard.by, heard.message_id)
        try:
            events = decide(run, message, self._facts(batch, cause))
            batch.record(run, events, by=by, cause=cause)
        except Exception as error:
            # The one wall of this process: our own fault in one decision must not stop the rest.
            raise Undecidable(run.id, heard, error) from error
        self._directory.observe(events)
        self._runs.note(run)

    def _start(self, work: Work, batch: Batch, heard: Heard, message: StartRun) -> None:
        known = self._runs.held(message.run_id) or work.ended.get(message.run_id)
        if known is not None:
            self._answer(batch, heard, _same(known, message))
            return
        fault = self._runs.broken.get(message.run_id)
        if fault is not None:
            problem = Problem(message=fault, path="run_id", suggestion="start it under another id")
            self._answer(batch, heard, Rejected(reasons=(problem,)))
            return
        plan = self._registry.plan(message.workflow, message.version)
        if isinstance(plan, Problem):
            self._answer(batch, heard, Rejected(reasons=(plan,)))
            return
        try:
            run, events = start(plan, message, self._facts(batch, heard.message_id))
            batch.record(run, events, by=heard.by, cause=heard.message_id)
        except InputRejected as error:
            self._answer(batch, heard, Rejected(reasons=error.problems))
            return
        except Exception as error:
            raise Undecidable(message.run_id, heard, error) from error
        self._directory.observe(events)
        self._runs.hold(run)
        self._runs.note(run)
        batch.started.add(run.id)
        self._answer(batch, heard, _accepted(run))

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
        stream = RunId(heard.stream_id)
        reply = Accepted(run_id=stream, workflow=name, version=version, status="registered")
        self._answer(batch, heard, reply)

    def _request(
        self,
        work: Work,
        batch: Batch,
        heard: Heard,
        message: CancelRun | SignalRun | PauseRun | ResumeRun,
    ) -> None:
        run = self._runs.held(message.run_id) or work.ended.get(message.run_id)
        if run is None:
            fault = self._runs.broken.get(message.run_id, f"there is no run {message.run_id}")
            problem = Problem(message=fault, path="run_id")
            self._answer(batch, heard, Rejected(reasons=(problem,)))
            return
        if run.is_open:
            self._apply(batch, run, message, heard)
        elif not isinstance(message, CancelRun):
            is_signal = isinstance(message, SignalRun)
            why = "nothing waits for signals" if is_signal else "it cannot be paused or resumed"
            problem = Problem(message=f"run {run.id} is {run.status}: {why}")
            self._answer(batch, heard, Rejected(reasons=(problem,)))
            return
        self._answer(batch, heard, _accepted(run))

    def _concerned(self, changed: AgentsChanged) -> list[Run]:
        runs = [run for run_id in self._runs.parked if (run := self._runs.held(run_id))]
        if changed.gone:
            runs.extend(
                run
                for run in self._runs
                if any(task.agent in changed.gone for task in run.assigned.values())
                and run.id not in self._runs.parked
            )
        return runs

    def _facts(self, batch: Batch, message_id: str) -> Facts:
        return Facts(
            now=batch.now,
            chance=self._chance.random(),
            message_id=message_id,
            agents=self._directory,
        )

    def _refuse(self, batch: Batch, heard: Heard, fault: str) -> None:
        """Nobody can use this message: keep it for people, and tell who waits for an answer."""
        batch.refused.append((heard.delivery, fault))
        self._answer(batch, heard, Rejected(reasons=(Problem(message=fault),)))

    def _answer(self, batch: Batch, heard: Heard, reply: Reply) -> None:
        if heard.reply_to is not None:
            batch.answers.append(Answer(heard.reply_to, heard.message_id, reply))


def _accepted(run: Run) -> Accepted:
    definition = run.plan.definition
    return Accepted(
        run_id=run.id,
        workflow=definition.workflow,
        version=definition.version,
        status=run.status,
    )


def _same(run: Run, message: StartRun) -> Reply:
    """The answer to a start of a run that is there already."""
    if run.plan.definition.workflow == message.workflow:
        return _accepted(run)
    text = f"run {run.id} is there already, of workflow {run.plan.definition.workflow!r}"
    return Rejected(reasons=(Problem(message=text, path="run_id"),))
