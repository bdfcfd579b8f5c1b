"""The view of tasks: one row for each task of each run, as its newest attempt left it.

What each event says of its task is the matter of `telling`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from dalsegno_orchestrator.workflow import events as e
from dalsegno_orchestrator.workflow.run import Role
from dalsegno_projections.views.progress import OVER, Standing, advance, foreach_of
from dalsegno_projections.views.table import AnyTable, Change, Entry, Found, Key
from dalsegno_projections.views.telling import FORGOTTEN, TASKS, TaskRow, changes_of
from dalsegno_projections.views.values import changed

__all__ = ["TASKS", "TaskRow", "TasksView", "apply"]

_ENDED: Final = frozenset[Standing]({*OVER, "abandoned"})


class TasksView:
    """Folds the history into one row per task."""

    name: str = "tasks"
    events_stand_alone: bool = False
    tables: Sequence[AnyTable] = (TASKS,)

    def touches(self, entry: Entry) -> Iterable[tuple[AnyTable, Key]]:
        return [(TASKS, (entry.stream, task_id)) for task_id in entry.tasks]

    def apply(self, found: Found, entry: Entry) -> Iterable[Change]:
        run_id = entry.stream
        before = {task_id: found.get(TASKS, (run_id, task_id)) for task_id in entry.tasks}
        return [(TASKS, (run_id, row.task_id), row) for row in apply(before, entry)]


def apply(before: Mapping[str, TaskRow | None], entry: Entry) -> Iterable[TaskRow]:
    """The rows that change with one more event, given all that it touches."""
    event, at = entry.event, entry.at

    def moved(task_id: str, row: TaskRow | None, status: Standing) -> TaskRow:
        known = row or _UNHEARD
        changes = changes_of(event, known, at)
        if known.beside is not None and not isinstance(event, _KEEPS_BESIDE):
            changes |= _without_beside(event, known)
        if known.waits_for is not None and status != "parked":
            changes["waits_for"] = None
        changes["status"] = status
        changes["changed_at"] = at
        if status in _ENDED:
            changes["completed_at"] = at
        elif status == "undone":
            changes |= FORGOTTEN
        elif known.completed_at is not None:
            changes["completed_at"] = None
        if status == "repeating" and isinstance(event, e.TaskRepeated):
            changes["items"] = event.iteration + 1
        if row is None:
            changes |= _identity(entry, task_id, before)
        return changed(known, **changes)

    rows = advance(event, entry.moves, entry.places, before, moved)
    if len(rows) == len(entry.moves):
        return rows.values()
    named = {task_id for task_id, _ in entry.moves}
    return [row if row.task_id in named else _foreach(row, rows, entry) for row in rows.values()]


_UNHEARD: Final = TaskRow(
    run_id="", task_id="", step="", status="ready", began_at="", began_version=0, changed_at=""
)
"""What is changed into the row of a task that was not heard of before."""

_KEEPS_BESIDE: Final = (e.TaskAssigned, e.AttemptProgressed, e.RunEnding)


def _without_beside(event: e.Event, row: TaskRow) -> dict[str, Any]:
    """A hedged task has one attempt left, or none: the one that goes on is told."""
    changes: dict[str, Any] = {"beside": None, "beside_agent": None}
    is_lost = isinstance(event, (e.TaskFailed, e.TaskTimedOut, e.TaskRerouted))
    if is_lost and event.attempt == row.attempt:
        changes["agent"] = row.beside_agent
    return changes


def _identity(entry: Entry, task_id: str, before: Mapping[str, TaskRow | None]) -> dict[str, Any]:
    """What never changes of a task."""
    event = entry.event
    identity: dict[str, Any] = {
        "run_id": entry.stream,
        "task_id": task_id,
        "step": task_id,
        "began_at": entry.at,
        "began_version": entry.recorded.version,
    }
    if isinstance(event, e.TaskRepeated) and task_id != event.task_id:
        return identity | {
            "step": event.task_id,
            "role": "iteration",
            "parent": event.task_id,
            "index": event.iteration,
        }
    place = entry.places.get(task_id)
    foreach = foreach_of(place, before)
    if foreach is not None and place is not None:
        return identity | {
            "step": foreach.task_id,
            "role": "item",
            "parent": foreach.task_id,
            "index": place[1],
        }
    role, parent = role_of(task_id)
    if parent is not None:
        identity |= {"step": parent.partition("-")[0], "role": role, "parent": parent}
    return identity


def role_of(task_id: str) -> tuple[Role, str | None]:
    """What a task is beside the steps of its run, and of which task; names have no dash."""
    if "-" not in task_id:
        return "step", None
    owner, _, last = task_id.rpartition("-")
    if owner.endswith("-ask"):
        return "question", owner.removesuffix("-ask")
    if owner.endswith("-escalation"):
        return "escalation", owner.removesuffix("-escalation")
    return ("undo", owner) if last == "undo" else ("step", None)


def _foreach(row: TaskRow, rows: Mapping[str, TaskRow], entry: Entry) -> TaskRow:
    """A `foreach` or `repeat` changes with its items, and may end with the last one."""
    changes: dict[str, Any] = {"changed_at": entry.at}
    changes["completed_at"] = entry.at if row.status in OVER else None
    if row.status == "failed":  # as its iteration
        failed = rows[entry.moves[0][0]]
        changes |= {"error_code": failed.error_code, "error_message": failed.error_message}
    return changed(row, **changes)
