"""Connections to the PostgreSQL server of an event store: they wait for it, but not for ever.

Whatever it does (stop, stand still, vanish behind a cut network), every call ends within a bound,
and what a vanished orchestrator left open on the server ends within one too, with its locks.
All bounds that the server or libpq keep can be set otherwise in the URL.
"""

import selectors
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any, Final, cast

import psycopg
from eventsourcing.persistence import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    InternalError,
    NotSupportedError,
    OperationalError,
    PersistenceError,
    ProgrammingError,
)
from eventsourcing.postgres import PostgresDatastore
from psycopg.rows import DictRow, dict_row

from dalsegno_orchestrator.storage.connections import Connections

CONNECTIONS_MAX: Final = 4
WAIT_SECONDS_MAX: Final = 5.0
SILENCE_SECONDS_MAX: Final = 30.0
"""How long an answer may keep us waiting without a byte of it; above the server's own bound."""
STATEMENT_SECONDS_MAX: Final = 25
LOCK_SECONDS_MAX: Final = 10
"""How long an append waits for another one that holds the table."""
IDLE_IN_TRANSACTION_SECONDS_MAX: Final = 20
"""An orchestrator that stands still in mid transaction loses it, and the others go on."""
_BOUNDS: Final = {
    "connect_timeout": "5",
    "keepalives": "1",
    "keepalives_idle": "5",
    "keepalives_interval": "3",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
    "application_name": "dalsegno",
}
_OPTIONS: Final = (
    f"-c statement_timeout={STATEMENT_SECONDS_MAX}s -c lock_timeout={LOCK_SECONDS_MAX}s "
    f"-c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_SECONDS_MAX}s "
    "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=3 -c tcp_keepalives_count=3"
)
_SYNC: Final = (
    "SELECT set_config('synchronous_commit', 'on', false) "
    "WHERE current_setting('synchronous_commit') = 'off'"
)
"""A commit that returned has to outlive a power cut, whatever the server's default."""


_KINDS: Final = (
    (psycopg.OperationalError, OperationalError),
    (psycopg.DataError, DataError),
    (psycopg.IntegrityError, IntegrityError),
    (psycopg.InternalError, InternalError),
    (psycopg.ProgrammingError, ProgrammingError),
    (psycopg.NotSupportedError, NotSupportedError),
    (psycopg.DatabaseError, DatabaseError),
    (psycopg.InterfaceError, InterfaceError),
)
"""What the library calls each, as its own pool has it."""


class PatientServer(PostgresDatastore):
    """In place of the library's pool, which hides the reason of a failure and waits ever longer.

    Args:
        parts: The URL's, as libpq names them.
        look: Looks at each new connection.
    """

    def __init__(
        self, parts: Mapping[str, Any], look: Callable[[psycopg.Connection[DictRow]], None]
    ) -> None:
        known = {
            "dbname": "postgres",
            "host": "localhost",
            "port": "5432",
            "user": "postgres",
            **_BOUNDS,
            **{name: str(value) for name, value in parts.items()},
        }
        known["options"] = f"{_OPTIONS} {parts.get('options') or ''}".rstrip()
        super().__init__(known["dbname"], known["host"], known["port"], known["user"], "")
        self._parts = known
        self._look = look
        self._connections = Connections(
            self._connect,
            count_max=CONNECTIONS_MAX,
            wait_seconds_max=WAIT_SECONDS_MAX,
            is_alive=_is_quiet,
        )

    @contextmanager
    def get_connection(self) -> Generator[psycopg.Connection[DictRow]]:
        """A connection, until the block ends.

        Raises:
            PersistenceError: Of psycopg, whatever it is.
        """
        with self._connections.one() as connection, _library_errors():
            yield connection

    def register_type_adapters(self) -> None:
        """Need none: appends are our own, so nothing has to be asked before the first call."""

    def close(self) -> None:
        if hasattr(self, "_connections"):
            self._connections.close()
        super().close()

    def _connect(self) -> psycopg.Connection[DictRow]:
        with _library_errors():
            connection = _Bounded.connect(
                autocommit=True, row_factory=cast("Any", dict_row), **cast("Any", self._parts)
            )
            try:
                connection.execute(_SYNC)
                self._look(connection)
            except BaseException:
                connection.close()
                raise
        return connection


class _Bounded(psycopg.Connection[Any]):
    """A connection that is given up when the server keeps silent for too long.

    A server that stands still, or a proxy before one, acknowledges what it never answers: neither
    keep-alive nor the server's own bounds help then.
    """

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        return super().wait(self._bounded(gen), *args, **kwargs)

    def _bounded(self, gen: Any) -> Generator[Any, int, Any]:
        """Pass on what psycopg waits for, as long as something comes now and then."""
        heard_at = time.monotonic()
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if ready:
                    heard_at = time.monotonic()
                elif time.monotonic() - heard_at > SILENCE_SECONDS_MAX:
                    self.pgconn.finish()
                    raise psycopg.OperationalError(
                        f"no answer for {SILENCE_SECONDS_MAX} s; the connection was given up"
                    )
                wanted = gen.send(ready)
        except StopIteration as ended:
            return ended.value


def _is_quiet(connection: psycopg.Connection[DictRow]) -> bool:
    """A server that ended an idle connection has said so: there is something to read."""
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(connection, selectors.EVENT_READ)
            return not selector.select(0)
    except (OSError, ValueError, psycopg.Error):
        return False


@contextmanager
def _library_errors() -> Generator[None]:
    """Turn what psycopg and the system raise into what the library would."""
    try:
        yield
    except (psycopg.Error, OSError) as error:
        for theirs, ours in _KINDS:
            if isinstance(error, theirs):
                raise ours(str(error)) from error
        raise PersistenceError(str(error)) from error
