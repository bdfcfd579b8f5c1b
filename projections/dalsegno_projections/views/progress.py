"""How the standing of tasks follows from events alone: what the views of runs and tasks share.

The rules are those of `workflow.evolve`, without the definition: a view meets millions of runs and
keeps no plan of any. A task is heard of with its first event. The items of a `foreach`, and the
iterations of a `repeat`, are told by their id and by what was heard of their parent before them.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field
from typing import (
    Any,
    ClassVar,
    Final,
    Literal,
    Protocol,
    TypeAlias,
    TypeGuard,
    TypeVar,
    assert_never,
    get_args,
)

from dalsegno_bus.ids import item_id, undo_id
from dalsegno_orchestrator.workflow import events as e
from dalsegno_orchestrator.workflow.run import TaskStatus
from dalsegno_projections.views.values import changed

Standing: TypeAlias = TaskStatus | Literal["abandoned", "undone"]
"""A task's status; `abandoned`: its run ends, or ended, while an attempt was under way; `undone`:
its run went back to before it."""

Move: TypeAlias = tuple[str, Standing | None]
"""A task, and the standing that it comes to; None: something else about it is told."""
Place: TypeAlias = tuple[str, int]
"""A `foreach` or a `repeat`, and the index of one of its items or iterations."""

_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,8}")

OVER: Final = frozenset[Standing]({"completed", "failed", "skipped"})


class HasItems(Protocol):
    """A row that follows a task, and the items of a `foreach` with it."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def status(self) -> Standing: ...
    @property
    def beside(self) -> int | None:
        """Which other attempt is open, of a hedged task."""
        ...

    @property
    def items(self) -> int:
        """How many items or iterations it has."""
        ...

    @property
    def items_over(self) -> int: ...
    @property
    def sunk(self) -> int:
        """1: one of its items sank the run, so that it does not end by itself."""
        ...


HasItemsT = TypeVar("HasItemsT", bound=HasItems)


_RUN_EVENTS: Final = frozenset(get_args(e.RunEvent))


def is_run_event(event: e.Event) -> TypeGuard[e.RunEvent]:
    """Whether it is of a run, and not of a workflow, a schedule or a limit."""
    return type(event) in _RUN_EVENTS


def moves_of(event: e.Event) -> Sequence[Move]:  # noqa: C901 - one case for each kind
    """Which tasks the event moves, and to what; without what follows for a `foreach`."""
    match event:
        case e.TaskAssigned():  # every second event: found out first
            return ((event.task_id, "assigned"),)
        case e.TaskCompleted() | e.SignalTaken() | e.TimerFired() | e.RepeatEnded():
            return ((event.task_id, "completed"),)
        case e.TaskFailed() | e.TaskTimedOut() | e.PlanRejected():
            return ((event.task_id, "failed" if event.final else "retrying"),)
        case e.RetryScheduled():
            return ((event.task_id, "retrying"),)
        case e.TaskRerouted() | e.TaskHandedOff():
            return ((event.task_id, "ready"),)
        case e.LadderClimbed():
            return ((event.task_id, "ready" if event.at is None else "retrying"),)
        case e.TaskParked():
            return ((event.task_id, "parked"),)
        case e.TaskSkipped():
            return ((event.task_id, "skipped"),)
        case e.AttemptProgressed():
            return ((event.task_id, None),)
        case e.QuestionAsked():
            return ((event.question_id, "ready"),)
        case e.WaitEscalated():
            return ((event.escalation_id, "ready"),)
        case e.SignalAwaited():
            return ((event.task_id, "waiting"),)
        case e.SignalReceived():
            return () if event.task_id is None else ((event.task_id, "completed"),)
        case e.TimerSet():
            return ((event.task_id, "sleeping"),)
        case (
            e.TasksExpanded() | e.TaskRepeated() | e.ChildStarted() | e.ChildEnded()
            | e.PlanProposed() | e.PlanAccepted() | e.PlanFinished()
        ):  # fmt: skip
            return _moves_of_parts(event)
        case (
            e.RunCompleted() | e.RunFailed() | e.RunCancelled() | e.RunCompensationFailed()
            | e.CompensationStarted()
        ):  # fmt: skip
            return _abandoned(event.abandoned)
        case e.RunEnding():  # unless one of them reports in time
            return _abandoned(event.stopping)
        case e.RunReopened():
            return tuple(
                (undo_id(task) if event.undoing else task, "ready") for task in event.tasks
            )
        case e.RunRewound():
            return tuple((task_id, "undone") for task_id in event.undone)
        case (
            e.ContextShared() | e.ContextConflicted() | e.CompensationFailed() | e.RunStarted()
            | e.RunPaused() | e.RunResumed()
            | e.BudgetExceeded() | e.BudgetRaised() | e.RunReplanned() | e.RunMigrated()
        ):  # fmt: skip
            return ()
        case (
            e.WorkflowRegistered() | e.ScheduleSet() | e.ScheduleRemoved() | e.SchedulePaused()
            | e.ScheduleResumed() | e.TickFired() | e.TickQueued() | e.TickSkipped()
            | e.ScheduledRunEnded() | e.LimitSet() | e.LimitRemoved()
        ):  # fmt: skip
            return ()
        case _:
            assert_never(event)


