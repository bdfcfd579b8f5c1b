"""Connections to the SQLite file of an event store: durable, and sure that it is still the file.

Every connection has a write-ahead log and `synchronous=FULL`: when a commit returns, the log was
synced to the disk, and after a power cut the commit is there whole. A file that is removed or
replaced while open is noticed before and after every commit: nothing counts as stored that nobody
will find again.
"""

import asyncio
import os
import sqlite3
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, Final, cast

from eventsourcing.persistence import DataError, IntegrityError, OperationalError
from eventsourcing.sqlite import SQLiteCursor, SQLiteDatastore

from dalsegno_bus.errors import SettingsError, Unavailable
from dalsegno_orchestrator.storage.connections import Connections

LOCK_SECONDS_MAX: Final = 2.0
"""How long a commit waits for another process that writes; who could not commit tries again."""
LOCK_SECONDS_MAX_IN_LOOP: Final = 0.25
"""The same in an event loop, which has leases to renew; after that, a thread waits."""
CONNECTIONS_MAX: Final = 15
WAIT_SECONDS_MAX: Final = 5.0
"""How long to wait for another thread that writes, or for its connection."""
_PRAGMAS: Final = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA fullfsync=ON",  # where fsync alone leaves it in the disk's own cache
    "PRAGMA checkpoint_fullfsync=ON",
)


class DurableFile(SQLiteDatastore):
    """In place of the library's pool, which keeps the lock of writers when it cannot connect.

    Args:
        path: Of the file; it is made when it is first used.
        look: Looks at each new connection.
    """

    def __init__(self, path: str, look: Callable[[sqlite3.Connection], None]) -> None:
        super().__init__(path)
        self._path = path
        self._look = look
        self._file: tuple[int, int] | None = None
        self._writer = threading.Lock()
        self._connections = Connections(
            self._connect, count_max=CONNECTIONS_MAX, wait_seconds_max=WAIT_SECONDS_MAX
        )

    @contextmanager
    def transaction(self, *, commit: bool) -> Generator[SQLiteCursor]:
        """One transaction; `commit` takes the lock of writers at its begin.

        Raises:
            PersistenceError: Of sqlite3, whatever it is.
            SettingsError, Unavailable: The file is not there any more.
        """
        self._be_sure()
        with (
            self._one_writer() if commit else nullcontext(),
            self._connections.one() as connection,
            _library_errors(),
        ):
            try:
                if commit:
                    connection.execute(f"PRAGMA busy_timeout={_patience_ms()}").close()
                connection.execute("BEGIN IMMEDIATE" if commit else "BEGIN")
                yield cast("SQLiteCursor", connection.cursor())
                connection.execute("COMMIT" if commit else "ROLLBACK")
            except BaseException:
                if connection.in_transaction:  # a full disk may have rolled it back
                    with suppress(sqlite3.Error):  # then it is closed, which rolls back
                        connection.execute("ROLLBACK")
                raise
            if commit:
                self._be_sure()

    @contextmanager
    def _one_writer(self) -> Generator[None]:
        """Threads take turns, where SQLite would let one of them starve."""
        if not self._writer.acquire(timeout=WAIT_SECONDS_MAX):
            raise OperationalError(f"another thread has been writing for {WAIT_SECONDS_MAX} s")
        try:
            yield
        finally:
            self._writer.release()

    def close(self) -> None:
        if hasattr(self, "_connections"):
            self._connections.close()
        super().close()

    def _be_sure(self) -> None:
        """Raise unless what was opened first still lies under the path."""
        if self._file is None:
            return
        try:
            found = os.stat(self._path)
        except OSError as error:
            raise Unavailable(
                f"the event store's file {self._path!r} was taken away while in use ({error}): put "
                "the same file back, with its -wal, or stop the services and restore a copy"
            ) from error
        if (found.st_dev, found.st_ino) != self._file:
            raise SettingsError(
                f"the event store's file {self._path!r} was replaced by another while in use: "
                "start again, to work with what that one holds"
            )

    def _connect(self) -> sqlite3.Connection:
        with _library_errors():
            connection = sqlite3.connect(
                self._path,
                timeout=LOCK_SECONDS_MAX,
                isolation_level=None,
                check_same_thread=False,
            )
            try:
                for pragma in _PRAGMAS:
                    connection.execute(pragma).close()
                connection.row_factory = sqlite3.Row
                self._look(connection)
                found = os.stat(self._path)
            except BaseException:
                connection.close()
                raise
            self._file = self._file or (found.st_dev, found.st_ino)
        return connection


def _patience_ms() -> int:
    """How long this caller may wait for another process."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return int(1000 * LOCK_SECONDS_MAX)
    return int(1000 * LOCK_SECONDS_MAX_IN_LOOP)


@contextmanager
def _library_errors() -> Generator[None]:
    """Turn what the driver and the system raise into what the library would."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        raise IntegrityError(str(error)) from error
    except sqlite3.DataError as error:
        raise DataError(str(error)) from error
    except sqlite3.Error as error:
        name: Any = getattr(error, "sqlite_errorname", type(error).__name__)
        raise OperationalError(f"{error}, {name}") from error
    except OSError as error:
        raise OperationalError(str(error)) from error
