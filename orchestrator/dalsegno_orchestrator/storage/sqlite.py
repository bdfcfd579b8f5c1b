"""The event store in an SQLite file, with a write-ahead log and `synchronous=FULL`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, cast
from uuid import UUID

from eventsourcing.persistence import StoredEvent
from eventsourcing.sqlite import (
    SQLiteApplicationRecorder,
    SQLiteConnection,
    SQLiteConnectionPool,
    SQLiteDatastore,
)

from dalsegno_bus.errors import SettingsError
from dalsegno_orchestrator.storage.open_runs import OpenRun, seconds_of, time_of

LOCK_SECONDS_MAX: Final = 2
"""How long a commit waits for another writer; small ones wait in the event loop, so not longer.
Who could not commit tries again."""


def open_recorder(url: str, table: str) -> "SQLiteRecorder":
    """A recorder for this file; connects when first used.

    Raises:
        SettingsError: There is no path, or its folder cannot be made.
    """
    path = url.removeprefix("sqlite:///")
    if not path or path == url:
        raise SettingsError(f"DALSEGNO_STORE_URL={url!r}: a path must follow sqlite:///")
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"cannot create the folder of {path!r}: {error}") from error
    datastore = SQLiteDatastore(path, lock_timeout=LOCK_SECONDS_MAX)
    datastore.pool = _DurablePool(db_name=path, lock_timeout=LOCK_SECONDS_MAX)
    return SQLiteRecorder(datastore, events_table_name=table)


class _DurablePool(SQLiteConnectionPool):
    """Connections whose commits have reached the disk when they return."""

    def _create_connection(self) -> SQLiteConnection:
        connection = super()._create_connection()
        connection.cursor().execute("PRAGMA synchronous=FULL")
        return connection


class SQLiteRecorder(SQLiteApplicationRecorder):
    """Adds the index of open runs to the transaction that appends."""

    def construct_create_table_statements(self) -> list[str]:
        return [
            *super().construct_create_table_statements(),
            f"CREATE TABLE IF NOT EXISTS {self.events_table_name}_open ("
            "run_id TEXT PRIMARY KEY, part INTEGER NOT NULL, due_at REAL) WITHOUT ROWID",
            f"CREATE INDEX IF NOT EXISTS {self.events_table_name}_open_part "
            f"ON {self.events_table_name}_open (part)",
        ]

    def ensure_schema(self) -> None:
        self.create_table()

    def keep(
        self, events: Sequence[StoredEvent], opened: Sequence[OpenRun], closed: Sequence[UUID]
    ) -> None:
        with self.datastore.transaction(commit=True) as cursor:
            cursor.executemany(
                self.insert_events_statement,
                [(_hex(e.originator_id), e.originator_version, e.topic, e.state) for e in events],
            )
            if opened:
                cursor.executemany(
                    f"INSERT INTO {self.events_table_name}_open VALUES (?,?,?) "  # noqa: S608
                    "ON CONFLICT (run_id) DO UPDATE SET due_at = excluded.due_at",
                    [(run.run_id.hex, run.partition, seconds_of(run.due_at)) for run in opened],
                )
            if closed:
                cursor.executemany(
                    f"DELETE FROM {self.events_table_name}_open WHERE run_id = ?",  # noqa: S608
                    [(run_id.hex,) for run_id in closed],
                )

    def select_open(self, partitions: Sequence[int]) -> list[OpenRun]:
        marks = ",".join("?" * len(partitions))
        with self.datastore.transaction(commit=False) as cursor:
            cursor.execute(
                "SELECT run_id, part, due_at, (SELECT max(originator_version) "  # noqa: S608
                f"FROM {self.events_table_name} WHERE originator_id = run_id) "
                f"FROM {self.events_table_name}_open WHERE part IN ({marks})",
                list(partitions),
            )
            rows = cast("list[Any]", cursor.fetchall())
        return [
            OpenRun(
                run_id=UUID(row[0]), partition=row[1], due_at=time_of(row[2]), version=row[3] or 0
            )
            for row in rows
        ]


def _hex(originator_id: UUID | str) -> str:
    return originator_id.hex if isinstance(originator_id, UUID) else originator_id