def _moves_of_parts(
    event: e.TasksExpanded
    | e.TaskRepeated
    | e.ChildStarted
    | e.ChildEnded
    | e.PlanProposed
    | e.PlanAccepted
    | e.PlanFinished,
) -> Sequence[Move]:
    """The same, of tasks that are made of others."""
    match event:
        case e.TasksExpanded():
            return ((event.task_id, "expanded" if event.count else "completed"),)
        case e.TaskRepeated():
            iteration = item_id(event.task_id, event.iteration)
            return (
                (event.task_id, "repeating"),
                (iteration, "ready" if event.at is None else "retrying"),
            )
        case e.ChildStarted():
            return ((event.task_id, "delegated"),)
        case e.ChildEnded():
            if event.status == "completed":
                return ((event.task_id, "completed"),)
            return ((event.task_id, "failed" if event.final else "retrying"),)
        case e.PlanProposed():
            return ((event.task_id, "proposed"),)
        case e.PlanAccepted():
            return ((event.task_id, "planned"),)
        case e.PlanFinished():
            return ((event.task_id, "completed"),)
        case _:
            assert_never(event)


def _abandoned(attempts: Sequence[e.Abandoned]) -> Sequence[Move]:
    """Each task once, though a hedged one has two attempts."""
    return tuple((task_id, "abandoned") for task_id in dict.fromkeys(a.task_id for a in attempts))


def item_places(event: e.Event, moves: Sequence[Move]) -> Mapping[str, Place]:
    """The places of those of the event's tasks that may be items of a `foreach`, by task."""
    named = [task_id for task_id, _ in moves]
    sinking = _sinking(event)
    if sinking is not None:
        named.append(sinking)
    return {task_id: place for task_id in named if (place := item_place(task_id)) is not None}


def item_place(task_id: str) -> Place | None:
    """What an id says about a `foreach` and the item's index in it; None: nothing."""
    parent, _, index = task_id.rpartition("-")
    if not (index.isdigit() and parent and _INDEX.fullmatch(index)):
        return None
    return parent, int(index)


def advance(
    event: e.Event,
    moves: Sequence[Move],
    places: Mapping[str, Place],
    before: Mapping[str, HasItemsT | None],
    moved: Callable[[str, HasItemsT | None, Standing], HasItemsT],
) -> dict[str, HasItemsT]:
    """The rows of the tasks that the event changes, a `foreach` with its items.

    Args:
        event: The event.
        moves: `moves_of` it.
        places: `item_places` of it.
        before: The rows of all these tasks; None: not heard of before.
        moved: Makes the row of a task (id, row before it) that came to this standing.
    """
    after = {
        task_id: moved(task_id, before[task_id], _settled(before[task_id], standing, event))
        for task_id, standing in moves
    }
    if not places:
        return after
    named = frozenset(after)  # a parent among them forgets its items, or begins one
    for task_id, _ in moves:
        place = places.get(task_id)
        parent = foreach_of(place, before)
        if place is not None and parent is not None and place[0] not in named:
            parent = after.get(place[0], parent)
            after[place[0]] = _with_item(parent, before[task_id], after[task_id])
    sinking = _sinking(event)
    if sinking is not None and (place := places.get(sinking)) is not None:
        parent = foreach_of(place, before)
        if parent is not None:  # it never comes to an end: an item sank its run
            status = "expanded" if parent.status == "completed" else parent.status
            after[place[0]] = changed(parent, status=status, sunk=1)
    return after


def _settled(row: HasItems | None, standing: Standing | None, event: e.Event) -> Standing:
    """Where a task comes to: a hedged one stays where it is when one of two attempts is lost."""
    if row is None:
        return standing or "ready"
    if standing is None:
        return row.status
    if row.beside is None or standing == "failed":
        return standing
    is_lost = isinstance(event, (e.TaskFailed, e.TaskTimedOut, e.TaskRerouted))
    return row.status if is_lost else standing


def _with_item(parent: HasItemsT, before: HasItemsT | None, after: HasItemsT) -> HasItemsT:
    """A `foreach` or `repeat` after one of its items was moved."""
    was_over, is_over = before is not None and before.status in OVER, after.status in OVER
    items_over = parent.items_over + is_over - was_over
    status, sunk = parent.status, parent.sunk
    if was_over and not is_over:  # it is tried again
        sunk = 0
        status = "repeating" if status == "failed" else status
    elif status == "expanded" and items_over >= parent.items and not sunk:
        status = "completed"
    elif status == "repeating" and after.status == "failed":
        status = "failed"
    return changed(parent, items_over=items_over, status=status, sunk=sunk)


def _sinking(event: e.Event) -> str | None:
    """The task whose failure ends its run."""
    return event.task_id if isinstance(event, (e.RunFailed, e.RunEnding)) else None


def foreach_of(place: Place | None, rows: Mapping[str, HasItemsT | None]) -> HasItemsT | None:
    """The `foreach` or `repeat` that the task at this place is a part of, if it is one."""
    if place is None:
        return None
    parent = rows.get(place[0])
    return parent if parent is not None and place[1] < parent.items else None
