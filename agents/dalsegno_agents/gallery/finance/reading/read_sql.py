"""Reads tables and queries of any database that SQLAlchemy knows; never writes to one.

Owns what can be wrong with a database as such: it cannot be reached (try again later), or the
table or column is not there (mend the mapping). No message of it shows a password.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import polars as pl
from sqlalchemy import (
    ColumnClause,
    Connection,
    Engine,
    column,
    create_engine,
    inspect,
    select,
    text,
)
from sqlalchemy import table as sql_table
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from dalsegno_agents.gallery.finance.reading.raw import (
    ROW,
    ROWS_MAX,
    RawTable,
    closest,
    listed,
    refuse,
    wanted_names,
)
from dalsegno_agents.gallery.finance.sources import Source, TableSource
from dalsegno_bus.errors import TaskRetry

CONNECT_SECONDS_MAX: Final = 10
FETCH_ROWS: Final = 10_000
_CONNECT_ARGS: Final[dict[str, dict[str, Any]]] = {
    "postgresql": {"connect_timeout": CONNECT_SECONDS_MAX},
    "mysql": {"connect_timeout": CONNECT_SECONDS_MAX},
    "mariadb": {"connect_timeout": CONNECT_SECONDS_MAX},
}
_REFUSED_LOGIN: Final = ("authentication failed", "access denied", "no password supplied")


class Database:
    """One database, open for reading; a context manager.

    Raises:
        TaskRejected: The URL, its driver, the file or the login is wrong.
        TaskRetry: The host does not answer.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._url = _url_of(source)
        self.location = _location(self._url)
        self._engine = _engine_of(self._url, source)
        try:
            connection = self._engine.connect()
        except (DBAPIError, OSError) as error:
            raise self._unreachable(error) from None  # the chain could show the password
        if self._url.get_backend_name() == "postgresql":
            connection = connection.execution_options(postgresql_readonly=True)
        self._connection: Connection = connection

    def __enter__(self) -> "Database":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._connection.close()
        self._engine.dispose()

    def read(self, table: TableSource) -> RawTable:
        """The wanted columns of one table or query.

        Raises:
            TaskRejected: A table or column is not there, or the query is wrong.
            TaskRetry: The connection broke.
        """
        wanted = wanted_names(table)
        if table.query is not None:
            place = f"the query for {table.role!r} of source {self._source.name!r}"
        else:
            place = f"table {table.table!r} of source {self._source.name!r} ({self.location})"
        try:
            statement = (
                text(table.query)
                if table.query is not None
                else self._selection(table.table or "", wanted, place)
            )
            names, rows = self._rows(statement, place)
        except SQLAlchemyError as error:
            raise self._failed(error, place) from None
        for one in wanted:
            if one not in names:
                raise refuse(
                    f"{place} gives no column {one!r}{closest(one, names)}; "
                    f"it gives {listed(names)}",
                    "column-missing",
                    column=one,
                )
        values = list(zip(*rows, strict=True)) if rows else [() for _ in names]
        frame = pl.DataFrame(
            [_series(one, values[names.index(one)]) for one in wanted]
        ).with_columns(pl.Series(ROW, range(1, len(rows) + 1), dtype=pl.Int64))
        return RawTable(frame=frame, place=place)

    def _selection(self, name: str, wanted: Sequence[str], place: str) -> Any:
        """A SELECT of the wanted columns, after a look whether they are there."""
        schema, _, short = name.rpartition(".")
        self._check_table(short, schema or None, wanted, place)
        columns: list[ColumnClause[Any]] = [column(one) for one in wanted]
        return select(*columns).select_from(sql_table(short, *columns, schema=schema or None))

    def _rows(self, statement: Any, place: str) -> tuple[list[str], list[Sequence[Any]]]:
        result = self._connection.execution_options(yield_per=FETCH_ROWS).execute(statement)
        if not result.returns_rows:
            raise refuse(f"{place} returns no rows: it must be a SELECT", "query")
        names = list(result.keys())
        rows: list[Sequence[Any]] = []
        for part in result.partitions(FETCH_ROWS):
            rows.extend(part)
            if len(rows) > ROWS_MAX:
                raise refuse(f"{place} has more than {ROWS_MAX:,} rows; use a query", "too-large")
        return names, rows

    def _check_table(
        self, name: str, schema: str | None, wanted: Sequence[str], place: str
    ) -> None:
        inspector = inspect(self._connection)
        known = [
            *inspector.get_table_names(schema=schema),
            *inspector.get_view_names(schema=schema),
        ]
        if name not in known:
            raise refuse(
                f"{place} does not exist{closest(name, known)}; there are {listed(sorted(known))}",
                "table-missing",
                table=name,
            )
        columns = [one["name"] for one in inspector.get_columns(name, schema=schema)]
        for one in wanted:
            if one not in columns:
                raise refuse(
                    f"{place} has no column {one!r}{closest(one, columns)}; "
                    f"it has {listed(columns)}",
                    "column-missing",
                    table=name,
                    column=one,
                )

    def _unreachable(self, error: Exception) -> Exception:
        reason = _reason(error, self._url)
        if self._url.get_backend_name() == "sqlite":
            return refuse(
                f"source {self._source.name!r}: {self.location} cannot be opened: {reason}",
                "database",
            )
        if any(word in reason.lower() for word in _REFUSED_LOGIN):
            return refuse(
                f"source {self._source.name!r}: {self.location} refused the login "
                f"of user {self._url.username!r}; check the user and the password",
                "login",
            )
        return TaskRetry(
            f"source {self._source.name!r}: the database at {self.location} cannot be reached: "
            f"{reason}",
            code="books.unreachable",
        )

    def _failed(self, error: SQLAlchemyError, place: str) -> Exception:
        if isinstance(error, DBAPIError) and error.connection_invalidated:
            return self._unreachable(error)
        return refuse(f"{place} cannot be read: {_reason(error, self._url)}", "query")


