"""The shared context of a run: who may write over what, and what comes of two that write at once.

A writer says which version of a key it had seen. If that is not the newest one, the key's rule
decides: `last` takes the new value; `reject` fails the attempt, so that it begins from what is
there; `append` and `union` join lists (a single value counts as a list of one), `union` without
what is there already; `sum`, `min`, `max` work on numbers; `merge` joins two objects, the new one's
fields going before.
"""

from collections.abc import Mapping
from typing import Any, cast

from dalsegno_bus.messages import ContextReport, Failure, Json
from dalsegno_orchestrator.workflow.events import ContextConflicted, ContextShared, TaskFailed
from dalsegno_orchestrator.workflow.grammar.policies import MergeRule
from dalsegno_orchestrator.workflow.rules import attempts
from dalsegno_orchestrator.workflow.run import Task
from dalsegno_orchestrator.workflow.turn import Turn, awaited_task


def shared(turn: Turn, report: ContextReport) -> None:
    """Set a key of the context, as its rule says; a copy of a report changes nothing."""
    run, task = turn.run, awaited_task(turn.run, report)
    if task is None or (report.task_id, report.attempt, report.key) in run.written:
        return
    version = run.context_versions.get(report.key, 0)
    rule = _rule(turn, report.key)
    unseen = report.base_version is not None and version > report.base_version
    value, merged = report.value, False
    if unseen and rule != "last":
        try:
            value, merged = merge(rule, run.context[report.key], report.value), True
        except TypeError as error:
            _conflict(turn, task, report, version, str(error))
            return
    turn.record(
        ContextShared(
            task_id=report.task_id,
            attempt=report.attempt,
            agent=report.agent,
            key=report.key,
            key_version=version + 1,
            value=value,
            merged=merged,
        )
    )


def merge(rule: MergeRule, there: Json, new: Json) -> Json:
    """What comes of a value and one that was written without having seen it.

    Raises:
        TypeError: The rule has no meaning for these two values.
    """
    match rule:
        case "append":
            return [*_listed(there), *_listed(new)]
        case "union":
            held = _listed(there)
            return [*held, *(value for value in _listed(new) if value not in held)]
        case "sum":
            return _number(there) + _number(new)
        case "min":
            return min(_number(there), _number(new))
        case "max":
            return max(_number(there), _number(new))
        case "merge":
            if isinstance(there, Mapping) and isinstance(new, Mapping):
                both = cast("tuple[Mapping[str, Any], Mapping[str, Any]]", (there, new))
                return {**both[0], **both[1]}
            raise TypeError("merge joins two objects, and one of the values is none")
        case "reject":
            raise TypeError("its rule is to reject what was written unseen")
        case "last":
            return new


def _listed(value: Json) -> list[Json]:
    return list(cast("list[Json]", value)) if isinstance(value, list) else [value]


def _number(value: Json) -> int | float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    raise TypeError("its rule works on numbers, and one of the values is none")


def _rule(turn: Turn, key: str) -> MergeRule:
    declared = turn.run.plan.definition.context.get(key)
    return "last" if declared is None else declared.on_conflict


def _conflict(turn: Turn, task: Task, report: ContextReport, version: int, why: str) -> None:
    seen = report.base_version or 0
    turn.record(
        ContextConflicted(
            task_id=report.task_id,
            attempt=report.attempt,
            agent=report.agent,
            key=report.key,
            base_version=seen,
            key_version=version,
        )
    )
    text = f"context.{report.key} is at version {version}, and the attempt had seen {seen}: {why}"
    error = Failure(code="context.conflict", message=text)
    final = not attempts.may_go_on(turn, task, error)
    turn.record(
        TaskFailed(
            task_id=report.task_id,
            attempt=report.attempt,
            agent=report.agent,
            replica=report.replica,
            capability=task.capability or "",
            error=error,
            retryable=True,
            final=final,
        )
    )
    if not final:
        attempts.try_again(turn, task)
