"""Views on SQLite: a file with a write-ahead log.

A commit survives the process; after a power cut the newest may be missing, rows and position alike,
and are folded again from the history.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, cast

import orjson
from eventsourcing.persistence import Tracking
from eventsourcing.sqlite import (
    SQLiteConnection,
    SQLiteConnectionPool,
    SQLiteCursor,
    SQLiteDatastore,
    SQLiteTrackingRecorder,
)

from dalsegno_bus.errors import SettingsError
from dalsegno_projections.storage.database import (
    LOCK_TIMEOUT_SECONDS,
    Cursor,
    Statements,
    listed,
    quoted,
)
from dalsegno_projections.views.table import AnyTable, Key

_SCHEME: Final = "sqlite:///"
_LOCK: Final = (
    "INSERT INTO tracking VALUES (?, 0) ON CONFLICT (application_name) "
    "DO UPDATE SET notification_id = notification_id RETURNING notification_id"
)


class SQLiteDatabase:
    """The tables of one namespace in one file; see `database.Database`.

    Raises:
        SettingsError: The URL names no file, or its folder cannot be made.
    """

    mark = "?"
    position_of = "instr"

    def __init__(self, url: str, prefix: str) -> None:
        self._recorder = _Recorder(_datastore(url))
        self._statements = Statements(
            prefix,
            {"text": "TEXT", "json": "TEXT", "integer": "INTEGER", "real": "REAL"},
            key_type="TEXT",
        )

    def create(self, groups: Sequence[tuple[str, Sequence[AnyTable]]]) -> None:
        self._recorder.create_table()
        with self.transaction(commit=True) as cursor:
            for name, tables in groups:
                self.lock(cursor, name)  # the first statement writes: others wait for their turn
                if any(self._is_other(cursor, table) for table in tables):
                    for table in tables:
                        cursor.execute(f"DROP TABLE IF EXISTS {self._statements.name(table)}")
                    self.forget(cursor, name)
                for table in tables:
                    for statement in self._statements.create(table):
                        cursor.execute(statement)

    @contextmanager
    def transaction(self, *, commit: bool) -> Generator[Cursor]:
        with self._recorder.datastore.transaction(commit=commit) as cursor:
            yield cursor

    def position(self, name: str) -> int:
        return self._recorder.max_tracking_id(name) or 0

    def lock(self, cursor: Cursor, name: str) -> int:
        cursor.execute(_LOCK, (name,))
        return cursor.fetchone()[0]

    def advance(self, cursor: Cursor, name: str, position: int) -> None:
        self._recorder.track(cast("SQLiteCursor", cursor), Tracking(name, position))

    def forget(self, cursor: Cursor, name: str) -> None:
        cursor.execute(
            "UPDATE tracking SET notification_id = 0 WHERE application_name = ?", (name,)
        )

    def find(self, cursor: Cursor, table: AnyTable, keys: Sequence[Key]) -> list[tuple[Any, ...]]:
        # `IN (VALUES …)` would scan the whole table; this looks each key up
        same = " AND ".join(
            f"rows.{quoted(name)} = json_extract(wanted.value, '$[{place}]')"
            for place, name in enumerate(table.key)
        )
        cursor.execute(
            f"SELECT {listed(table.names, of='rows')} "  # noqa: S608 - our own names
            f"FROM json_each(?) AS wanted CROSS JOIN {self._statements.name(table)} AS rows "
            f"ON {same}",
            (orjson.dumps(keys).decode(),),
        )
        return self.values(cursor)

    def put(self, cursor: Cursor, table: AnyTable, rows: Sequence[tuple[Any, ...]]) -> None:
        marks = ",".join("?" * len(table.names))
        statement = self._statements.insert(table, f"VALUES ({marks})")
        cast("SQLiteCursor", cursor).executemany(statement, rows)

    def values(self, cursor: Cursor) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in cursor.fetchall()]

    def close(self) -> None:
        self._recorder.datastore.close()

    def _is_other(self, cursor: Cursor, table: AnyTable) -> bool:
        cursor.execute(f"PRAGMA table_info({quoted(self._statements.prefix + table.name)})")
        names = [row[1] for row in cursor.fetchall()]
        return bool(names) and names != list(table.names)


class _Recorder(SQLiteTrackingRecorder):
    """Moves a position inside a transaction of ours."""

    def track(self, cursor: SQLiteCursor, tracking: Tracking) -> None:
        self._insert_tracking(cursor, tracking)


class _Pool(SQLiteConnectionPool):
    """Connections that do not wait for the disk at each commit: views can be built again."""

    def _create_connection(self) -> SQLiteConnection:
        connection = super()._create_connection()
        connection.cursor().execute("PRAGMA synchronous=NORMAL")
        return connection


def _datastore(url: str) -> SQLiteDatastore:
    path = url.removeprefix(_SCHEME)
    if not path or path == url:
        raise SettingsError(f"DALSEGNO_VIEWS_URL={url!r}: a path must follow sqlite:///")
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"cannot create the folder of {path!r}: {error}") from error
    datastore = SQLiteDatastore(path, lock_timeout=LOCK_TIMEOUT_SECONDS)
    datastore.pool = _Pool(db_name=path, lock_timeout=LOCK_TIMEOUT_SECONDS)
    return datastore
