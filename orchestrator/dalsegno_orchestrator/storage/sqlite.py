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
    SQLiteCursor,
    SQLiteDatastore,
)

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
        ]

    def ensure_schema(self) -> None:
        self.create_table()

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
            wanted, values = f" WHERE limit_key IN ({','.join('?' * len(limits))})", list(limits)
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
    def _permits(self) -> str:
        return f"{self.events_table_name}_permits"


def _hex(originator_id: UUID | str) -> str:
    return originator_id.hex if isinstance(originator_id, UUID) else originator_id
