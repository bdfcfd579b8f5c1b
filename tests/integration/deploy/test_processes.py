"""Child processes: where their words go, how they stop, and that they never outlive us."""

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest

from dalsegno.processes import Child, Processes, Program, epitaph
from dalsegno_bus.errors import Unavailable

WAIT_SECONDS = 20.0
SAYS_READY = "print('ready', flush=True)\n"
SLEEPS = SAYS_READY + "import time\ntime.sleep(600)\n"
STUBBORN = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SLEEPS


def program(code: str, name: str = "child") -> Program:
    return Program(name=name, arguments=(sys.executable, "-c", code), environment={"WORD": "hush"})


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not holds():  # noqa: ASYNC110 - a process tells nobody
            await asyncio.sleep(0.01)


async def ready(child: Child) -> None:
    await until(lambda: "ready" in child.last_lines())


@pytest.fixture
async def processes(tmp_path: Path) -> AsyncIterator[Processes]:
    mine = Processes(tmp_path / "logs")
    yield mine
    for child in mine.children:
        child.send(signal.SIGKILL)
        child.process.wait()


@pytest.mark.slow
async def test_what_a_child_writes_is_in_its_log(processes: Processes) -> None:
    child = processes.start(program("import os; print(os.environ['WORD']); print(1/0)"))
    await until(lambda: not child.is_alive)
    assert child.last_lines()[0] == "hush"
    assert "ZeroDivisionError" in epitaph(child)
    assert "child ended with exit code 1" in epitaph(child)
    with pytest.raises(Unavailable, match="ZeroDivisionError"):
        processes.check()


@pytest.mark.slow
async def test_a_child_has_a_session_of_its_own_so_that_ctrl_c_does_not_reach_it(
    processes: Processes,
) -> None:
    child = processes.start(program(SLEEPS))
    await ready(child)
    assert os.getsid(child.pid) == child.pid


@pytest.mark.slow
async def test_all_are_stopped_and_none_is_left(processes: Processes) -> None:
    children = [processes.start(program(SLEEPS, f"child-{number}")) for number in range(3)]
    for child in children:
        await ready(child)
    await processes.stop_all()
    assert processes.children == ()
    assert [child.ending for child in children] == ["was ended by SIGTERM"] * 3


@pytest.mark.slow
async def test_a_child_that_does_not_listen_is_killed(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dalsegno.processes.STOP_SECONDS_MAX", 0.2)
    child = processes.start(program(STUBBORN))
    await ready(child)
    await processes.stop_all()
    assert child.ending == "was ended by SIGKILL"
    assert "did not stop" in child.last_lines()[-1]


@pytest.mark.slow
async def test_a_stop_that_is_cancelled_leaves_nobody_behind(processes: Processes) -> None:
    child = processes.start(program(STUBBORN))
    await ready(child)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.1):
            await processes.stop_all()
    assert not child.is_alive


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
async def test_a_child_dies_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    script = (
        "import pathlib, sys, time\n"
        "from dalsegno.processes import Processes, Program\n"
        f"sleeps = (sys.executable, '-c', {SLEEPS!r})\n"
        "program = Program(name='child', arguments=sleeps, environment={})\n"
        f"print(Processes(pathlib.Path({str(tmp_path)!r})).start(program).pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=PIPE)
    assert parent.stdout is not None
    child = psutil.Process(int(await parent.stdout.readline()))
    await until(lambda: "ready" in (tmp_path / "child.log").read_text())
    parent.kill()
    await parent.wait()
    await until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
