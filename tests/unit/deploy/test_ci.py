""".ci/run: runs the README's second command, repeats the tests' closing line, keeps the status."""

import os
import re
import subprocess
from pathlib import Path

import pytest

CLOSING = "========= 3 passed, 1 warning in 12.34s ========="


@pytest.fixture
def clone(tmp_path: Path, root: Path) -> Path:
    """A folder with the script, and programs that only say what they were asked."""
    (tmp_path / ".ci").mkdir()
    script = tmp_path / ".ci" / "run"
    script.write_bytes((root / ".ci" / "run").read_bytes())
    script.chmod(0o755)
    return tmp_path


def program(clone: Path, name: str, body: str) -> None:
    folder = clone / "bin"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f'#!/bin/sh\necho "{name} $*"\n{body}\n')
    (folder / name).chmod(0o755)


def ci(clone: Path) -> tuple[int, list[str]]:
    path = f"{clone / 'bin'}:{os.environ['PATH']}"
    done = subprocess.run(
        [clone / ".ci" / "run"],
        check=False,
        capture_output=True,
        text=True,
        cwd="/",
        env={**os.environ, "PATH": path},
    )
    return done.returncode, done.stdout.splitlines()


def test_it_is_executable(root: Path) -> None:
    assert os.access(root / ".ci" / "run", os.X_OK)


def test_it_runs_the_second_command_of_the_readme_and_nothing_else(root: Path) -> None:
    readme = (root / "README.md").read_text()
    commands = re.findall(r"^    (pip install uv && .*)$", readme, re.MULTILINE)
    assert len(commands) == 2
    assert f"({commands[1]})" in (root / ".ci" / "run").read_text()


def test_success_ends_with_the_closing_line_and_0(clone: Path) -> None:
    program(clone, "pip", "exit 0")
    program(clone, "uv", f"echo '{CLOSING}'; echo 'and something after it'; exit 0")
    code, said = ci(clone)
    assert (code, said[0], said[1]) == (0, "pip install uv", "uv run poe check")
    assert said[-1] == CLOSING


@pytest.mark.parametrize("closing", ["===== 1 failed, 2 passed in 1.00s =====", CLOSING])
def test_failure_keeps_its_status(clone: Path, closing: str) -> None:
    program(clone, "pip", "exit 0")
    program(clone, "uv", f"printf '\\033[31m%s\\033[0m\\n' '{closing}'; exit 3")
    code, said = ci(clone)
    assert code == 3
    assert said[-1] == closing


def test_a_check_that_never_got_to_the_tests_says_so(clone: Path) -> None:
    program(clone, "pip", "exit 1")
    program(clone, "uv", "exit 0")
    code, said = ci(clone)
    assert code == 1
    assert said[0] == "pip install uv"
    assert "did not get to run" in said[-1]
    assert len(said) == 2, "uv was not asked"
