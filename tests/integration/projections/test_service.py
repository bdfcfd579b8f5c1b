"""The projections as a process: how it begins, answers, and ends."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from integration.projections.databases import Databases
from integration.projections.waiting import SECONDS_MAX, until, until_so
from unit.projections.story import assigned, completed, run_of, started, told

from dalsegno_bus.bus import Outgoing
from dalsegno_bus.embedded import EmbeddedServer
from dalsegno_bus.errors import Unavailable
from dalsegno_bus.health import check
from dalsegno_bus.nats import NatsBus, connect
from dalsegno_bus.subjects import Subjects
from dalsegno_projections import asking
from dalsegno_projections import questions as q
from dalsegno_projections.asking import ask
from dalsegno_projections.catalog import VIEWS

Process = subprocess.Popen[str]
Start = Callable[..., Process]
KILLS = 3
RUNS = 60
"""Begun before each kill: far more than what is done when it comes, a batch or two."""


@pytest.fixture
def start(sqlite: Databases, nats_server: EmbeddedServer, tmp_path: Path) -> Iterator[Start]:
    """Starts a projections service; whatever still runs is killed in the end."""
    running: list[Process] = []

    def begin(**environment: str) -> Process:
        process = subprocess.Popen(
            [sys.executable, "-m", "dalsegno_projections"],
            cwd=tmp_path,
            env={
                **{key: value for key, value in os.environ.items() if "DALSEGNO" not in key},
                "DALSEGNO_NATS_URL": nats_server.url,
                "DALSEGNO_NAMESPACE": sqlite.namespace,
                "DALSEGNO_STORE_URL": sqlite.store_url,
                **environment,
            },
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


def end(process: Process, number: int = signal.SIGTERM) -> tuple[int, str]:
    """How it ended when it was told to, and all it said."""
    process.send_signal(number)
    _, said = process.communicate(timeout=SECONDS_MAX)
    return process.returncode, said


def refusal(process: Process) -> str:
    """What it said when it could not begin."""
    _, said = process.communicate(timeout=SECONDS_MAX)
    assert process.returncode == 2, said
    assert "Traceback" not in said
    return said


@pytest.fixture
def port() -> int:
    return _free_port()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


async def answer(bus: NatsBus, subjects: Subjects, name: str) -> str | None:
    """How a run stands; None while nobody answers."""
    question = q.AskRun(run_id=str(run_of(name)))
    try:
        return (await ask(bus, subjects, asking.RUN, question, timeout_seconds=1.0)).status
    except Unavailable:
        return None


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_follows_answers_and_ends_when_told_to(
    start: Start, sqlite: Databases, nats_server: EmbeddedServer, port: int, number: int
) -> None:
    bus = await connect(nats_server.url, name="test")
    subjects = Subjects(namespace=sqlite.namespace)
    process = start(DALSEGNO_HEALTH_PORT=str(port))
    await until(lambda: check(port) == [])
    sqlite.store.append(told(started(), assigned("a"), completed("a"), stream=run_of("x")))
    await bus.tell(Outgoing(subjects.recorded_hint, b""))
    assert await answer(bus, subjects, "x") == "running"
    await until(lambda: sqlite.rows.position("runs") == 3)
    code, said = end(process, number)
    assert (code, "projections_stopped" in said) == (0, True)
    await bus.close()


@pytest.mark.slow
async def test_killed_in_the_middle_it_goes_on_where_it_was(
    start: Start, databases: Databases
) -> None:
    def record(first: int) -> None:
        for number in range(first, first + RUNS):
            events = (started(), assigned("a"), completed("a"))
            databases.store.append(told(*events, stream=run_of(str(number))))

    small = {
        "DALSEGNO_PROJECTION_BATCH_MAX": "7",
        "DALSEGNO_POLL_SECONDS": "0.05",
        "DALSEGNO_STORE_URL": databases.store_url,
        "DALSEGNO_VIEWS_URL": databases.views_url,
        "DALSEGNO_NAMESPACE": databases.namespace,
    }
    record(0)
    for _ in range(KILLS):
        process, before = start(**small), databases.rows.position("runs")
        await until(lambda before=before: databases.rows.position("runs") > before)
        process.kill()
        process.wait(SECONDS_MAX)
        record(databases.store.newest_position())
    start(**small)
    newest = databases.store.newest_position()
    names = [view.name for view in VIEWS]
    await until(lambda: {databases.rows.position(name) for name in names} == {newest})
    live = databases.digests()
    for name in names:
        databases.projector(batch_events_max=500).rebuild(name)
    assert databases.digests() == live


@pytest.mark.slow
async def test_it_answers_again_after_its_nats_server_was_away(
    start: Start, sqlite: Databases, tmp_path: Path
) -> None:
    subjects = Subjects(namespace=sqlite.namespace)
    sqlite.store.append(told(started(), stream=run_of("x")))
    async with EmbeddedServer(tmp_path / "nats") as server:
        start(DALSEGNO_NATS_URL=server.url)
        bus = await connect(server.url, name="test")

        async def answered() -> bool:
            return await answer(bus, subjects, "x") == "running"

        await until_so(answered)
        server.kill()
        server.restart(wipe=True)
        await until_so(answered)
        await bus.close()


@pytest.mark.slow
async def test_at_its_start_it_waits_for_nats_and_says_so(
    start: Start, sqlite: Databases, port: int, tmp_path: Path
) -> None:
    sqlite.store.append(told(started(), stream=run_of("x")))
    server = EmbeddedServer(tmp_path / "nats", port=(nats_port := _free_port()))
    process = start(DALSEGNO_NATS_URL=server.url, DALSEGNO_HEALTH_PORT=str(port))
    await until(lambda: any(str(nats_port) in problem for problem in check(port)))
    async with server:
        await until(lambda: check(port) == [])
        assert sqlite.rows.position("runs") == 1
        code, said = end(process)
    assert (code, said.count("start.waits")) == (0, 1)


@pytest.mark.slow
async def test_at_its_start_it_waits_for_the_database_and_says_so_without_the_password(
    start: Start, port: int
) -> None:
    process = start(
        DALSEGNO_STORE_URL="postgresql://me:secret@127.0.0.1:1/none",
        DALSEGNO_HEALTH_PORT=str(port),
    )
    await until(lambda: any("DALSEGNO_STORE_URL" in problem for problem in check(port)))
    code, said = end(process)
    assert (code, said.count("start.waits"), "secret" in said) == (0, 1, False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("DALSEGNO_STORE_URL", "mysql://x", "DALSEGNO_STORE_URL"),
        ("DALSEGNO_VIEWS_URL", "nonsense", "DALSEGNO_VIEWS_URL"),
        ("DALSEGNO_NAMESPACE", "Not A Token", "DALSEGNO_NAMESPACE"),
    ],
)
def test_a_setting_that_does_not_fit_is_named(
    start: Start, variable: str, value: str, words: str
) -> None:
    said = refusal(start(**{variable: value}))
    assert words in said
    assert "secret" not in said


@pytest.mark.slow
def test_a_port_in_use_is_named(start: Start) -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"port {port}" in refusal(start(DALSEGNO_HEALTH_PORT=str(port)))
