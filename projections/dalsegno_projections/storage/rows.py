"""Rows, positions and parked events: what a batch changes is one transaction.

A position moves only from where its caller believes it to be, so that two processes which follow
the same history, or a rebuild beside a running service, never mix their rows: one of them is told,
and looks again. Methods block: call them from a thread where that matters.
"""

import hashlib
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
from eventsourcing.persistence import DataError, IntegrityError, PersistenceError

from dalsegno_bus.errors import SettingsError, StoreError, Unavailable
from dalsegno_projections.storage.database import Database, listed, quoted
from dalsegno_projections.storage.sqlite import SQLiteDatabase
from dalsegno_projections.views.table import AnyTable, Key, RowT, Table, View

KEYS_MAX: Final = 5_000
"""How many rows one query asks for by their keys."""
PAGE_ROWS_MAX: Final = 5_000
"""How many rows a dump holds in memory."""


@dataclass(frozen=True, kw_only=True)
class ParkedRow:
    """An event that a view could not take: it went on without, and says so."""

    view: str
    position: int
    stream_id: str
    version: int
    kind: str
    reason: str
    parked_by: str
    """Which code could not take it: another one tries again when it starts."""


PARKED: Final = Table("parked", ParkedRow, ("view", "position"), (("stream_id", "view"),))


class PositionMoved(StoreError):
    """Somebody else moved this view's position; look again where it is. Nothing was written."""

    code = "views.moved"


