"""Views on PostgreSQL: one statement with arrays writes all rows of a table."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, Final, cast

from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresDatastore, PostgresTrackingRecorder
from psycopg.sql import SQL, Identifier

from dalsegno_orchestrator.storage.postgres import open_datastore
from dalsegno_projections.storage.database import Cursor, Statements, listed
from dalsegno_projections.views.table import AnyTable, ColumnType, Key

_TYPES: Final[dict[ColumnType, str]] = {
    "text": "text",
    "json": "text",
    "integer": "bigint",
    "real": "double precision",
}
_SCHEMA_LOCK: Final = 0x44616C7365676E70
"""Number of the advisory lock under which tables are created; not the event store's."""


class PostgresDatabase:
    """The tables of one namespace in one database; see `database.Database`.

    Raises:
        SettingsError: psycopg cannot make sense of the URL.
    """

    mark = "%s"
    position_of = "strpos"

    def __init__(self, url: str, prefix: str) -> None:
        self._recorder = _Recorder(open_datastore(url), f"{prefix}positions")
        self._statements = Statements(prefix, _TYPES, key_type='text COLLATE "C"')
        self._prefix = prefix

    def create(self, groups: Sequence[tuple[str, Sequence[AnyTable]]]) -> None:
        with self._recorder.datastore.get_connection() as connection:
            connection.execute("SELECT pg_advisory_lock(%s)", (_SCHEMA_LOCK,))
            try:
                self._recorder.create_table()
                with self.transaction(commit=True) as cursor:
                    for name, tables in groups:
                        self._create(cursor, name, tables)
            finally:
                connection.execute("SELECT pg_advisory_unlock(%s)", (_SCHEMA_LOCK,))

    @contextmanager
    def transaction(self, *, commit: bool) -> Generator[Cursor]:
        with self._recorder.datastore.transaction(commit=commit) as cursor:
            yield cast("Cursor", cursor)

    def position(self, name: str) -> int:
        # the library's `max_tracking_id` tries for a minute when the server is away
        with self.transaction(commit=False) as cursor:
            cursor.execute(self._recorder.position, (name,))
            row = cursor.fetchone()
        return 0 if row is None else row["notification_id"]

    def lock(self, cursor: Cursor, name: str) -> int:
        cursor.execute(self._recorder.lock, (name,))
        return cursor.fetchone()["notification_id"]

    def advance(self, cursor: Cursor, name: str, position: int) -> None:
        self._recorder.track(cursor, Tracking(name, position))

    def forget(self, cursor: Cursor, name: str) -> None:
        cursor.execute(self._recorder.forget, (name,))

    def find(self, cursor: Cursor, table: AnyTable, keys: Sequence[Key]) -> list[tuple[Any, ...]]:
        types = {column.name: _TYPES[column.type] for column in table.columns}
        arrays = ", ".join(f"%s::{types[name]}[]" for name in table.key)
        cursor.execute(
            f"SELECT {listed(table.names)} FROM {self._statements.name(table)} "  # noqa: S608
            f"JOIN unnest({arrays}) AS wanted ({listed(table.key)}) USING ({listed(table.key)})",
            tuple(map(list, zip(*keys, strict=True))),
        )
        return self.values(cursor)

    def put(self, cursor: Cursor, table: AnyTable, rows: Sequence[tuple[Any, ...]]) -> None:
        arrays = ", ".join(f"%b::{_TYPES[column.type]}[]" for column in table.columns)
        statement = self._statements.insert(table, f"SELECT * FROM unnest({arrays})")  # noqa: S608
        cursor.execute(statement, tuple(map(list, zip(*rows, strict=True))))

    def values(self, cursor: Cursor) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in cursor.fetchall()]

    def close(self) -> None:
        self._recorder.datastore.close()

    def _create(self, cursor: Cursor, name: str, tables: Sequence[AnyTable]) -> None:
        self.lock(cursor, name)
        if any(self._is_other(cursor, table) for table in tables):
            for table in tables:
                cursor.execute(f"DROP TABLE IF EXISTS {self._statements.name(table)}")
            self.forget(cursor, name)
        for table in tables:
            for statement in self._statements.create(table):
                cursor.execute(statement)

    def _is_other(self, cursor: Cursor, table: AnyTable) -> bool:
        cursor.execute(
            "SELECT column_name FROM information_schema.columns "
            "WHERE table_schema = current_schema() AND table_name = %s ORDER BY ordinal_position",
            (self._prefix + table.name,),
        )
        names = [row["column_name"] for row in cursor.fetchall()]
        return bool(names) and names != list(table.names)


class _Recorder(PostgresTrackingRecorder):
    """Moves a position inside a transaction of ours."""

    def __init__(self, datastore: PostgresDatastore, table: str) -> None:
        super().__init__(datastore, tracking_table_name=table)
        name = Identifier(datastore.schema, table)
        self.lock = SQL(
            "INSERT INTO {name} AS p VALUES (%s, 0) ON CONFLICT (application_name) "
            "DO UPDATE SET notification_id = p.notification_id RETURNING notification_id"
        ).format(name=name)
        self.position = SQL(
            "SELECT notification_id FROM {name} WHERE application_name = %s"
        ).format(name=name)
        self.forget = SQL(
            "UPDATE {name} SET notification_id = 0 WHERE application_name = %s"
        ).format(name=name)

    def track(self, cursor: Any, tracking: Tracking) -> None:
        self._insert_tracking(cursor, tracking)
