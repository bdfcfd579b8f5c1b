"""What follows: `decide` turns one message, or the passing of time, into facts. No effects.

`decide` owns the run it is given: the facts it returns are already folded into it. Time, chance and
the directory of agents are arguments (`Facts`). A stale, doubled or foreign message yields nothing,
so delivering a message again changes nothing. Whoever fails to store the facts throws the run away
and loads it anew. The rules themselves are in `rules`.
"""

from typing import Final, TypeAlias, assert_never

from dalsegno_bus.ids import RunId
from dalsegno_bus.messages import (
    CancelRun,
    ChildOver,
    CompletedReport,
    ContextReport,
    FailedReport,
    Failure,
    HandoffReport,
    HeartbeatReport,
    ParentRun,
    PauseRun,
    QuestionReport,
    ReplanRun,
    Report,
    ResumeRun,
    RetryRun,
    RewindRun,
    SignalRun,
    StartRun,
    TaskCommand,
)
from dalsegno_orchestrator.workflow.cel.expressions import ExpressionFailed
from dalsegno_orchestrator.workflow.events import (
    Parent,
    RunEvent,
    RunPaused,
    RunResumed,
    RunStarted,
    TimerFired,
)
from dalsegno_orchestrator.workflow.evolve import begin
from dalsegno_orchestrator.workflow.facts import (
    AgentsChanged,
    Facts,
    PlanChosen,
    TasksFreed,
    TimeReached,
)
from dalsegno_orchestrator.workflow.grammar.durations import format_duration
from dalsegno_orchestrator.workflow.plan import Plan
from dalsegno_orchestrator.workflow.rules import (
    attempts,
    budget,
    children,
    ending,
    planning,
    questions,
    reports,
    rewinding,
    sharing,
    waiting,
)
from dalsegno_orchestrator.workflow.rules.advance import go_on
from dalsegno_orchestrator.workflow.run import Run, Task
from dalsegno_orchestrator.workflow.turn import Refused, Turn

HeardReport: TypeAlias = (
    CompletedReport
    | FailedReport
    | ContextReport
    | HandoffReport
    | HeartbeatReport
    | QuestionReport
    | ChildOver
)
Asked: TypeAlias = (
    SignalRun | CancelRun | PauseRun | ResumeRun | RetryRun | RewindRun | ReplanRun | PlanChosen
)
Noticed: TypeAlias = TimeReached | AgentsChanged | TasksFreed
RunMessage: TypeAlias = HeardReport | Asked | Noticed

HEARTBEATS: Final = 3
"""An agent is asked for so many signs of life in the time in which one has to come."""


def start(plan: Plan, message: StartRun, facts: Facts) -> tuple[Run, list[RunEvent]]:
    """The facts that begin a run, and the run after them.

    Raises:
        Refused: The input does not fit the workflow's schema.
    """
    problems = plan.check_input(message.input)
    if problems:
        raise Refused(problems)
    event = RunStarted(
        workflow=plan.definition.workflow,
        workflow_version=plan.definition.version,
        definition_digest=plan.digest,
        input=message.input,
        parent=None if message.parent is None else _parent(message.parent),
        labels={**plan.definition.labels, **message.labels},
    )
    run = begin(RunId(message.run_id), plan, event, facts.now)
    turn = Turn(run, facts)
    turn.events.append(event)
    go_on(turn)
    return run, turn.events


def decide(run: Run, message: RunMessage, facts: Facts) -> list[RunEvent]:
    """The facts that follow from `message`, folded into `run` already; none if nothing does.

    Raises:
        Refused: What was asked for cannot be done; nothing was recorded.
    """
    if not run.is_open and not isinstance(message, RetryRun | RewindRun):
        return []
    turn = Turn(run, facts)
    match message:
        case Report() | ChildOver():  # by far the most
            _reported(turn, message)
        case TimeReached() | AgentsChanged() | TasksFreed():
            _noticed(turn, message)
        case _:
            if facts.message_id not in run.heard:  # else it is a copy of what was done
                _asked(turn, message)
    go_on(turn)
    return turn.events


def _reported(turn: Turn, message: HeardReport) -> None:
    match message:
        case CompletedReport():
            reports.completed(turn, message)
        case FailedReport():
            reports.failed(turn, message)
        case ContextReport():
            sharing.shared(turn, message)
        case HandoffReport():
            reports.handed_off(turn, message)
        case HeartbeatReport():
            reports.alive(turn, message)
        case QuestionReport():
            questions.ask(turn, message)
        case ChildOver():
            children.over(turn, message)
        case _:
            assert_never(message)


