"""What a database of views can do: the contract that `sqlite` and `postgres` both keep.

Foreign cursors and foreign errors stop behind `rows`. Statements are made here where both agree.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

from dalsegno_projections.views.table import AnyTable, ColumnType, Key


class Cursor(Protocol):
    """What both drivers' cursors can do."""

    def execute(self, query: Any, params: Any = ..., /) -> Any: ...
    def fetchall(self) -> Any: ...
    def fetchone(self) -> Any: ...


class Database(Protocol):
    """One database, whatever its kind. Methods block and raise the library's errors."""

    @property
    def mark(self) -> str:
        """How a statement names its next parameter."""
        ...

    @property
    def position_of(self) -> str:
        """The function that tells where in its first text argument its second one begins."""
        ...

    def create(self, groups: Sequence[tuple[str, Sequence[AnyTable]]]) -> None:
        """Make every table exist as described; any number of processes may do so at once.

        A table with other columns than described, left by another version, is dropped with all of
        its group, whose position (the group's name) goes back to 0.
        """
        ...

    def transaction(self, *, commit: bool) -> AbstractContextManager[Cursor]: ...
    def position(self, name: str) -> int:
        """Where this position is; 0 if it was never moved."""
        ...

    def lock(self, cursor: Cursor, name: str) -> int:
        """Where this position is; nobody else moves it until the transaction ends."""
        ...

    def advance(self, cursor: Cursor, name: str, position: int) -> None:
        """Move a position that is locked forward."""
        ...

    def forget(self, cursor: Cursor, name: str) -> None:
        """Put a position that is locked back to 0."""
        ...

    def find(
        self, cursor: Cursor, table: AnyTable, keys: Sequence[Key]
    ) -> list[tuple[Any, ...]]: ...
    def put(self, cursor: Cursor, table: AnyTable, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert rows (no two with one key), or replace those with the same keys."""
        ...

    def values(self, cursor: Cursor) -> list[tuple[Any, ...]]:
        """What the last statement selected."""
        ...

    def close(self) -> None: ...


class Statements:
    """The statements that both kinds of databases understand, for the tables of one namespace.

    Args:
        prefix: Of every table's name.
        types: What the database calls a column's type.
        key_type: What it calls the type of a text that tells rows apart, and sorts by its bytes.
    """

    def __init__(self, prefix: str, types: dict[ColumnType, str], key_type: str) -> None:
        self.prefix = prefix
        self._types = types
        self._key_type = key_type

    def name(self, table: AnyTable) -> str:
        """The table's name in the database, quoted."""
        return quoted(self.prefix + table.name)

    def create(self, table: AnyTable) -> list[str]:
        """Creates the table and its indexes where they are missing."""
        sorted_by = {name for columns in (table.key, *table.indexes) for name in columns}
        columns = [
            f"{quoted(column.name)} "
            + (self._key_type if self._is_text(column.type, column.name in sorted_by)
               else self._types[column.type])
            + ("" if column.nullable else " NOT NULL")
            for column in table.columns
        ]  # fmt: skip
        key = f"PRIMARY KEY ({listed(table.key)})"
        indexes = [
            f"CREATE INDEX IF NOT EXISTS {quoted(f'{self.prefix}{table.name}_{number}')} "
            f"ON {self.name(table)} ({listed(index)})"
            for number, index in enumerate(table.indexes)
        ]
        return [
            f"CREATE TABLE IF NOT EXISTS {self.name(table)} ({', '.join([*columns, key])})",
            *indexes,
        ]

    def insert(self, table: AnyTable, source: str) -> str:
        """Inserts what `source` gives, or replaces the rows with the same keys."""
        rest = [name for name in table.names if name not in table.key]
        replaced = ", ".join(f"{quoted(name)} = excluded.{quoted(name)}" for name in rest)
        return (
            f"INSERT INTO {self.name(table)} ({listed(table.names)}) {source} "
            f"ON CONFLICT ({listed(table.key)}) DO UPDATE SET {replaced}"
        )

    def _is_text(self, column_type: ColumnType, is_sorted_by: bool) -> bool:
        return column_type == "text" and is_sorted_by


def quoted(name: str) -> str:
    """A name of ours as an identifier (`index` is a word of SQL)."""
    return f'"{name}"'


def listed(names: Sequence[str], *, of: str = "") -> str:
    """Identifiers with commas between them, of the table with this alias if one is given."""
    return ", ".join(f"{of}.{quoted(name)}" if of else quoted(name) for name in names)


LOCK_TIMEOUT_SECONDS: Final = 30
"""How long a writer waits for another process before it gives up."""
