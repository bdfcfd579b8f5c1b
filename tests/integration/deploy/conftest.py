"""A stack with one quick agent, shared by all tests of the commands that speak to one."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from dalsegno.__main__ import main

BENCH = "dalsegno.bench.agents:agent"

Typed: TypeAlias = Callable[..., tuple[int, str, list[str]]]
"""A command, typed: exit code, stdout, lines of stderr."""


@pytest.fixture(scope="session")
def stack_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a stack that runs, started as a user does and stopped by its own id."""
    folder = tmp_path_factory.mktemp("commands") / "stack"
    up = [sys.executable, "-m", "dalsegno", "up", "--folder", str(folder), "--agent", BENCH]
    with subprocess.Popen(up, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said: list[str] = []
        for line in process.stderr:
            said.append(line)
            if line.startswith("ready"):
                break
        else:
            raise AssertionError(f"it did not start: {said}")
        yield folder
        process.send_signal(signal.SIGINT)
        process.stderr.read()
        assert process.wait() == 128 + signal.SIGINT


@pytest.fixture
def typed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[Typed]:
    """Type commands in an empty folder; what they set in the environment is undone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    before = dict(os.environ)

    def type_(*arguments: str) -> tuple[int, str, list[str]]:
        monkeypatch.setattr(sys, "argv", ["dalsegno", *arguments])
        code = main()
        captured = capsys.readouterr()
        return code, captured.out, captured.err.splitlines()

    yield type_
    os.environ.clear()
    os.environ.update(before)
