"""Sentences about a run as a whole, its budget and its plan."""

from typing import Final, TypeAlias, assert_never

from dalsegno_orchestrator.workflow import events as e
from dalsegno_projections.sentences.words import because, count, lasting, moment, names, short, why

RunFact: TypeAlias = (
    e.RunStarted
    | e.RunPaused
    | e.RunResumed
    | e.RunCompleted
    | e.RunFailed
    | e.RunCancelled
    | e.RunEnding
    | e.CompensationStarted
    | e.RunCompensationFailed
    | e.RunReopened
    | e.RunRewound
)
"""How a run begins, stands still, goes back and ends."""

PlanFact: TypeAlias = (
    e.BudgetExceeded
    | e.BudgetRaised
    | e.PlanProposed
    | e.PlanAccepted
    | e.PlanRejected
    | e.PlanFinished
    | e.RunReplanned
    | e.RunMigrated
)
"""What a run may cost, and the plan it follows."""

_OUTCOMES: Final = {"failed": "failed", "cancelled": "was cancelled"}


def run_sentence(event: RunFact) -> str:  # noqa: C901 - one case for each kind
    """What became of a run, in one sentence."""
    match event:
        case e.RunStarted():
            return _started(event)
        case e.RunPaused():
            return f"The run was paused{why(event.reason)}."
        case e.RunResumed():
            return "The run goes on."
        case e.RunCompleted():
            return "The run completed."
        case e.RunFailed():
            blame = f" because of {event.task_id}" if event.task_id else ""
            return f"The run failed{blame}: {short(event.error.message)}{_undone(event)}."
        case e.RunCancelled():
            return f"The run was cancelled{why(event.reason)}{_undone(event)}."
        case e.RunEnding():
            return _ending(event)
        case e.CompensationStarted():
            return f"{count(len(event.tasks), 'task')} will be undone: {names(event.tasks)}."
        case e.RunCompensationFailed():
            return (
                f"The run {_OUTCOMES[event.outcome]}{because(event.error.message)}, and "
                f"{names(event.uncompensated)} could not be undone."
            )
        case e.RunReopened():
            what = "to undo" if event.undoing else "to do"
            return (
                f"The run was opened again, {what} {names(event.tasks)} once more"
                f"{because(event.reason)}."
            )
        case e.RunRewound():
            return (
                f"The run went back to before {event.task_id}, as if {names(event.undone)} had "
                f"never begun{because(event.reason)}."
            )
        case _:
            assert_never(event)


def plan_sentence(event: PlanFact) -> str:
    """What became of a run's budget or plan, in one sentence."""
    match event:
        case e.BudgetExceeded():
            return budget_note(event)
        case e.BudgetRaised():
            return f"The run may now cost {_limits(event)}."
        case e.PlanProposed():
            added = count(len(event.tasks), "task")
            return (
                f"{event.agent} proposed {added} for {event.task_id}, in attempt {event.attempt}: "
                f"{names(list(event.tasks))}."
            )
        case e.PlanAccepted():
            return f"The plan of {event.task_id} was accepted (plan version {event.plan_version})."
        case e.PlanRejected():
            end = "for good" if event.final else "and is asked for again"
            return (
                f"The plan of {event.task_id} by {event.agent} was rejected {end}: "
                f"{short(event.error.message)}."
            )
        case e.PlanFinished():
            return f"All that {event.task_id} planned is done."
        case e.RunReplanned():
            return (
                f"The run was planned anew (plan version {event.plan_version}): "
                f"{_replanned(event)}{because(event.reason)}."
            )
        case e.RunMigrated():
            return (
                f"The run follows version {event.workflow_version} of its workflow from now on "
                f"(plan version {event.plan_version})."
            )
        case _:
            assert_never(event)


def budget_note(event: e.BudgetExceeded) -> str:
    """What was spent, what was allowed, and what follows from it."""
    spent = {
        "usd": f"{event.spent_usd:.4g} USD",
        "tokens": count(event.spent_tokens, "token"),
        "tasks": count(event.spent_tasks, "attempt"),
        "time": f"{round(event.spent_seconds, 2):.10g} s",
    }[event.limit]
    then = {
        "pause": "it is paused",
        "ask": "it waits for the signal 'budget'",
        "stop": "it is stopped",
    }[event.action]
    dearest = max(event.by_task, key=lambda task: event.by_task[task], default=None)
    is_most = dearest is not None and event.by_task[dearest] > sum(event.by_task.values()) / 2
    most = f", most of it for {dearest}" if is_most else ""
    return f"The run has used {spent} of {event.allowed:.10g}{most}: {then}."


def _started(event: e.RunStarted) -> str:
    parent = event.parent
    by = ""
    if parent is not None:
        by = f" for {parent.task_id} of run {parent.run_id}" if parent.task_id else " on schedule"
    return f"A run of {event.workflow} (version {event.workflow_version}) was accepted{by}."


def _ending(event: e.RunEnding) -> str:
    left = [
        count(len(listed), what)
        for listed, what in ((event.stopping, "attempt"), (event.children, "run of its own"))
        if listed
    ]
    first = f"; {' and '.join(left)} may stop until {moment(event.until)}" if left else ""
    verb = "fails" if event.outcome == "failed" else "is being cancelled"
    blame = f" because of {event.task_id}" if event.task_id else ""
    return f"The run {verb}{blame}{why(event.error.message)}{first}."


def _undone(event: e.RunFailed | e.RunCancelled) -> str:
    done = event.compensated
    return f" (undone before: {names(done)})" if done else ""


def _limits(event: e.BudgetRaised) -> str:
    raised = [
        text
        for value, text in (
            (event.usd, f"{event.usd or 0:.10g} USD"),
            (event.tokens, f"{event.tokens} tokens"),
            (event.tasks, f"{event.tasks} attempts"),
            (event.time_seconds, lasting(event.time_seconds or 0.0)),
        )
        if value is not None
    ]
    return names(raised) or "as much as before"


def _replanned(event: e.RunReplanned) -> str:
    parts = [
        f"{names(list(listed))} {what}"
        for listed, what in (
            (event.add, "added"),
            (event.drop, "dropped"),
            (event.change, "changed"),
        )
        if listed
    ]
    return ", ".join(parts) or "nothing changed"
