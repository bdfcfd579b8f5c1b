"""The NATS servers of a stand: one, or a cluster of three on the loopback address.

Owns their processes and their data on disk, and can spoil both. Knows nothing of what they carry.
"""

import asyncio
import contextlib
import resource
import shutil
import signal
import socket
from pathlib import Path
from random import Random
from typing import Any, Final

import orjson

from dalsegno_bus.embedded import EmbeddedServer

FULL_BYTES: Final = 4_096
"""No file may grow beyond this while the disk is full."""


class Node(EmbeddedServer):
    """One server, perhaps of a cluster; clients are told of no other than the one they asked."""

    def __init__(self, folder: Path, *, routes: dict[str, int], name: str) -> None:
        super().__init__(folder, port=free_port())
        self.name = name
        self._routes = routes

    def _config(self) -> bytes:
        config: dict[str, Any] = orjson.loads(super()._config())
        if len(self._routes) > 1:
            own = self._routes[self.name]
            config["server_name"] = self.name
            config["cluster"] = {
                "name": "chaos",
                "listen": f"127.0.0.1:{own}",
                "no_advertise": True,
                "routes": [
                    f"nats-route://127.0.0.1:{port}"
                    for name, port in self._routes.items()
                    if name != self.name
                ],
            }
        return orjson.dumps(config)

    def send(self, number: signal.Signals) -> None:
        """Send the process a signal, if it runs."""
        if self._process is not None:
            self._process.send_signal(number)

    def fill_disk(self) -> None:
        """Have its files grow no more, as on a full disk (RLIMIT_FSIZE: it needs no root)."""
        limit_files(self.pid, FULL_BYTES)

    def free_disk(self) -> None:
        limit_files(self.pid, resource.RLIM_INFINITY)

    def copy_data(self) -> None:
        """Keep a copy of the data as they are now; the server must not run."""
        shutil.rmtree(self._copy, ignore_errors=True)
        if self.data.exists():
            shutil.copytree(self.data, self._copy)

    def restore_data(self) -> None:
        """Put the copy in the place of the data, as a backup would; the server must not run."""
        shutil.rmtree(self.data, ignore_errors=True)
        if self._copy.exists():
            shutil.copytree(self._copy, self.data)

    def truncate_data(self, random: Random) -> None:
        """Cut the end off a file of messages; the server must not run."""
        files = sorted(path for path in self.data.rglob("*.blk") if path.stat().st_size)
        if files:
            path = random.choice(files)
            with path.open("r+b") as file:
                file.truncate(random.randrange(path.stat().st_size))

    def wipe_data(self) -> None:
        shutil.rmtree(self.data, ignore_errors=True)

    @property
    def _copy(self) -> Path:
        return self.folder / "copy"

    async def start_again(self) -> None:
        """Start in this thread (on Linux the child dies with it), wait in another."""
        if self.pid is None:
            self._launch()
            await asyncio.to_thread(self._wait_until_ready)


def cluster(folder: Path, size: int) -> list[Node]:
    """The servers, not yet started."""
    routes = {f"nats-{number}": free_port() for number in range(1, size + 1)}
    return [Node(folder / name, routes=routes, name=name) for name in routes]


def free_port() -> int:
    """A port of the loopback address where nobody listens now."""
    with contextlib.closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def limit_files(pid: int | None, bytes_max: int) -> None:
    """Limit how large the files of a process may become; one that is gone needs no limit."""
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (bytes_max, hard))
