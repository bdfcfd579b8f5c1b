"""What a view is made of: tables of frozen rows, and the protocol that every view keeps.

A view is a pure fold. It never reads a clock, makes an id, or looks at anything but the rows it
asked for, so that a rebuild from zero gives the same bytes as following live, in batches of any
size.
"""

import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from functools import cached_property
from operator import attrgetter
from typing import (
    Any,
    ClassVar,
    Generic,
    Literal,
    NamedTuple,
    Protocol,
    TypeAlias,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from dalsegno_orchestrator.history import Recorded
from dalsegno_orchestrator.workflow.events import Event
from dalsegno_projections.views.progress import Move, Place, item_places, moves_of
from dalsegno_projections.views.values import instant

Key: TypeAlias = tuple[str | int, ...]
"""The values of a table's key columns, in order."""

ColumnType: TypeAlias = Literal["text", "integer", "real", "json"]
"""`json`: a mapping in the row, its canonical text in the database."""


class Row(Protocol):
    """A frozen dataclass: one row of a table."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


RowT = TypeVar("RowT", bound=Row)


@dataclass(frozen=True, slots=True)
class Column:
    """One column, as the row's field describes it."""

    name: str
    type: ColumnType
    nullable: bool


@dataclass(frozen=True)
class Table(Generic[RowT]):
    """A table of rows of one dataclass; its columns are the fields of that class.

    Args:
        name: Unique among all views of a namespace, which prefixes it in the database.
        row: The dataclass.
        key: The columns that tell rows apart; also the canonical order.
        indexes: Further columns that queries order or filter by.
    """

    name: str
    row: type[RowT]
    key: tuple[str, ...]
    indexes: tuple[tuple[str, ...], ...] = field(default=())

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        hints = get_type_hints(self.row)
        return tuple(_column(each.name, hints[each.name]) for each in fields(self.row))

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @cached_property
    def _key(self) -> "attrgetter[Any]":
        return attrgetter(*self.key)

    @cached_property
    def values_of(self) -> "attrgetter[tuple[Any, ...]]":
        """Takes a row's values out of it, in the order of the columns."""
        return attrgetter(*self.names)

    def key_of(self, row: RowT) -> Key:
        """What tells this row apart."""
        key = self._key(row)
        return key if len(self.key) > 1 else (key,)


AnyTable: TypeAlias = Table[Any]


class Entry(NamedTuple):
    """One event on its way into the views, with what all of them need of it."""

    recorded: Recorded
    event: Event
    stream: str
    """The id of its run or workflow."""
    at: str
    moves: Sequence[Move]
    places: Mapping[str, Place]
    tasks: Sequence[str]
    """Every task whose standing may change with it, a `foreach` with its item."""


def entry_of(recorded: Recorded) -> Entry:
    """Prepare an event for the views."""
    event = recorded.event
    moves = moves_of(event)
    places = item_places(event, moves)
    tasks = [task_id for task_id, _ in moves]
    if places:
        tasks = list(dict.fromkeys([*tasks, *places, *(parent for parent, _ in places.values())]))
    stream, at = str(recorded.stream_id), instant(recorded.at)
    return Entry(recorded, event, stream, at, moves, places, tasks)


Change: TypeAlias = tuple[AnyTable, Key, Row]
"""A row as it is after an event, and where it lies."""


class Found:
    """The rows that a batch touches, as they stand now; views read them and never write them."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[Key, Any]] = {}

    def get(self, table: Table[RowT], key: Key) -> RowT | None:
        """The row, or None if there is none yet."""
        return self.tables[table.name].get(key)


class View(Protocol):
    """One view. Stateless: everything it knows lies in its tables."""

    @property
    def name(self) -> str:
        """Also the name that its position is kept under."""
        ...

    @property
    def events_stand_alone(self) -> bool:
        """Whether an event is folded soundly though one before it in its stream was not."""
        ...

    @property
    def tables(self) -> Sequence[AnyTable]: ...

    def touches(self, entry: Entry) -> Iterable[tuple[AnyTable, Key]]:
        """Every row that `apply` may ask for or return on this event."""
        ...

    def apply(self, found: Found, entry: Entry) -> Iterable[Change]:
        """The rows that this event changes or adds, as they are after it. Pure."""
        ...


def fold(view: View, history: Iterable[Recorded]) -> Found:
    """The rows of a view after this history, from nothing; for one run, or a test."""
    found = Found()
    found.tables = {table.name: {} for table in view.tables}
    for recorded in history:
        for table, key, row in view.apply(found, entry_of(recorded)):
            found.tables[table.name][key] = row
    return found


_TYPES: Mapping[Any, ColumnType] = {str: "text", int: "integer", float: "real", Mapping: "json"}


def _column(name: str, hint: Any) -> Column:
    options = get_args(hint) if get_origin(hint) in {types.UnionType, Union} else (hint,)
    kinds = {_kind(option) for option in options} - {types.NoneType}
    assert len(kinds) == 1, f"{name}: a column holds one type"
    return Column(name=name, type=_TYPES[kinds.pop()], nullable=types.NoneType in options)


def _kind(option: Any) -> Any:
    origin = get_origin(option)
    return str if origin is Literal else origin or option