def _asked(turn: Turn, message: Asked) -> None:
    match message:
        case SignalRun():
            waiting.signalled(turn, message)
        case CancelRun():
            ending.cancel(turn, message.reason)
        case PauseRun():
            if turn.run.status == "running":
                asked_by = turn.facts.message_id
                turn.record(RunPaused(reason=message.reason, message_id=asked_by))
        case ResumeRun():
            _resumed(turn)
        case RetryRun():
            rewinding.retry(turn, message)
        case RewindRun():
            rewinding.rewind(turn, message)
        case ReplanRun():
            planning.replan(turn, message)
        case PlanChosen():
            planning.migrate(turn, message.plan)
        case _:
            assert_never(message)


def _noticed(turn: Turn, message: Noticed) -> None:
    match message:
        case TimeReached():
            _time_reached(turn)
        case AgentsChanged():
            _agents_changed(turn, message)
        case TasksFreed():
            tasks = (turn.run.tasks.get(task_id) for task_id in message.tasks)
            attempts.park_again(turn, [task for task in tasks if task is not None])
        case _:
            assert_never(message)


def _resumed(turn: Turn) -> None:
    run = turn.run
    if run.status != "paused":
        return
    if budget.is_asking(run):
        raise Refused.because(
            f"run {run.id} asks whether it may cost more",
            suggestion=f"answer with the signal {budget.SIGNAL!r}",
        )
    turn.record(RunResumed(message_id=turn.facts.message_id))
    attempts.park_again(turn, list(run.parked.values()))


def _time_reached(turn: Turn) -> None:
    run, now = turn.run, turn.facts.now
    if run.status == "paused":
        return
    if run.ending is None:
        if run.deadline_at is not None and now >= run.deadline_at:
            seconds = run.plan.definition.deadline or 0.0
            text = f"the run did not end within its deadline of {format_duration(seconds)}"
            ending.fail(turn, Failure(code="run.deadline", message=text), None)
            return
        if run.budget_at is not None and now >= run.budget_at and budget.is_used_up(turn):
            return
    due = run.due(now)
    for number, (_, task) in enumerate(due):
        _look_at(turn, task)
        if run.paused_at is not None or run.failing is not None:
            for at, later in due[number:]:  # they are still due when the run goes on
                if later.look_at is None and later.is_open:
                    run.look(later, at)
            return


def _look_at(turn: Turn, task: Task) -> None:
    match task.status:
        case "retrying":
            _ask_again(turn, task)
        case "sleeping":
            turn.record(TimerFired(task_id=task.id))
        case "waiting":
            waiting.look_at(turn, task)
        case "parked":
            limit = task.step.task.queue_timeout
            text = f"no agent could take the task within {format_duration(limit or 0)}"
            error = Failure(code="task.queue_timeout", message=text)
            attempts.time_out(turn, task, "queue", error)
        case "assigned":
            attempts.look_at(turn, task)
        case _:
            pass


def _ask_again(turn: Turn, task: Task) -> None:
    if task.step.task.workflow is not None and not task.is_beside:
        try:
            children.begin(turn, task)
        except ExpressionFailed as error:
            attempts.cannot_begin(turn, task, str(error))
    else:
        attempts.assign(turn, task)


def _agents_changed(turn: Turn, message: AgentsChanged) -> None:
    run = turn.run
    if run.status not in {"running", "compensating"}:
        return
    for task in list(run.assigned.values()) if message.gone else ():
        for agent in {agent for _, agent in task.open_attempts()} & message.gone:
            attempts.reroute(turn, task, agent)
    attempts.park_again(turn, list(run.parked.values()))  # which may use up the budget


def _parent(parent: ParentRun) -> Parent:
    return Parent(
        run_id=parent.run_id, task_id=parent.task_id, attempt=parent.attempt, depth=parent.depth
    )


def command_of(run: Run, task: Task, attempt: int) -> TaskCommand:
    """The command that an open attempt stands for; the same attempt, the same command.

    `run.assigned` is the to-do list of a run: after a crash, every command that no agent has
    answered is made again from it.
    """
    definition = task.step.task
    heartbeat = definition.heartbeat_timeout
    return TaskCommand(
        run_id=run.id,
        task_id=task.id,
        attempt=attempt,
        agent=task.opened[attempt].agent,
        capability=task.capability or "",
        workflow=run.plan.definition.workflow,
        input=run.input_of(task),
        timeout_seconds=definition.timeout,
        heartbeat_seconds=None if heartbeat is None else heartbeat / HEARTBEATS,
        last_progress=task.progress,
        last_failure=task.error,
        context_versions=task.context_seen,
    )


def child_start_of(run: Run, task: Task) -> StartRun:
    """The start of the run that does a delegated task; the same attempt, the same run."""
    assert task.child is not None
    assert task.step.task.workflow is not None
    above = 0 if run.parent is None else run.parent.depth
    return StartRun(
        run_id=task.child,
        workflow=task.step.task.workflow,
        version=task.step.task.workflow_version,
        input=run.input_of(task),
        labels=run.labels,
        requested_by=f"run:{run.id}",
        parent=ParentRun(run_id=run.id, task_id=task.id, attempt=task.attempt, depth=above + 1),
    )
