"""The event store on PostgreSQL: the library's recorder with an insert of our own.

The library sends an append through psycopg's pipeline mode, which was seen to hang for ever once
one append carries some 600 KB; ours sends arrays in one statement, in one transaction, without it.
"""

from collections.abc import Callable, Sequence
from functools import partial
from inspect import unwrap
from typing import Any
from uuid import UUID

import psycopg
from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from psycopg import Connection, Cursor
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow
from psycopg.sql import SQL, Identifier, Literal

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
from dalsegno_orchestrator.storage.postgres_server import PatientServer
from dalsegno_orchestrator.storage.schema import SCHEMA_VERSION, judge_schema, schema_table

_SCHEMA_LOCK = 0x44616C7365676E6F
"""Number of the advisory lock under which tables are created: "Dalsegno" in ASCII."""


def open_recorder(url: str, table: str) -> "PostgresRecorder":
    """A recorder for this database; connects when first used.

    Raises:
        SettingsError: psycopg cannot make sense of the URL.
    """
    look = partial(_look, schema_table(table))
    return PostgresRecorder(open_datastore(url, look=look), events_table_name=table)


def open_datastore(
    url: str, *, look: Callable[[Connection[DictRow]], None] = lambda _: None
) -> PostgresDatastore:
    """Connections to the database at `url`, each looked at by `look`; connects when first used.

    Raises:
        SettingsError: psycopg cannot make sense of the URL.
    """
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        raise SettingsError(f"the PostgreSQL URL cannot be read: {error}") from error
    return PatientServer(parts, look)


def _look(table: str, connection: Connection[DictRow]) -> None:
    """Leave tables alone that a newer Dalsegno made."""
    name = Identifier("public", table)
    found = connection.execute("SELECT to_regclass(%s) AS oid", (name.as_string(),)).fetchone()
    if found is not None and found["oid"] is not None:
        newest = connection.execute(SQL("SELECT max(version) AS version FROM {}").format(name))
        row = newest.fetchone()
        judge_schema(None if row is None else row["version"])


class PostgresRecorder(PostgresApplicationRecorder):
    """Adds the index of open runs, and the permits, to the transaction that appends."""

    def __init__(self, datastore: PostgresDatastore, *, events_table_name: str) -> None:
        super().__init__(datastore, events_table_name=events_table_name)
        names = {
            "table": Identifier(datastore.schema, events_table_name),
            "open": Identifier(datastore.schema, f"{events_table_name}_open"),
            "part_index": Identifier(f"{events_table_name}_open_part"),
            "schema": Identifier(datastore.schema, schema_table(events_table_name)),
        }
        self.sql_create_statements.extend(
            (
                SQL(
                    "CREATE TABLE IF NOT EXISTS {open} (run_id uuid PRIMARY KEY, "
                    "part integer NOT NULL, due_at double precision)"
                ).format(**names),
                SQL("CREATE INDEX IF NOT EXISTS {part_index} ON {open} (part)").format(**names),
                SQL("CREATE TABLE IF NOT EXISTS {schema} (version integer PRIMARY KEY)").format(
                    **names
                ),
                SQL(
                    "INSERT INTO {schema} SELECT {version} "
                    "WHERE NOT EXISTS (SELECT 1 FROM {schema})"
                ).format(version=Literal(SCHEMA_VERSION), **names),
            )
        )
        self._lock = SQL("LOCK TABLE {table} IN EXCLUSIVE MODE").format(**names)
        self._insert = SQL(  # the version is that of before, as a statement sees what was
            "WITH inserted AS ("
            "INSERT INTO {table} (originator_id, originator_version, topic, state) "
            "SELECT * FROM unnest(%b::uuid[], %b::bigint[], %b::text[], %b::bytea[])) "
            "SELECT coalesce(max(originator_version), 0) AS version FROM {table} "
            "WHERE originator_id = %b"
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
        self._permits = _PermitStatements(datastore.schema, events_table_name)
        self.sql_create_statements.extend(self._permits.create)

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
        self,
        events: Sequence[StoredEvent],
        opened: Sequence[OpenRun],
        closed: Sequence[UUID],
        permits: PermitChange | None,
    ) -> None:
        with (
            self.datastore.get_connection() as connection,
            connection.transaction(),
            connection.cursor() as cursor,
        ):
            if events or (permits is not None and permits.taken):
                cursor.execute(self._lock)
            if events:
                cursor.execute(self._insert, (*_columns(events), LIMITS), prepare=True)
                (found,) = cursor.fetchall()
                judge_version(None if permits is None else permits.limits_version, found["version"])
            if opened:
                rows = (
                    [run.run_id for run in opened],
                    [run.partition for run in opened],
                    [seconds_of(run.due_at) for run in opened],
                )
                cursor.execute(self._open, rows, prepare=True)
            if closed:
                cursor.execute(self._close, (list(closed),), prepare=True)
            if permits is not None:
                self._permits.keep(cursor, permits)

    def select_permits(self, limits: Sequence[str] | None) -> list[PermitRow]:
        with self.datastore.get_connection() as connection, connection.cursor() as cursor:
            wanted = None if limits is None else list(limits)
            cursor.execute(self._permits.select, (wanted, wanted))
            return [row_of(tuple(row.values())) for row in cursor.fetchall()]

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