def _url_of(source: Source) -> URL:
    try:
        url = make_url(source.url or "")
    except ArgumentError:
        raise refuse(
            f"source {source.name!r}: its url is not one that SQLAlchemy knows, such as "
            "sqlite:////data/books.db or postgresql+psycopg://user@host/database",
            "url",
        ) from None
    if source.password_variable is not None:
        password = os.environ.get(source.password_variable)
        if password is None:
            raise refuse(
                f"source {source.name!r}: {source.password_variable} is not set in the "
                "environment of the agent finance.gather",
                "password",
            )
        url = url.set(password=password)
    if url.get_backend_name() != "sqlite":
        return url
    path = Path(url.database or "")
    if not path.is_file():
        raise refuse(
            f"source {source.name!r}: there is no database file {str(path)!r} "
            f"(looked from {Path.cwd()})",
            "file-missing",
            file=str(path),
        )
    return url.set(
        database=f"file:{quote(str(path.absolute()))}", query={"mode": "ro", "uri": "true"}
    )


def _engine_of(url: URL, source: Source) -> Engine:
    try:
        return create_engine(
            url, poolclass=NullPool, connect_args=_CONNECT_ARGS.get(url.get_backend_name(), {})
        )
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise refuse(
            f"source {source.name!r}: no driver for {url.drivername!r} is installed with this "
            f"agent ({_reason(error, url)}); install it or name another in the url",
            "driver",
        ) from None


def _location(url: URL) -> str:
    if url.get_backend_name() == "sqlite":
        return repr((url.database or "").removeprefix("file:"))
    port = f":{url.port}" if url.port else ""
    return f"{url.host or 'localhost'}{port}/{url.database or ''}"


def _reason(error: Exception, url: URL) -> str:
    """The driver's own words: one line, no password, no statement."""
    original = getattr(error, "orig", None) or error
    line = " ".join(str(original).split())[:300]
    password = url.password
    return line.replace(str(password), "***") if password else line


def _series(name: str, values: Sequence[Any]) -> pl.Series:
    """One column; mixed or foreign values become text, and `shape` complains where it must."""
    if not values:
        return pl.Series(name, [], dtype=pl.String)
    try:
        series = pl.Series(name, values, strict=True)
    except (TypeError, OverflowError, pl.exceptions.PolarsError):
        series = None
    if series is None or isinstance(series.dtype, pl.Object | pl.Binary):
        series = pl.Series(
            name, [None if one is None else str(one) for one in values], dtype=pl.String
        )
    return series
