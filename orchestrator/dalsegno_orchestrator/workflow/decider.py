"""What follows: `decide` turns one message, or the passing of time, into facts. No effects.

`decide` owns the run it is given: the facts it returns are already folded into it. Time, chance and
the directory of agents are arguments (`Facts`). A stale, doubled or foreign message yields nothing,
so delivering a message again changes nothing. Whoever fails to store the facts throws the run away
and loads it anew.
"""

from collections.abc import Sequence
from typing import TypeAlias, assert_never

from dalsegno_bus.ids import RunId
from dalsegno_bus.messages import (
    CancelRun,
    CompletedReport,
    ContextReport,
    FailedReport,
    PauseRun,
    Problem,
    ResumeRun,
    SignalRun,
    StartRun,
    TaskCommand,
)
from dalsegno_orchestrator.workflow.events import (
    RunCancelled,
    RunEvent,
    RunStarted,
)
from dalsegno_orchestrator.workflow.evolve import begin
from dalsegno_orchestrator.workflow.facts import AgentsChanged, Facts, TimeReached
from dalsegno_orchestrator.workflow.plan import Plan
from dalsegno_orchestrator.workflow.run import Run, Task
from dalsegno_orchestrator.workflow.turn import Turn

RunMessage: TypeAlias = (
    SignalRun
    | CancelRun
    | PauseRun
    | ResumeRun
    | CompletedReport
    | FailedReport
    | ContextReport
    | TimeReached
    | AgentsChanged
)


def start(plan: Plan, message: StartRun, facts: Facts) -> tuple[Run, list[RunEvent]]:
    """The facts that begin a run, and the run after them.

    Raises:
        InputRejected: The input does not fit the workflow's schema.
    """
    problems = plan.check_input(message.input)
    if problems:
        raise InputRejected(problems)
    event = RunStarted(
        workflow=plan.definition.workflow,
        workflow_version=plan.definition.version,
        definition_digest=plan.digest,
        input=message.input,
        labels={**plan.definition.labels, **message.labels},
    )
    run = begin(RunId(message.run_id), plan, event, facts.now)
    turn = Turn(run, facts)
    turn.events.append(event)
    turn.go_on()
    return run, turn.events


class InputRejected(Exception):
    """The input of a run does not fit its workflow's schema."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(problems)
        self.problems = tuple(problems)


def decide(run: Run, message: RunMessage, facts: Facts) -> list[RunEvent]:
    """The facts that follow from `message`, folded into `run` already; none if nothing does."""
    if not run.is_open:
        return []
    turn = Turn(run, facts)
    match message:
        case CompletedReport() | FailedReport() | ContextReport():
            _report(turn, message)
        case SignalRun():
            turn.signalled(message)
        case CancelRun():
            turn.record(RunCancelled(reason=message.reason, abandoned=run.abandoned()))
        case PauseRun():
            turn.paused(message)
        case ResumeRun():
            turn.resumed()
        case TimeReached():
            turn.time_reached()
        case AgentsChanged():
            turn.agents_changed(message)
        case _:
            assert_never(message)
    turn.go_on()
    return turn.events


def _report(turn: Turn, report: CompletedReport | FailedReport | ContextReport) -> None:
    match report:
        case CompletedReport():
            turn.completed(report)
        case FailedReport():
            turn.failed(report)
        case ContextReport():
            turn.shared(report)


def command_of(run: Run, task: Task) -> TaskCommand:
    """The command that an assigned task stands for; the same attempt, the same command.

    `run.assigned` is the to-do list of a run: after a crash, every command that no agent has
    answered is made again from it.
    """
    assert task.agent is not None
    assert task.step.task.capability is not None
    return TaskCommand(
        run_id=run.id,
        task_id=task.id,
        attempt=task.attempt,
        agent=task.agent,
        capability=task.step.task.capability,
        workflow=run.plan.definition.workflow,
        input=run.input_of(task),
        timeout_seconds=task.step.task.timeout,
    )