class RowsRejected(StoreError):
    """The database refuses a value, and would again. Nothing was written."""

    code = "views.rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Advance:
    """What one batch does to one view."""

    view: str
    before: int
    """Where the view's position is believed to be."""
    after: int
    """The position of the newest event of the batch."""
    rows: Sequence[tuple[AnyTable, Sequence[Any]]] = ()
    """The rows that are new or changed, by table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Select:
    """Which rows to read, and in what order; all conditions must hold. Names are columns."""

    equal: Mapping[str, str | int] = field(default_factory=dict[str, str | int])
    among: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    """Equals one of these texts; none of them: no row fits."""
    above: Mapping[str, str | int] = field(default_factory=dict[str, str | int])
    """Greater than this value."""
    prefix: Mapping[str, str] = field(default_factory=dict[str, str])
    """Begins with this ASCII text."""
    contains: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    """Holds each of these texts."""
    order: Sequence[str] = ()
    """Columns; the key, unless said."""
    descending: bool = False
    limit: int = 100
    offset: int = 0


class Rows:
    """The tables of some views, in one database.

    Args:
        url: `sqlite:///file.db` or `postgresql://user:word@host/name`.
        namespace: Prefix of the tables, and of the positions' names.
        views: Whose tables there are.

    Raises:
        SettingsError: The URL is of another kind.
    """

    def __init__(self, url: str, *, namespace: str, views: Sequence[View]) -> None:
        self._views = {view.name: view for view in views}
        self._namespace = namespace
        self._prefix = f"{namespace.replace('-', '_')}_"
        self._url = url
        self._database = _open(url, self._prefix)

    def ensure_schema(self) -> None:
        """Create what is missing. A view with other columns than before begins again at 0.

        Raises:
            Unavailable: The database cannot be reached.
        """
        groups = [(self._tracked(view.name), view.tables) for view in self._views.values()]
        with self._errors():
            self._database.create([*groups, (self._tracked(PARKED.name), (PARKED,))])

    def position(self, view: str) -> int:
        """The position of the newest event that the view has taken; 0: none."""
        with self._errors():
            return self._database.position(self._tracked(view))

    def load(self, table: Table[RowT], keys: Collection[Key]) -> dict[Key, RowT]:
        """The rows with these keys, as far as there are any."""
        wanted = list(keys)
        read = _reader(table)
        found: dict[Key, RowT] = {}
        with self._errors():
            for start in range(0, len(wanted), KEYS_MAX):
                part = wanted[start : start + KEYS_MAX]
                with self._database.transaction(commit=False) as cursor:
                    values = self._database.find(cursor, table, part)
                for row in map(read, values):
                    found[table.key_of(row)] = row
        return found

    def write(self, advances: Sequence[Advance], parked: Sequence[ParkedRow] = ()) -> None:
        """Write what a batch changes in its views, and move their positions: all or none.

        Raises:
            PositionMoved: A view is not where it was believed to be.
            RowsRejected: The database refuses a value.
            Unavailable: The database cannot be reached; nothing is known to be written.
        """
        with self._errors(), self._database.transaction(commit=True) as cursor:
            for advance in sorted(advances, key=lambda each: each.view):  # else two could deadlock
                name = self._tracked(advance.view)
                position = self._database.lock(cursor, name)
                if position != advance.before:
                    raise PositionMoved(f"{advance.view} is at {position}, not {advance.before}")
                self._database.advance(cursor, name, advance.after)
                for table, rows in advance.rows:
                    if rows:
                        self._database.put(cursor, table, list(map(_writer(table), rows)))
            if parked:
                self._database.put(cursor, PARKED, list(map(_writer(PARKED), parked)))

    def reset(self, view: str) -> None:
        """Drop the view's rows, what it parked, and its position.

        Raises:
            Unavailable: The database cannot be reached.
        """
        name = self._tracked(view)
        with self._errors(), self._database.transaction(commit=True) as cursor:
            self._database.lock(cursor, name)
            for table in self._views[view].tables if view in self._views else ():
                cursor.execute(f"DELETE FROM {self._name(table)}")  # noqa: S608 - our own name
            cursor.execute(
                f"DELETE FROM {self._name(PARKED)} WHERE view = {self._database.mark}",  # noqa: S608
                (view,),
            )
            self._database.forget(cursor, name)

    def select(self, table: Table[RowT], select: Select) -> list[RowT]:
        """The rows that fit, in order."""
        conditions, values = self._conditions(select)
        down = " DESC" if select.descending else ""
        order = ", ".join(f"{quoted(name)}{down}" for name in select.order or table.key)
        mark = self._database.mark
        statement = (
            f"SELECT {listed(table.names)} FROM {self._name(table)}{conditions} "  # noqa: S608
            f"ORDER BY {order} LIMIT {mark} OFFSET {mark}"
        )
        with self._errors(), self._database.transaction(commit=False) as cursor:
            cursor.execute(statement, (*values, select.limit, select.offset))
            return list(map(_reader(table), self._database.values(cursor)))

    def count(self, table: AnyTable, select: Select | None = None) -> int:
        """How many rows fit; limit and offset do not matter."""
        conditions, values = self._conditions(select or Select())
        with self._errors(), self._database.transaction(commit=False) as cursor:
            cursor.execute(f"SELECT count(*) FROM {self._name(table)}{conditions}", values)  # noqa: S608
            return self._database.values(cursor)[0][0]

    def held(self, streams: Collection[str]) -> set[tuple[str, str]]:
        """The streams among these of which a view has parked an event: view and stream."""
        wanted = list(dict.fromkeys(streams))
        mark = self._database.mark
        found: set[tuple[str, str]] = set()
        with self._errors(), self._database.transaction(commit=False) as cursor:
            for start in range(0, len(wanted), KEYS_MAX):
                part = wanted[start : start + KEYS_MAX]
                marks = ", ".join(mark for _ in part)
                cursor.execute(
                    f"SELECT DISTINCT view, stream_id FROM {self._name(PARKED)} "  # noqa: S608
                    f"WHERE stream_id IN ({marks})",
                    part,
                )
                found.update((view, stream) for view, stream in self._database.values(cursor))
        return found

    def dump(self, table: AnyTable) -> Iterator[bytes]:
        """Every row as a line of JSON, in the order of the keys: equal rows give equal bytes."""
        after: Key | None = None
        while True:
            page = self._page(table, after)
            yield from (orjson.dumps(values, option=orjson.OPT_APPEND_NEWLINE) for values in page)
            if len(page) < PAGE_ROWS_MAX:
                return
            places = [table.names.index(name) for name in table.key]
            after = tuple(page[-1][place] for place in places)

    def digest(self, view: str) -> str:
        """A digest of all rows of a view, to compare two builds of it."""
        digest = hashlib.sha256()
        for table in self._views[view].tables:
            digest.update(table.name.encode() + b"\n")
            for line in self.dump(table):
                digest.update(line)
        return digest.hexdigest()

    def close(self) -> None:
        """Give the connections back."""
        self._database.close()

    def _page(self, table: AnyTable, after: Key | None) -> list[tuple[Any, ...]]:
        condition, values = "", ()
        if after is not None:
            marks = ", ".join(self._database.mark for _ in after)
            condition, values = f" WHERE ({listed(table.key)}) > ({marks})", after
        statement = (
            f"SELECT {listed(table.names)} FROM {self._name(table)}{condition} "  # noqa: S608
            f"ORDER BY {listed(table.key)} LIMIT {PAGE_ROWS_MAX}"
        )
        with self._errors(), self._database.transaction(commit=False) as cursor:
            cursor.execute(statement, values)
            return self._database.values(cursor)

    def _conditions(self, select: Select) -> tuple[str, list[Any]]:
        mark, position_of = self._database.mark, self._database.position_of
        parts: list[tuple[str, Sequence[Any]]] = []
        parts += [(f"{quoted(name)} = {mark}", [value]) for name, value in select.equal.items()]
        parts += [(f"{quoted(name)} > {mark}", [value]) for name, value in select.above.items()]
        for name, texts in select.among.items():
            marks = ", ".join(mark for _ in texts)
            parts.append((f"{quoted(name)} IN ({marks})" if texts else "1 = 0", texts))
        for name, value in select.prefix.items():
            parts.append((f"{quoted(name)} >= {mark}", [value]))
            parts.append((f"{quoted(name)} < {mark}", [value + "\x7f"]))
        for name, texts in select.contains.items():
            parts += [(f"{position_of}({quoted(name)}, {mark}) > 0", [each]) for each in texts]
        if not parts:
            return "", []
        values = [value for _, values in parts for value in values]
        return " WHERE " + " AND ".join(part for part, _ in parts), values

    def _name(self, table: AnyTable) -> str:
        return quoted(self._prefix + table.name)

    def _tracked(self, view: str) -> str:
        return f"{self._namespace}:{view}"

    @contextmanager
    def _errors(self) -> Generator[None]:
        """Turn the library's errors into ours."""
        try:
            yield
        except (DataError, IntegrityError, OverflowError, UnicodeError) as error:
            raise RowsRejected(f"the views' database refuses a value: {error}") from error
        except PersistenceError as error:
            raise Unavailable(
                f"the views' database {_without_password(self._url)} failed: {error}"
            ) from error


