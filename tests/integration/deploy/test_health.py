"""Every service as a process: what its health port answers, and what its log lines look like."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import orjson
import pytest

from dalsegno_bus.embedded import EmbeddedServer
from dalsegno_bus.health import check

SERVICES = {
    "orchestrator": ("orchestrator",),
    "projections": ("projections",),
    "agent-bench": ("agent", "dalsegno.bench.agents:agent"),
}
SECONDS_MAX = 40.0

Start: TypeAlias = Callable[..., tuple[int, "subprocess.Popen[str]"]]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture
def start(nats_server: EmbeddedServer, namespace: str, tmp_path: Path) -> Iterator[Start]:
    """Start a service with a health port; gives the port and the process, which is ended."""
    started: list[subprocess.Popen[str]] = []

    def begin(service: str, **more: str) -> tuple[int, "subprocess.Popen[str]"]:
        port = free_port()
        environment: Mapping[str, str] = {
            "DALSEGNO_NATS_URL": nats_server.url,
            "DALSEGNO_NAMESPACE": namespace,
            "DALSEGNO_STORE_URL": f"sqlite:///{tmp_path}/store.db",
            "DALSEGNO_ARTIFACTS_URL": str(tmp_path / "artifacts"),
            "DALSEGNO_HEALTH_PORT": str(port),
            **more,
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "dalsegno", *SERVICES[service]],
            cwd=tmp_path,
            env={**os.environ, **environment},
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return port, process

    yield begin
    for process in started:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


def until_problems(
    port: int, process: "subprocess.Popen[str]", fits: Callable[[list[str]], bool]
) -> None:
    """Return as soon as what the process misses is so."""
    end = time.monotonic() + SECONDS_MAX
    while time.monotonic() < end:
        assert process.poll() is None, process.communicate()
        if fits(check(port)):
            return
        time.sleep(0.05)
    raise AssertionError(f"still: {check(port)}")


def page(port: int, path: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, orjson.loads(answer.read())
    finally:
        connection.close()


@pytest.mark.slow
@pytest.mark.parametrize("service", SERVICES)
def test_a_service_says_that_it_lives_and_when_it_can_work_and_logs_json(
    start: Start, service: str
) -> None:
    port, process = start(service)
    until_problems(port, process, lambda problems: problems == [])
    assert page(port, "/healthz") == (200, {"status": "alive"})
    assert page(port, "/readyz") == (200, {"status": "ready", "problems": []})
    assert page(port, "/countz")[0] == 200
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=SECONDS_MAX)
    assert process.returncode == 0
    lines = [orjson.loads(line) for line in errors.splitlines()]
    assert lines
    for line in lines:
        assert list(line)[:5] == ["time", "level", "service", "logger", "event"]
        assert line["service"] == service


@pytest.mark.slow
@pytest.mark.parametrize("service", SERVICES)
def test_a_service_that_waits_for_nats_lives_and_is_not_ready(start: Start, service: str) -> None:
    port, process = start(service, DALSEGNO_NATS_URL=f"nats://127.0.0.1:{free_port()}")
    until_problems(port, process, lambda problems: any("NATS" in one for one in problems))
    assert page(port, "/healthz")[0] == 200
    assert page(port, "/readyz")[0] == 503


@pytest.mark.slow
@pytest.mark.parametrize("service", SERVICES)
def test_a_health_port_that_is_in_use_ends_a_service_with_the_variable_to_change(
    start: Start, service: str
) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        _, process = start(service, DALSEGNO_HEALTH_PORT=str(port))
        _, errors = process.communicate(timeout=SECONDS_MAX)
    assert process.returncode == 2
    assert f"DALSEGNO_HEALTH_PORT: port {port} cannot be used" in errors
