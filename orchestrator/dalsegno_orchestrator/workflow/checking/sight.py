"""Which expressions see `item`, `index`, `iteration`, `previous` and `output`, and which do not."""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from dalsegno_bus.messages import Json

_OF_ITEMS: Final = frozenset({"item", "index"})
_OF_TIMES: Final = frozenset({"iteration", "previous"})
_SPECIAL: Final = _OF_ITEMS | _OF_TIMES | {"output"}


class Sight(NamedTuple):
    """What an expression sees beside `input`, `tasks`, `context` and `run`."""

    roots: frozenset[str] = frozenset()
    where: Literal["elsewhere", "before items", "before times", "in times", "until"] = "elsewhere"

    def sees(self, root: str) -> bool:
        return root not in _SPECIAL or root in self.roots


class TaskSight(NamedTuple):
    """What the expressions of one task see."""

    before: Sight
    """`when` and `foreach`."""
    inside: Sight
    """`input`, and what goes with it: quotas, compensation."""


NOTHING: Final = Sight()
UNTIL: Final = Sight(frozenset({"iteration", "output"}), "until")


def sight_of(task: Mapping[str, Json]) -> TaskSight:
    """What the expressions of this task see, going by what was written."""
    if task.get("foreach") is not None:
        return TaskSight(Sight(where="before items"), Sight(_OF_ITEMS))
    if task.get("repeat") is not None:
        return TaskSight(Sight(where="before times"), Sight(_OF_TIMES, "in times"))
    return TaskSight(NOTHING, NOTHING)


def unseen(root: str, sight: Sight) -> tuple[str, str]:
    """Why there is no such root here, and what to do instead."""
    if root in _OF_ITEMS:
        return _no_item(root, sight)
    if root in _OF_TIMES:
        return _no_time(root, sight)
    if sight.where == "in times":
        return (
            "'output' is known only in repeat.until",
            "use previous, which is the output of the time before",
        )
    return (
        "'output' is known only in repeat.until",
        "refer to the output of a task: ${ tasks.<task> }",
    )


def _no_item(root: str, sight: Sight) -> tuple[str, str]:
    if sight.where == "before items":
        return (
            f"{root!r} is not known here: this is evaluated once, before the first item",
            "use it in input, or filter the list: ${ input.items.filter(i, i.size > 0) }",
        )
    return (
        f"{root!r} is known only in the input of a task with foreach",
        "add foreach to the task, or refer to something else",
    )


def _no_time(root: str, sight: Sight) -> tuple[str, str]:
    if sight.where == "before times":
        return (
            f"{root!r} is not known here: this is evaluated once, before the first time",
            "use it in input, or decide in repeat.until",
        )
    if sight.where == "until":
        return (
            f"{root!r} is not known in repeat.until",
            "use output, which is that of the time that has just ended",
        )
    return (
        f"{root!r} is known only in the input of a task with repeat",
        "add repeat to the task, or refer to something else",
    )
