"""The event store in an SQLite file; how it is opened and kept safe: `sqlite_file`."""

import json
import sqlite3
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, cast
from uuid import UUID

from eventsourcing.persistence import OperationalError, StoredEvent
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteCursor

from dalsegno_bus.errors import SettingsError
from dalsegno_bus.ids import LIMITS
from dalsegno_orchestrator.storage.open_runs import OpenRun, seconds_of, time_of
from dalsegno_orchestrator.storage.permits import (
    COLUMNS,
    SWEPT_MAX,
    PermitChange,
    PermitRow,
    checks_of,
    judge_version,
    row_of,
)
from dalsegno_orchestrator.storage.schema import SCHEMA_VERSION, judge_schema, schema_table
from dalsegno_orchestrator.storage.sqlite_file import DurableFile

SCHEMA_CHANCES: Final = 5
"""So often a process may find the file locked by others, who create the same tables, or write."""


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
    datastore = DurableFile(path, look=partial(_look, schema_table(table)))
    return SQLiteRecorder(datastore, events_table_name=table)


def _look(table: str, connection: sqlite3.Connection) -> None:
    """Leave tables alone that a newer Dalsegno made."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone():
        query = f"SELECT max(version) FROM {table}"  # noqa: S608 - our own name
        judge_schema(connection.execute(query).fetchone()[0])


class SQLiteRecorder(SQLiteApplicationRecorder):
    """Adds the index of open runs, and the permits, to the transaction that appends."""

    def construct_create_table_statements(self) -> list[str]:
        permits = self._permits
        return [
            *super().construct_create_table_statements(),
            f"CREATE TABLE IF NOT EXISTS {self.events_table_name}_open ("
            "run_id TEXT PRIMARY KEY, part INTEGER NOT NULL, due_at REAL) WITHOUT ROWID",
            f"CREATE INDEX IF NOT EXISTS {self.events_table_name}_open_part "
            f"ON {self.events_table_name}_open (part)",
            f"CREATE TABLE IF NOT EXISTS {permits} (limit_key TEXT NOT NULL, "
            "run_id TEXT NOT NULL, task_id TEXT NOT NULL, attempt INTEGER NOT NULL, "
            "amount REAL NOT NULL, taken_at REAL NOT NULL, given_back_at REAL, "
            "PRIMARY KEY (run_id, task_id, attempt, limit_key))",
            f"CREATE INDEX IF NOT EXISTS {permits}_standing ON {permits} (limit_key, amount) "
            "WHERE given_back_at IS NULL",
            f"CREATE INDEX IF NOT EXISTS {permits}_taken ON {permits} "
            "(limit_key, taken_at, amount)",
            f"CREATE INDEX IF NOT EXISTS {permits}_over ON {permits} (limit_key, taken_at) "
            "WHERE given_back_at IS NOT NULL",
            f"CREATE TABLE IF NOT EXISTS {self._schema} (version INTEGER PRIMARY KEY)",
            f"INSERT INTO {self._schema} SELECT {SCHEMA_VERSION} "  # noqa: S608
            f"WHERE NOT EXISTS (SELECT 1 FROM {self._schema})",
        ]

    def ensure_schema(self) -> None:
        for chances in reversed(range(SCHEMA_CHANCES)):
            try:
                return self.create_table()
            except OperationalError as error:
                if not chances or "SQLITE_BUSY" not in str(error):
                    raise
        return None

    def keep(
        self,
        events: Sequence[StoredEvent],
        opened: Sequence[OpenRun],
        closed: Sequence[UUID],
        permits: PermitChange | None,
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
            if permits is not None:
                own = sum(event.originator_id == LIMITS for event in events)
                self._keep_permits(cursor, permits, own)

    def _keep_permits(self, cursor: SQLiteCursor, change: PermitChange, own: int) -> None:
        """`own` facts of the stream of limits are among what was just inserted."""
        if change.limits_version is not None:
            cursor.execute(
                "SELECT coalesce(max(originator_version), 0) "  # noqa: S608
                f"FROM {self.events_table_name} WHERE originator_id = ?",
                (LIMITS.hex,),
            )
            judge_version(change.limits_version, cursor.fetchone()[0] - own)
        if not (change.taken or change.given_back):
            return
        cursor.executemany(
            f"INSERT INTO {self._permits} VALUES (?,?,?,?,?,?,?)",  # noqa: S608
            [
                (p.limit, p.run_id.hex, p.task_id, p.attempt, p.amount, p.taken_at, None)
                for p in change.taken
            ],
        )
        cursor.executemany(
            f"UPDATE {self._permits} SET given_back_at = ? WHERE run_id = ? "  # noqa: S608
            "AND task_id = ? AND attempt = ? AND given_back_at IS NULL",
            [(over.at, over.run_id.hex, over.task_id, over.attempt) for over in change.given_back],
        )
        for check in checks_of(change):
            limit = check.cap.limit
            standing, taken = 0.0, 0.0
            if check.cap.concurrency is not None:
                cursor.execute(
                    f"SELECT coalesce(sum(amount), 0.0) FROM {self._permits} "  # noqa: S608
                    "WHERE limit_key = ? AND given_back_at IS NULL",
                    (limit,),
                )
                standing = cursor.fetchone()[0]
            if check.cap.rate is not None:
                cursor.execute(
                    f"SELECT coalesce(sum(amount), 0.0) FROM {self._permits} "  # noqa: S608
                    "WHERE limit_key = ? AND taken_at > ?",
                    (limit, check.since),
                )
                taken = cursor.fetchone()[0]
            check.judge(standing, taken)
            cursor.execute(
                f"DELETE FROM {self._permits} WHERE rowid IN ("  # noqa: S608
                f"SELECT rowid FROM {self._permits} WHERE limit_key = ? "
                f"AND given_back_at IS NOT NULL AND taken_at <= ? LIMIT {SWEPT_MAX})",
                (limit, check.since),
            )

    def select_permits(self, limits: Sequence[str] | None) -> list[PermitRow]:
        wanted, values = "", list[str]()
        if limits is not None:
            # one value for all: SQLite takes some 32,000 at most
            wanted = " WHERE limit_key IN (SELECT value FROM json_each(?))"
            values = [json.dumps(list(limits))]
        with self.datastore.transaction(commit=False) as cursor:
            cursor.execute(
                f"SELECT {COLUMNS} FROM {self._permits}{wanted} ORDER BY taken_at, run_id, task_id",  # noqa: S608
                values,
            )
            return [row_of(tuple(row)) for row in cast("list[Any]", cursor.fetchall())]

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

    @property
    def _schema(self) -> str:
        return schema_table(self.events_table_name)

    @property
    def _permits(self) -> str:
        return f"{self.events_table_name}_permits"


def _hex(originator_id: UUID | str) -> str:
    return originator_id.hex if isinstance(originator_id, UUID) else originator_id
