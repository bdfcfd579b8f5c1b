"""Plans that change: made by an agent, by a person, or by a newer version of the workflow."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from dalsegno_bus.artifacts import has_claim
from dalsegno_bus.messages import CompletedReport, Failure, Json, Problem, ReplanRun
from dalsegno_orchestrator.workflow.events import (
    Abandoned,
    PlanAccepted,
    PlanProposed,
    PlanRejected,
    RunMigrated,
    RunReplanned,
)
from dalsegno_orchestrator.workflow.plan import Plan
from dalsegno_orchestrator.workflow.replanning import migration_problems, replanned, with_plan
from dalsegno_orchestrator.workflow.rules import attempts
from dalsegno_orchestrator.workflow.run import OVER, Run, Task
from dalsegno_orchestrator.workflow.turn import Refused, Turn

REASONS_MAX = 20
"""So many reasons are recorded for the refusal of one plan."""


# --- made by an agent --------------------------------------------------------------------------


def propose(
    turn: Turn, task: Task, report: CompletedReport, abandoned: tuple[Abandoned, ...]
) -> None:
    """Record what an agent planned, look at it as a whole, and take all of it or nothing."""
    tasks, output, problems = _read(report.output)
    turn.record(
        PlanProposed(
            task_id=report.task_id,
            attempt=report.attempt,
            agent=report.agent,
            replica=report.replica,
            capability=task.capability or "",
            tasks=tasks,
            output=output,
            usage=report.usage,
            queue_seconds=report.queue_seconds,
            work_seconds=report.work_seconds,
            abandoned=abandoned,
        )
    )
    if not problems:
        problems += _problems(turn, task, tasks)
        problems += with_plan(turn.run.plan.definition, task.step.id, tasks, output)[1]
    if not problems and turn.run.ending is None:
        version = turn.run.plan_version + 1
        turn.record(PlanAccepted(task_id=task.id, plan_version=version))
        return
    reasons = [str(problem) for problem in problems[:REASONS_MAX]] or ["the run is ending"]
    error = Failure(
        code="plan.rejected",
        message=f"the plan cannot be taken: {'; '.join(reasons)}",
        detail=reasons,
    )
    final = not attempts.may_go_on(turn, task, error)
    turn.record(
        PlanRejected(
            task_id=task.id,
            attempt=report.attempt,
            agent=report.agent,
            error=error,
            final=final,
        )
    )
    if not final:
        attempts.try_again(turn, task)


def _read(value: Json) -> tuple[dict[str, Any], Json, list[Problem]]:
    """The tasks and the output of a plan, as far as they can be read."""
    plan = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    tasks = plan.get("tasks")
    if any(has_claim(part) for part in _to_be_read(plan, tasks)):
        return {}, None, [Problem(message="it is too large to be a plan; plan in steps")]
    unknown = sorted(plan.keys() - {"tasks", "output"})
    problems = [Problem(message=f"a plan has no key {key!r}", path=key) for key in unknown]
    if not isinstance(tasks, dict):
        problems.append(Problem(message="a plan needs tasks, by name", path="tasks"))
        return {}, None, problems
    return cast("dict[str, Any]", tasks), plan.get("output"), problems


def _to_be_read(plan: dict[str, Any], tasks: Json) -> Iterator[Json]:
    """All of a plan but the inputs of its tasks: those may hold what travels by reference."""
    yield {key: value for key, value in plan.items() if key != "tasks"}
    if not isinstance(tasks, dict):
        return
    for task in cast("dict[str, Any]", tasks).values():
        if isinstance(task, dict):
            fields = cast("dict[str, Any]", task)
            yield {key: value for key, value in fields.items() if key != "input"}
    yield dict.fromkeys(cast("dict[str, Any]", tasks))


def _problems(turn: Turn, task: Task, tasks: Mapping[str, Any]) -> Iterator[Problem]:
    """Limits on number, depth and budget, and capabilities that nobody has."""
    run = turn.run
    above = run.parts.get(task.step.id)
    root = task.step.id if above is None else above.root
    depth = 1 if above is None else above.depth + 1
    dynamic = run.plan.steps[root].task.dynamic
    assert dynamic is not None
    if tasks and depth > dynamic.max_depth:
        text = f"plans of {root!r} may be {dynamic.max_depth} deep, and this one is {depth}"
        yield Problem(message=text)
    before = sum(part.root == root for part in run.parts.values())
    if before + len(tasks) > dynamic.max_tasks:
        text = f"{root!r} may add {dynamic.max_tasks} tasks, and {before + len(tasks)} it would be"
        yield Problem(message=text)
    budget = run.budget
    if budget is not None and budget.tasks is not None:
        left = max(0, budget.tasks - run.spent.tasks)
        if len(tasks) > left:
            yield Problem(message=f"the budget leaves {left} tasks, and it has {len(tasks)}")
    for name, planned in tasks.items():
        fields = cast("dict[str, Any]", planned) if isinstance(planned, dict) else {}
        capability = fields.get("capability")
        if isinstance(capability, str) and not turn.facts.agents.capable(capability):
            text = f"no agent has the capability {capability!r}"
            yield Problem(message=text, path=f"tasks.{name}.capability")


# --- made by a person, or another program ------------------------------------------------------


def replan(turn: Turn, message: ReplanRun) -> None:
    """Change what has not begun.

    Raises:
        Refused: The change is of another plan than the run's, or would not be sound.
    """
    run = turn.run
    _refuse_unless_going(run)
    if message.plan_version is not None and message.plan_version != run.plan_version:
        raise Refused.because(
            f"the change is of plan {message.plan_version}, and the run follows plan "
            f"{run.plan_version} by now",
            path="plan_version",
            suggestion="look at the run again",
        )
    definition, problems = replanned(
        run.plan.definition,
        add=message.add,
        drop=message.drop,
        change=message.change,
        begun=begun_steps(run),
    )
    if definition is None or problems:
        raise Refused(problems)
    turn.record(
        RunReplanned(
            message_id=turn.facts.message_id,
            plan_version=run.plan_version + 1,
            add=message.add,
            drop=message.drop,
            change=message.change,
            reason=message.reason,
        )
    )


def migrate(turn: Turn, plan: Plan) -> None:
    """Follow another version of the workflow, if what has happened fits it.

    Raises:
        Refused: It does not fit; every reason is listed.
    """
    run = turn.run
    _refuse_unless_going(run)
    if plan.digest == run.plan.digest:
        raise Refused.because(
            f"run {run.id} follows version {plan.definition.version} already", path="version"
        )
    if run.plan.digest != run.follows:
        raise Refused.because(
            f"the plan of run {run.id} was changed while it ran (it is at plan "
            f"{run.plan_version}), and the other version does not know of that",
            path="plan_version",
        )
    problems = plan.check_input(run.input)
    problems += migration_problems(run.plan, plan, begun=begun_steps(run))
    if problems:
        raise Refused(problems)
    turn.record(
        RunMigrated(
            message_id=turn.facts.message_id,
            plan_version=run.plan_version + 1,
            workflow_version=plan.definition.version,
            definition_digest=plan.digest,
            definition=plan.definition.to_json(),
        )
    )


def begun_steps(run: Run) -> dict[str, bool]:
    """The steps that have begun, each with whether it is still open."""
    return {
        task.step.id: task.status not in OVER
        for task in run.tasks.values()
        if task.role == "step" and not (task.is_new and not task.step.is_fallback)
    }


def _refuse_unless_going(run: Run) -> None:
    if run.status not in {"running", "paused"}:
        raise Refused.because(f"run {run.id} is {run.status}: its plan cannot change any more")