class _PermitStatements:
    """The table of permits, and what is done to it inside an append that holds the table lock."""

    def __init__(self, schema: str, events_table_name: str) -> None:
        table = f"{events_table_name}_permits"
        names = {
            "permits": Identifier(schema, table),
            "standing": Identifier(f"{table}_standing"),
            "taken": Identifier(f"{table}_taken"),
            "over": Identifier(f"{table}_over"),
            "columns": SQL(COLUMNS),
        }
        self.create = tuple(
            SQL(statement).format(**names)
            for statement in (
                "CREATE TABLE IF NOT EXISTS {permits} (limit_key text NOT NULL, "
                "run_id uuid NOT NULL, task_id text NOT NULL, attempt integer NOT NULL, "
                "amount double precision NOT NULL, taken_at double precision NOT NULL, "
                "given_back_at double precision, "
                "PRIMARY KEY (run_id, task_id, attempt, limit_key))",
                "CREATE INDEX IF NOT EXISTS {standing} ON {permits} (limit_key, amount) "
                "WHERE given_back_at IS NULL",
                "CREATE INDEX IF NOT EXISTS {taken} ON {permits} (limit_key, taken_at, amount)",
                "CREATE INDEX IF NOT EXISTS {over} ON {permits} (limit_key, taken_at) "
                "WHERE given_back_at IS NOT NULL",
            )
        )
        self._take = SQL(
            "INSERT INTO {permits} SELECT * FROM unnest(%b::text[], %b::uuid[], %b::text[], "
            "%b::int[], %b::float8[], %b::float8[])"
        ).format(**names)
        self._give_back = SQL(
            "UPDATE {permits} AS p SET given_back_at = o.at FROM unnest(%b::uuid[], %b::text[], "
            "%b::int[], %b::float8[]) AS o (run_id, task_id, attempt, at) "
            "WHERE p.run_id = o.run_id AND p.task_id = o.task_id AND p.attempt = o.attempt "
            "AND p.given_back_at IS NULL"
        ).format(**names)
        self._sums = SQL(
            "SELECT (SELECT coalesce(sum(amount), 0.0) FROM {permits} "
            "WHERE limit_key = l.limit_key AND given_back_at IS NULL) AS standing, "
            "(SELECT coalesce(sum(amount), 0.0) FROM {permits} "
            "WHERE limit_key = l.limit_key AND taken_at > l.since) AS taken "
            "FROM unnest(%b::text[], %b::float8[]) WITH ORDINALITY AS l (limit_key, since, place) "
            "ORDER BY l.place"
        ).format(**names)
        self._sweep = SQL(
            "DELETE FROM {permits} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {permits} "
            "WHERE limit_key = %b AND given_back_at IS NOT NULL AND taken_at <= %b LIMIT %b))"
        ).format(**names)
        self.select = SQL(
            "SELECT {columns} FROM {permits} "
            "WHERE %s::text[] IS NULL OR limit_key = ANY(%s::text[]) "
            "ORDER BY taken_at, run_id, task_id"
        ).format(**names)

    def keep(self, cursor: Cursor[Any], change: PermitChange) -> None:
        """Write the change, and let it stand only if nothing is above its cap.

        Raises:
            LimitsExceeded: Something is.
        """
        if change.taken:
            cursor.execute(self._take, _columns_of_permits(change.taken), prepare=True)
        if change.given_back:
            over = change.given_back
            rows = (
                [one.run_id for one in over],
                [one.task_id for one in over],
                [one.attempt for one in over],
                [one.at for one in over],
            )
            cursor.execute(self._give_back, rows, prepare=True)
        checks = checks_of(change)
        if not checks:
            return
        limits = [check.cap.limit for check in checks]
        cursor.execute(self._sums, (limits, [check.since for check in checks]), prepare=True)
        for check, sums in zip(checks, cursor.fetchall(), strict=True):
            check.judge(sums["standing"], sums["taken"])
        for check in checks:
            values = (check.cap.limit, check.since, SWEPT_MAX)
            cursor.execute(self._sweep, values, prepare=True)


def _columns_of_permits(rows: Sequence[PermitRow]) -> tuple[list[Any], ...]:
    return (
        [row.limit for row in rows],
        [row.run_id for row in rows],
        [row.task_id for row in rows],
        [row.attempt for row in rows],
        [row.amount for row in rows],
        [row.taken_at for row in rows],
    )


def _columns(events: Sequence[StoredEvent]) -> tuple[list[Any], ...]:
    return (
        [event.originator_id for event in events],
        [event.originator_version for event in events],
        [event.topic for event in events],
        [event.state for event in events],
    )
