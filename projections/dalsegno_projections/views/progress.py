"""How the standing of tasks follows from events alone: what the views of runs and tasks share.

The rules are those of `workflow.evolve`, without the definition: a view meets millions of runs and
keeps no plan of any. A task is heard of with its first event. The items of a `foreach` are told by
their id and by the `tasks-expanded` before them.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, replace
from typing import Any, ClassVar, Final, Literal, Protocol, TypeAlias, TypeVar, assert_never

from dalsegno_orchestrator.workflow import events as e
from dalsegno_orchestrator.workflow.run import TaskStatus

Standing: TypeAlias = TaskStatus | Literal["abandoned"]
"""A task's status; `abandoned`: its run ended while an attempt was under way."""

Move: TypeAlias = tuple[str, Standing]
"""A task, and the standing that it comes to."""
Place: TypeAlias = tuple[str, int]
"""A `foreach`, and the index of one of its items."""

_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,8}")

OVER: Final = frozenset[Standing]({"completed", "failed", "skipped"})


class HasItems(Protocol):
    """A row that follows a task, and the items of a `foreach` with it."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def status(self) -> str: ...
    @property
    def items(self) -> int: ...
    @property
    def items_over(self) -> int: ...


HasItemsT = TypeVar("HasItemsT", bound=HasItems)


def moves_of(event: e.Event) -> Sequence[Move]:  # noqa: C901 - one case for each kind
    """Which tasks the event moves, and to what; without what follows for a `foreach`."""
    match event:
        case e.TaskAssigned():
            return ((event.task_id, "assigned"),)
        case e.TaskCompleted() | e.SignalTaken() | e.TimerFired():
            return ((event.task_id, "completed"),)
        case e.TaskParked():
            return ((event.task_id, "parked"),)
        case e.TasksExpanded():
            return ((event.task_id, "expanded" if event.count else "completed"),)
        case e.TaskFailed() | e.TaskTimedOut():
            return ((event.task_id, "failed" if event.final else "retrying"),)
        case e.RetryScheduled():
            return ((event.task_id, "retrying"),)
        case e.TaskRerouted():
            return ((event.task_id, "ready"),)
        case e.TaskSkipped():
            return ((event.task_id, "skipped"),)
        case e.SignalAwaited():
            return ((event.task_id, "waiting"),)
        case e.SignalReceived():
            return () if event.task_id is None else ((event.task_id, "completed"),)
        case e.TimerSet():
            return ((event.task_id, "sleeping"),)
        case e.RunFailed() | e.RunCancelled():
            return tuple((attempt.task_id, "abandoned") for attempt in event.abandoned)
        case (
            e.ContextShared()
            | e.RunStarted()
            | e.RunPaused()
            | e.RunResumed()
            | e.RunCompleted()
            | e.WorkflowRegistered()
        ):
            return ()
        case _:
            assert_never(event)


def item_places(event: e.Event, moves: Sequence[Move]) -> Mapping[str, Place]:
    """The places of those of the event's tasks that may be items of a `foreach`, by task."""
    named = [task_id for task_id, _ in moves]
    if isinstance(event, e.RunFailed) and event.task_id is not None:
        named.append(event.task_id)
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
    after = {task_id: moved(task_id, before[task_id], standing) for task_id, standing in moves}
    if not places:
        return after
    for task_id, standing in moves:
        parent = foreach_of(places.get(task_id), before)
        if parent is not None and standing in OVER:
            over = parent.items_over + 1
            status = "completed" if over >= parent.items else parent.status
            after[places[task_id][0]] = replace(parent, items_over=over, status=status)
    if isinstance(event, e.RunFailed) and event.task_id is not None:
        parent = foreach_of(places.get(event.task_id), before)
        if parent is not None:  # the item sank its run: its `foreach` never came to an end
            over = parent.items_over - 1
            after[places[event.task_id][0]] = replace(parent, items_over=over, status="expanded")
    return after


def foreach_of(place: Place | None, rows: Mapping[str, HasItemsT | None]) -> HasItemsT | None:
    """The `foreach` that the task at this place is an item of, if it is one."""
    if place is None:
        return None
    parent = rows.get(place[0])
    return parent if parent is not None and place[1] < parent.items else None
