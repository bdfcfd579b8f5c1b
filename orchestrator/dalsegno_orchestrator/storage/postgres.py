"""The event store on PostgreSQL: the library's recorder with an insert of our own.

The library sends an append through psycopg's pipeline mode, which was seen to hang for ever once
one append carries some 600 KB; ours sends arrays in one statement, in one transaction, without it.
"""

from collections.abc import Sequence
from inspect import unwrap
from typing import Any
from uuid import UUID

import psycopg
from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Identifier

from dalsegno_bus.errors import SettingsError
from dalsegno_orchestrator.storage.open_runs import OpenRun, seconds_of, time_of

_POOL_SIZE = 4
_CONNECT_TIMEOUT_SECONDS = 5.0
_SCHEMA_LOCK = 0x44616C7365676E6F
"""Number of the advisory lock under which tables are created: "Dalsegno" in ASCII."""


def open_recorder(url: str, table: str) -> "PostgresRecorder":
    """A recorder for this database; connects when first used.

    Raises:
        SettingsError: psycopg cannot make sense of the URL.
    """
    return PostgresRecorder(open_datastore(url), events_table_name=table)


def open_datastore(url: str) -> PostgresDatastore:
    """The library's pool of connections to the database at `url`.

    Raises:
        SettingsError: psycopg cannot make sense of the URL.
    """
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        raise SettingsError(f"the PostgreSQL URL cannot be read: {error}") from error
    return PostgresDatastore(
        dbname=str(parts.get("dbname") or "postgres"),
        host=str(parts.get("host") or "localhost"),
        port=str(parts.get("port") or 5432),
        user=str(parts.get("user") or "postgres"),
        password=str(parts.get("password") or ""),
        connect_timeout=_CONNECT_TIMEOUT_SECONDS,
        pool_size=1,
        max_overflow=_POOL_SIZE - 1,
    )


class PostgresRecorder(PostgresApplicationRecorder):
    """Adds the index of open runs to the transaction that appends."""

    def __init__(self, datastore: PostgresDatastore, *, events_table_name: str) -> None:
        super().__init__(datastore, events_table_name=events_table_name)
        names = {
            "table": Identifier(datastore.schema, events_table_name),
            "open": Identifier(datastore.schema, f"{events_table_name}_open"),
            "part_index": Identifier(f"{events_table_name}_open_part"),
        }
        self.sql_create_statements.extend(
            (
                SQL(
                    "CREATE TABLE IF NOT EXISTS {open} (run_id uuid PRIMARY KEY, "
                    "part integer NOT NULL, due_at double precision)"
                ).format(**names),
                SQL("CREATE INDEX IF NOT EXISTS {part_index} ON {open} (part)").format(**names),
            )
        )
        self._lock = SQL("LOCK TABLE {table} IN EXCLUSIVE MODE").format(**names)
        self._insert = SQL(
            "INSERT INTO {table} (originator_id, originator_version, topic, state) "
            "SELECT * FROM unnest(%b::uuid[], %b::bigint[], %b::text[], %b::bytea[])"
        ).format(**names)
        self._open = SQL(
            "INSERT INTO {open} SELECT * FROM unnest(%b::uuid[], %b::int[], %b::float8[]) "
            "ON CONFLICT (run_id) DO UPDATE SET due_at = excluded.due_at"
        ).format(**names)
        self._close = SQL("DELETE FROM {open} WHERE run_id = ANY(%b::uuid[])").format(**names)
        self._select_open = SQL(
            "SELECT run_id, part, due_at, "
            "(SELECT max(originator_version) FROM {table} WHERE originator_id = run_id) AS version "
            "FROM {open} WHERE part = ANY(%s)"
        ).format(**names)

    # The library's own retries, ten of five seconds, would keep a service from stopping; whoever
    # reads here has a backoff of its own.
    select_events = unwrap(PostgresApplicationRecorder.select_events)
    select_notifications = unwrap(PostgresApplicationRecorder.select_notifications)
    max_notification_id = unwrap(PostgresApplicationRecorder.max_notification_id)

    def ensure_schema(self) -> None:
        with self.datastore.get_connection() as connection:
            connection.execute("SELECT pg_advisory_lock(%s)", (_SCHEMA_LOCK,))
            try:
                self.create_table()
            finally:
                connection.execute("SELECT pg_advisory_unlock(%s)", (_SCHEMA_LOCK,))

    def keep(
        self, events: Sequence[StoredEvent], opened: Sequence[OpenRun], closed: Sequence[UUID]
    ) -> None:
        with (
            self.datastore.get_connection() as connection,
            connection.transaction(),
            connection.cursor() as cursor,
        ):
            if events:
                cursor.execute(self._lock)
                cursor.execute(self._insert, _columns(events), prepare=True)
            if opened:
                rows = (
                    [run.run_id for run in opened],
                    [run.partition for run in opened],
                    [seconds_of(run.due_at) for run in opened],
                )
                cursor.execute(self._open, rows, prepare=True)
            if closed:
                cursor.execute(self._close, (list(closed),), prepare=True)

    def select_open(self, partitions: Sequence[int]) -> list[OpenRun]:
        with self.datastore.get_connection() as connection, connection.cursor() as cursor:
            cursor.execute(self._select_open, (list(partitions),))
            rows = cursor.fetchall()
        return [
            OpenRun(
                run_id=row["run_id"],
                partition=row["part"],
                due_at=time_of(row["due_at"]),
                version=row["version"] or 0,
            )
            for row in rows
        ]


def _columns(events: Sequence[StoredEvent]) -> tuple[list[Any], ...]:
    return (
        [event.originator_id for event in events],
        [event.originator_version for event in events],
        [event.topic for event in events],
        [event.state for event in events],
    )