def _open(url: str, prefix: str) -> Database:
    scheme = urlsplit(url).scheme
    if scheme == "sqlite":
        return SQLiteDatabase(url, prefix)
    if scheme in {"postgresql", "postgres"}:
        # an image may have no driver
        from dalsegno_projections.storage.postgres import PostgresDatabase

        return PostgresDatabase(url, prefix)
    raise SettingsError(f"DALSEGNO_VIEWS_URL={url!r}: use sqlite:///file.db or postgresql://…")


def _writer(table: AnyTable) -> Callable[[Any], tuple[Any, ...]]:
    """Turns a row into the values of its columns."""
    values_of = table.values_of
    mappings = [place for place, column in enumerate(table.columns) if column.type == "json"]
    if not mappings:
        return values_of

    def write(row: Any) -> tuple[Any, ...]:
        values: list[Any] = list(values_of(row))
        for place in mappings:
            values[place] = orjson.dumps(values[place], option=orjson.OPT_SORT_KEYS).decode()
        return tuple(values)

    return write


def _reader(table: Table[RowT]) -> Callable[[tuple[Any, ...]], RowT]:
    """Turns the values of a row's columns into the row."""
    names, row = table.names, table.row
    mappings = {column.name for column in table.columns if column.type == "json"}

    def read(values: tuple[Any, ...]) -> RowT:
        read = object.__new__(row)  # as `table.changed`: rows have nothing to do when made
        fields = read.__dict__
        fields.update(zip(names, values, strict=True))
        for name in mappings:
            fields[name] = orjson.loads(fields[name])
        return read

    return read


def _without_password(url: str) -> str:
    password = urlsplit(url).password
    return url if password is None else url.replace(f":{password}@", ":…@", 1)
